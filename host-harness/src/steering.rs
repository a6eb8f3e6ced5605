//! Calling the HTTP routes of a module: in this process, without a network, or
//! on a host that runs elsewhere.

use crate::host::Host;
use plugin_api::{
    error::StorageError,
    module::{HttpEndpointProvider, HttpEndpoints, HttpRequest, HttpResponse},
};
use serde_json::Value as Json;
use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

/// Where db-sync-server's routes live, on every host.
const BASE_PATH: &str = "/api/db-sync";

/// How long a running host may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Why steering failed.
#[derive(Debug, thiserror::Error)]
pub enum SteeringError {
    /// No module at work offers the routes.
    #[error(
        "no loaded module offers {BASE_PATH}; enable commercial_db-sync-server in the host's configuration"
    )]
    NoRoutes,
    /// The module could not answer.
    #[error("{0}")]
    Module(#[from] StorageError),
    /// The host that runs elsewhere cannot be reached.
    #[error("cannot reach {url}: {reason}; is `host-harness serve` running there?")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What the system said.
        reason: io::Error,
    },
    /// The module refused.
    #[error("refused ({status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the module said.
        message: String,
    },
    /// The answer is no JSON.
    #[error("the answer is no JSON: {0}")]
    Answer(#[from] serde_json::Error),
}

/// A module that can be steered.
pub enum Steering {
    /// In this process.
    Here(HttpEndpoints),
    /// On a host at this address (`127.0.0.1:7878`).
    At(String),
}

impl Steering {
    /// The module of a host in this process that offers db-sync-server's routes.
    ///
    /// # Errors
    /// No module does.
    pub fn of(host: &Host) -> Result<Self, SteeringError> {
        host.modules()
            .modules()
            .iter()
            .filter_map(|module| module.http_endpoints())
            .find(|endpoints| endpoints.base_path() == BASE_PATH)
            .map(Self::Here)
            .ok_or(SteeringError::NoRoutes)
    }

    /// A host that runs elsewhere: `http://127.0.0.1:7878`.
    pub fn at(url: &str) -> Self {
        Self::At(
            url.trim_start_matches("http://")
                .trim_end_matches('/')
                .to_owned(),
        )
    }

    /// `GET` of a route below the base path.
    ///
    /// # Errors
    /// Why there is no answer, or what the module objects to.
    pub fn get(&self, route: &str) -> Result<Json, SteeringError> {
        self.ask("GET", route, &Json::Null)
    }

    /// `POST` to a route below the base path, with a JSON body; `null` is none.
    ///
    /// # Errors
    /// Why there is no answer, or what the module objects to.
    pub fn post(&self, route: &str, body: &Json) -> Result<Json, SteeringError> {
        self.ask("POST", route, body)
    }

    fn ask(&self, method: &str, route: &str, body: &Json) -> Result<Json, SteeringError> {
        let path = format!("{BASE_PATH}/{route}");
        let body = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(body)?
        };
        let response = match self {
            Self::Here(endpoints) => endpoints.handle(&HttpRequest {
                method: method.into(),
                path: path.into(),
                query: Default::default(),
                body: body.into(),
            })?,
            Self::At(address) => over_http(address, method, &path, &body).map_err(|reason| {
                SteeringError::Unreachable {
                    url: address.clone(),
                    reason,
                }
            })?,
        };
        if response.status >= 400 {
            return Err(SteeringError::Refused {
                status: response.status,
                message: message(&response.body),
            });
        }
        Ok(serde_json::from_slice(&response.body)?)
    }
}

/// What an error body says: its `error`, or all of it.
fn message(body: &[u8]) -> String {
    serde_json::from_slice::<Json>(body)
        .ok()
        .and_then(|json| json.get("error").and_then(Json::as_str).map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

/// One request over a connection of its own.
fn over_http(address: &str, method: &str, path: &str, body: &[u8]) -> io::Result<HttpResponse> {
    let no_address = || io::Error::other("no such address");
    let socket = address.to_socket_addrs()?.next().ok_or_else(no_address)?;
    let mut stream = TcpStream::connect_timeout(&socket, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    // HTTP/1.0: the answer ends where the connection does.
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP");
    let head = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or_else(bad)?;
    let status = std::str::from_utf8(&answer[..head])
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse().ok())
        .ok_or_else(bad)?;
    Ok(HttpResponse {
        status,
        content_type: "application/json".into(),
        body: answer[head + 4..].into(),
    })
}
