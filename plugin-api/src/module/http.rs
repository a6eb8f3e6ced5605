//! The capability of answering HTTP requests that reach the host.

use super::record::growing_record;
use crate::{
    error::{ModuleError, ModuleResult},
    ffi::{List, Outcome, Pair, Shared, Text},
    panic,
};
use abi_stable::{StableAbi, erased_types::TD_Opaque, sabi_trait};

growing_record! {
    /// One route that a module answers.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct HttpRoute crosses as RouteObject = StableRoute_TO of StableRoute {
        required {
            /// `GET` or `POST`.
            method: Text,
            /// The whole path, usually below the base path.
            path: Text,
        }
        optional {
            /// What it does, in a sentence.
            about: Text,
        }
    }
}

growing_record! {
    /// A request for one of a module's routes.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct HttpRequest crosses as RequestObject = StableRequest_TO of StableRequest {
        required {
            /// `GET` or `POST`.
            method: Text,
            /// The whole path, without the query.
            path: Text,
        }
        optional {
            /// Names and values of the query, decoded, in their order.
            query: List<Pair<Text, Text>>,
            /// The body, as received.
            body: List<u8>,
        }
    }
}

impl HttpRequest {
    /// The first query value of that name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|Pair(key, _)| key == name)
            .map(|Pair(_, value)| value.as_str())
    }
}

growing_record! {
    /// A module's answer to a request.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct HttpResponse crosses as ResponseObject = StableResponse_TO of StableResponse {
        required {
            /// The HTTP status code.
            status: u16,
        }
        optional {
            /// The media type of the body.
            content_type: Text,
            /// The body.
            body: List<u8>,
            /// Names and values of further headers. A host may leave them out, so
            /// an answer must be right without them.
            headers: List<Pair<Text, Text>>,
        }
    }
}

/// Answers HTTP requests. The host mounts the routes and does the networking.
pub trait HttpEndpointProvider: Send + Sync {
    /// The path that the module's routes are below: `/api/db-sync`.
    fn base_path(&self) -> String;

    /// The routes.
    fn routes(&self) -> Vec<HttpRoute>;

    /// Answers one request. May block.
    ///
    /// # Errors
    /// Why the module could not answer at all. A client's mistake is not an
    /// error but a response with a 4xx status.
    fn handle(&self, request: &HttpRequest) -> ModuleResult<HttpResponse>;
}

#[sabi_trait]
trait StableEndpoints: Send + Sync {
    fn base_path(&self) -> Text;
    fn routes(&self) -> List<RouteObject>;
    #[sabi(last_prefix_field)]
    fn handle(&self, request: RequestObject) -> Outcome<ResponseObject, ModuleError>;
}

impl<T: HttpEndpointProvider> StableEndpoints for T {
    fn base_path(&self) -> Text {
        panic::guard_or(String::new(), || HttpEndpointProvider::base_path(self)).into()
    }

    fn routes(&self) -> List<RouteObject> {
        panic::guard_or(Vec::new(), || HttpEndpointProvider::routes(self))
            .into_iter()
            .map(RouteObject::from)
            .collect()
    }

    fn handle(&self, request: RequestObject) -> Outcome<ResponseObject, ModuleError> {
        panic::guard("handle", || {
            HttpEndpointProvider::handle(self, &request.into()).map(ResponseObject::from)
        })
        .into()
    }
}

/// An [`HttpEndpointProvider`] in the form that crosses the boundary.
#[repr(C)]
#[derive(StableAbi)]
pub struct HttpEndpoints {
    inner: StableEndpoints_TO<'static, Shared<()>>,
}

impl HttpEndpoints {
    /// Wraps `provider` for the boundary. Panics inside it become errors.
    pub fn new(provider: impl HttpEndpointProvider + 'static) -> Self {
        Self {
            inner: StableEndpoints_TO::from_ptr(Shared::new(provider), TD_Opaque),
        }
    }
}

impl HttpEndpointProvider for HttpEndpoints {
    fn base_path(&self) -> String {
        self.inner.base_path().into()
    }

    fn routes(&self) -> Vec<HttpRoute> {
        self.inner
            .routes()
            .into_iter()
            .map(HttpRoute::from)
            .collect()
    }

    fn handle(&self, request: &HttpRequest) -> ModuleResult<HttpResponse> {
        self.inner
            .handle(request.clone().into())
            .into_result()
            .map(HttpResponse::from)
    }
}
