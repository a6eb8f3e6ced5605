//! The capability of answering HTTP requests that reach the host.

use crate::{
    error::{StorageError, StorageResult},
    panic,
};
use abi_stable::{
    StableAbi,
    erased_types::TD_Opaque,
    sabi_trait,
    std_types::{RArc, RResult, RString, RVec, Tuple2},
};

/// One route that a module answers.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Eq)]
pub struct HttpRoute {
    /// `GET` or `POST`.
    pub method: RString,
    /// The whole path, below the base path as a rule.
    pub path: RString,
    /// What it does, in a sentence.
    pub about: RString,
}

/// A request for one of a module's routes.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET` or `POST`.
    pub method: RString,
    /// The whole path, without the query.
    pub path: RString,
    /// Names and values of the query, decoded, in their order.
    pub query: RVec<Tuple2<RString, RString>>,
    /// The body as it came.
    pub body: RVec<u8>,
}

impl HttpRequest {
    /// The first query value of that name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|Tuple2(key, _)| key == name)
            .map(|Tuple2(_, value)| value.as_str())
    }
}

/// A module's answer.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The HTTP status code.
    pub status: u16,
    /// The media type of the body.
    pub content_type: RString,
    /// The body.
    pub body: RVec<u8>,
}

/// Answers HTTP requests. The host mounts the routes and does the networking.
pub trait HttpEndpointProvider: Send + Sync {
    /// Where the module's routes live: `/api/db-sync`.
    fn base_path(&self) -> String;

    /// The routes.
    fn routes(&self) -> Vec<HttpRoute>;

    /// Answers one request. May block.
    ///
    /// # Errors
    /// What kept the module from answering at all; anything that the client
    /// did wrong is a response with a 4xx status.
    fn handle(&self, request: &HttpRequest) -> StorageResult<HttpResponse>;
}

#[sabi_trait]
trait StableEndpoints: Send + Sync {
    fn base_path(&self) -> RString;
    fn routes(&self) -> RVec<HttpRoute>;
    #[sabi(last_prefix_field)]
    fn handle(&self, request: &HttpRequest) -> RResult<HttpResponse, StorageError>;
}

impl<T: HttpEndpointProvider> StableEndpoints for T {
    fn base_path(&self) -> RString {
        panic::guard_or(String::new(), || HttpEndpointProvider::base_path(self)).into()
    }

    fn routes(&self) -> RVec<HttpRoute> {
        panic::guard_or(Vec::new(), || HttpEndpointProvider::routes(self)).into()
    }

    fn handle(&self, request: &HttpRequest) -> RResult<HttpResponse, StorageError> {
        panic::guard("handle", || HttpEndpointProvider::handle(self, request)).into()
    }
}

/// A [`HttpEndpointProvider`] in the form that crosses the boundary.
#[repr(C)]
#[derive(StableAbi)]
pub struct HttpEndpoints {
    inner: StableEndpoints_TO<'static, RArc<()>>,
}

impl HttpEndpoints {
    /// Makes `provider` ready to cross.
    pub fn new(provider: impl HttpEndpointProvider + 'static) -> Self {
        Self {
            inner: StableEndpoints_TO::from_ptr(RArc::new(provider), TD_Opaque),
        }
    }
}

impl HttpEndpointProvider for HttpEndpoints {
    fn base_path(&self) -> String {
        self.inner.base_path().into()
    }

    fn routes(&self) -> Vec<HttpRoute> {
        self.inner.routes().into()
    }

    fn handle(&self, request: &HttpRequest) -> StorageResult<HttpResponse> {
        self.inner.handle(request).into_result()
    }
}
