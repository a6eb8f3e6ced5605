//! Calling the HTTP routes of a module: in this process, without a network, or
//! on a host that runs elsewhere.

use crate::host::Host;
use plugin_api::{
    abi_stable::std_types::Tuple2,
    error::StorageError,
    module::{HttpEndpointProvider, HttpEndpoints, HttpRequest, HttpResponse},
};
use serde::Deserialize;
use serde_json::Value as Json;
use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

/// Where db-sync-server's routes live, on every host.
const BASE_PATH: &str = "/api/db-sync";

/// How long a running host may take to answer: comparing everything takes a while.
const ANSWER_WITHIN: Duration = Duration::from_secs(3600);

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
    pub fn get(&self, route: &str, query: &[(&str, &str)]) -> Result<Json, SteeringError> {
        self.ask("GET", route, query, &Json::Null)
    }

    /// `POST` to a route below the base path, with a JSON body; `null` is none.
    ///
    /// # Errors
    /// Why there is no answer, or what the module objects to.
    pub fn post(&self, route: &str, body: &Json) -> Result<Json, SteeringError> {
        self.ask("POST", route, &[], body)
    }

    /// The state of replication.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn replication(&self) -> Result<Replication, SteeringError> {
        Ok(Replication::read(&self.get("status", &[])?)?)
    }

    fn ask(
        &self,
        method: &str,
        route: &str,
        query: &[(&str, &str)],
        body: &Json,
    ) -> Result<Json, SteeringError> {
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
                query: query
                    .iter()
                    .map(|&(name, value)| Tuple2(name.into(), value.into()))
                    .collect(),
                body: body.into(),
            })?,
            Self::At(address) => over_http(address, method, &with_query(&path, query), &body)
                .map_err(|reason| SteeringError::Unreachable {
                    url: address.clone(),
                    reason,
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

/// A path with a query, everything unusual encoded.
fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let encoded = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                    char::from(byte).to_string()
                }
                _ => format!("%{byte:02X}"),
            })
            .collect()
    };
    let pairs: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    if pairs.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", pairs.join("&"))
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

/// What the module's status says of all secondaries together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replication {
    /// Is every secondary connected?
    pub connected: bool,
    /// Is one still trying for the first time?
    pub connecting: bool,
    /// How many operations wait, on the secondary that is furthest behind.
    pub backlog: u64,
    /// How many operations were copied.
    pub copied: u64,
    /// How many refused operations wait for their next try.
    pub retries: u64,
    /// How many operations were refused for good.
    pub dead_letters: u64,
    /// How many tables are being walked or wait for it.
    pub resyncs: usize,
    /// How many rows were walked.
    pub walked: u64,
    /// How many rows the tables that are being walked have left.
    pub to_walk: u64,
}

impl Replication {
    /// Reads a status.
    ///
    /// # Errors
    /// It is no status.
    pub fn read(status: &Json) -> Result<Self, serde_json::Error> {
        let Status { secondaries: all } = Status::deserialize(status)?;
        let sum = |part: fn(&Secondary) -> u64| all.iter().map(part).sum();
        Ok(Self {
            connected: all.iter().all(|secondary| secondary.state == "connected"),
            connecting: all.iter().any(|secondary| secondary.state == "connecting"),
            backlog: all
                .iter()
                .map(|secondary| secondary.backlog.operations)
                .max()
                .unwrap_or(0),
            copied: sum(|secondary| secondary.copied.applied),
            retries: sum(|secondary| secondary.retries),
            dead_letters: sum(|secondary| secondary.dead_letters),
            resyncs: all.iter().map(|secondary| secondary.resync.len()).sum(),
            walked: sum(|secondary| secondary.resync.iter().map(|walk| walk.walked).sum()),
            to_walk: sum(|secondary| secondary.resync.iter().map(Walk::left).sum()),
        })
    }

    /// Has every secondary all that it can have?
    pub fn is_caught_up(&self) -> bool {
        self.connected && self.backlog == 0 && self.retries == 0 && self.resyncs == 0
    }
}

#[derive(Deserialize)]
struct Status {
    secondaries: Vec<Secondary>,
}

#[derive(Deserialize)]
struct Secondary {
    state: String,
    backlog: Operations,
    copied: Copied,
    retries: u64,
    dead_letters: u64,
    resync: Vec<Walk>,
}

#[derive(Deserialize)]
struct Operations {
    operations: u64,
}

#[derive(Deserialize)]
struct Copied {
    applied: u64,
}

#[derive(Deserialize)]
struct Walk {
    walked: u64,
    /// None until it has begun.
    total: Option<u64>,
}

impl Walk {
    fn left(&self) -> u64 {
        self.total.unwrap_or(0).saturating_sub(self.walked)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    #[test]
    fn queries_are_encoded() {
        assert_eq!(with_query("/a", &[]), "/a");
        assert_eq!(
            with_query("/a", &[("b", "c d&é"), ("e", "f")]),
            "/a?b=c%20d%26%C3%A9&e=f"
        );
    }

    #[test]
    fn a_status_of_several_secondaries_is_read_as_one() {
        let secondary = |state: &str, backlog: u64, resync: Json| {
            json!({
                "state": state, "backlog": {"operations": backlog, "bytes": 9}, "copied": {"applied": 4, "rate": 0.5},
                "retries": 0, "dead_letters": 1, "resync": resync
            })
        };
        let status = json!({"health": "healthy", "secondaries": [
            secondary("connected", 3, json!([])),
            secondary("connecting", 5, json!([
                {"table": "events", "walked": 7, "total": 20},
                {"table": "*", "walked": 0, "total": null}
            ])),
        ]});
        let read = Replication::read(&status).unwrap();
        let expected = Replication {
            connected: false,
            connecting: true,
            backlog: 5,
            copied: 8,
            retries: 0,
            dead_letters: 2,
            resyncs: 2,
            walked: 7,
            to_walk: 13,
        };
        assert_eq!(read, expected);
        assert!(!read.is_caught_up());
        let status = json!({"secondaries": [secondary("connected", 0, json!([]))]});
        assert!(Replication::read(&status).unwrap().is_caught_up());
        assert!(Replication::read(&json!({})).is_err());
    }
}
