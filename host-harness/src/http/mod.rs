//! Serves the HTTP routes of a host's modules.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`access`] | who may do what |
//! | [`token`] | the secret of those who may change something |

mod access;
mod token;

pub use access::{Access, TokenNeeded};
pub use token::{Token, TokenError};

use crate::host::Host;
use access::Denied;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use plugin_api::{
    abi_stable::std_types::Tuple2,
    module::{HttpEndpointProvider, HttpEndpoints, HttpRequest, HttpResponse},
};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;

/// The largest body that is read.
const BODY_LIMIT: usize = 1 << 20;

/// One module's routes.
struct Mounted {
    paths: Vec<String>,
    endpoints: Arc<HttpEndpoints>,
}

/// What is served, and to whom.
struct Served {
    modules: Vec<Mounted>,
    access: Access,
}

/// The routes of all modules of a host, for those who have access.
pub fn router(host: &Host, access: Access) -> Router {
    let modules = host
        .modules()
        .modules()
        .iter()
        .filter_map(|module| module.http_endpoints())
        .map(|endpoints| Mounted {
            paths: endpoints
                .routes()
                .into_iter()
                .map(|route| route.path.into())
                .collect(),
            endpoints: Arc::new(endpoints),
        })
        .collect();
    // The module that owns the path answers, also to a wrong method.
    Router::new()
        .fallback(answer)
        .with_state(Arc::new(Served { modules, access }))
}

/// Serves the routes until `stop` is done. Calls `ready` with the address once
/// clients can connect.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(
    router: Router,
    bind: SocketAddr,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = TcpListener::bind(bind).await?;
    ready(listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await
}

async fn answer(
    State(served): State<Arc<Served>>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    if let Err(denied) = served.access.check(&head) {
        return refuse(denied);
    }
    let path = head.uri.path();
    let Some(module) = served
        .modules
        .iter()
        .find(|module| module.paths.iter().any(|known| known == path))
    else {
        return plain(StatusCode::NOT_FOUND, "no module answers this path".into());
    };
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {BODY_LIMIT} bytes"),
        );
    };
    let request = HttpRequest {
        method: head.method.as_str().into(),
        path: path.into(),
        query: query
            .into_iter()
            .map(|(name, value)| Tuple2(name.into(), value.into()))
            .collect(),
        body: body.to_vec().into(),
    };
    let endpoints = Arc::clone(&module.endpoints);
    match tokio::task::spawn_blocking(move || endpoints.handle(&request)).await {
        Ok(Ok(response)) => forward(response),
        Ok(Err(error)) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn forward(response: HttpResponse) -> Response {
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut forwarded = build(status, &response.content_type, response.body.to_vec());
    forwarded.headers_mut().extend(headers(&response));
    forwarded
}

/// The module's headers, but for those that belong to the server and those that
/// are not valid.
fn headers(response: &HttpResponse) -> HeaderMap {
    const OF_THE_SERVER: [HeaderName; 4] = [
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CONNECTION,
        header::TRANSFER_ENCODING,
    ];
    response
        .headers
        .iter()
        .filter_map(|Tuple2(name, value)| {
            let name = HeaderName::try_from(name.as_str()).ok()?;
            let value = HeaderValue::try_from(value.as_str()).ok()?;
            (!OF_THE_SERVER.contains(&name)).then_some((name, value))
        })
        .collect()
}

/// The answer to a request that is denied, as the routes answer to one that is wrong.
fn refuse(denied: Denied) -> Response {
    let Denied { status, message } = denied;
    let body = serde_json::json!({ "error": message }).to_string();
    let mut response = build(status, "application/json", body.into_bytes());
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

fn plain(status: StatusCode, text: String) -> Response {
    build(status, "text/plain; charset=utf-8", text.into_bytes())
}

fn build(status: StatusCode, content_type: &str, body: Vec<u8>) -> Response {
    const TYPE: HeaderName = header::CONTENT_TYPE;
    Response::builder()
        .status(status)
        .header(TYPE, content_type)
        .body(Body::from(body))
        // A module may return a content type that is not a valid header.
        .unwrap_or_else(|_| Response::new(Body::empty()))
}
