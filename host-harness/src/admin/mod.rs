//! [`AdminClient`]: calls the HTTP routes of db-sync-server, on a module in this
//! process without a network, or on a host that serves them.
//!
//! [`ReplicationStatus`] is what its status says of all secondaries together.

mod status;

pub use status::{ReplicationStatus, SecondaryState};

use crate::{host::Host, http::Token};
use plugin_api::{
    abi_stable::std_types::Tuple2,
    error::ModuleError,
    module::{HttpEndpointProvider, HttpEndpoints, HttpRequest},
};
use serde_json::Value as Json;
use std::time::Duration;
use url::Url;

/// Where db-sync-server's routes are, on every host.
const BASE_PATH: &str = "/api/db-sync";

/// How long a host may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a host may take to answer: comparing everything takes a while.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3600);

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No loaded module offers the routes.
    #[error(
        "no loaded module offers {BASE_PATH}; enable commercial_db-sync-server in the host's configuration"
    )]
    NoRoutes,
    /// The address is not one of a host.
    #[error("{url} is not the address of a host: {reason}; give http://HOST:PORT")]
    InvalidUrl {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The module could not answer.
    #[error("{0}")]
    Module(#[from] ModuleError),
    /// The host cannot be reached, or did not answer.
    #[error("cannot reach {url}: {reason}; is `host-harness serve` running there?")]
    Unreachable {
        /// The host's address.
        url: String,
        /// What went wrong.
        reason: Box<ureq::Error>,
    },
    /// The host or the module rejected the request.
    #[error("the request was rejected (HTTP {status}): {message}")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The module's reason.
        message: String,
    },
    /// The answer is not JSON.
    #[error("the answer is not JSON: {0}")]
    Answer(#[from] serde_json::Error),
}

/// A client of db-sync-server's routes.
pub struct AdminClient(Transport);

enum Transport {
    /// The module is in this process.
    Local(HttpEndpoints),
    /// A host serves the routes at this address.
    Remote {
        base: Url,
        agent: ureq::Agent,
        token: Option<Token>,
    },
}

#[derive(Clone, Copy)]
enum Method {
    Get,
    Post,
}

impl AdminClient {
    /// A client of the module that a host in this process has loaded.
    ///
    /// # Errors
    /// No loaded module offers the routes.
    pub fn local(host: &Host) -> Result<Self, AdminError> {
        host.modules()
            .modules()
            .iter()
            .filter_map(|module| module.http_endpoints())
            .find(|endpoints| endpoints.base_path() == BASE_PATH)
            .map(|endpoints| Self(Transport::Local(endpoints)))
            .ok_or(AdminError::NoRoutes)
    }

    /// A client of a host that serves its routes: `http://127.0.0.1:7878`, also
    /// without `http://`. Nothing is sent yet.
    ///
    /// # Errors
    /// It is not such an address.
    pub fn remote(url: &str) -> Result<Self, AdminError> {
        Self::remote_with(url, None)
    }

    /// The same, with the token that the host asks for before it changes something.
    ///
    /// # Errors
    /// It is not such an address.
    pub fn remote_with(url: &str, token: Option<Token>) -> Result<Self, AdminError> {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .timeout_recv_body(Some(ANSWER_TIMEOUT))
            .build()
            .new_agent();
        Ok(Self(Transport::Remote {
            base: base_url(url)?,
            agent,
            token,
        }))
    }

    /// The address of the host, if it is elsewhere.
    pub fn url(&self) -> Option<&str> {
        match &self.0 {
            Transport::Local(_) => None,
            Transport::Remote { base, .. } => Some(shown(base)),
        }
    }

    /// `GET` of a route below the base path.
    ///
    /// # Errors
    /// Why there is no answer, or why the module rejected the request.
    pub fn get(&self, route: &str, query: &[(&str, &str)]) -> Result<Json, AdminError> {
        self.request(Method::Get, route, query, &Json::Null)
    }

    /// `POST` to a route below the base path, with a JSON body; `null` is none.
    ///
    /// # Errors
    /// Why there is no answer, or why the module rejected the request.
    pub fn post(&self, route: &str, body: &Json) -> Result<Json, AdminError> {
        self.request(Method::Post, route, &[], body)
    }

    /// The state of replication.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn replication(&self) -> Result<ReplicationStatus, AdminError> {
        Ok(ReplicationStatus::read(&self.get("status", &[])?)?)
    }

    fn request(
        &self,
        method: Method,
        route: &str,
        query: &[(&str, &str)],
        body: &Json,
    ) -> Result<Json, AdminError> {
        let body = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(body)?
        };
        let (status, answer) = match &self.0 {
            Transport::Local(endpoints) => local(endpoints, method, route, query, body)?,
            Transport::Remote { base, agent, token } => {
                let url = route_url(base, route, query);
                remote(agent, &url, token.as_ref(), method, &body).map_err(|reason| {
                    AdminError::Unreachable {
                        url: shown(base).to_owned(),
                        reason: Box::new(reason),
                    }
                })?
            }
        };
        if status >= 400 {
            return Err(AdminError::Rejected {
                status,
                message: error_message(&answer),
            });
        }
        Ok(serde_json::from_slice(&answer)?)
    }
}

/// Has the module answer. Returns the HTTP status and the body.
fn local(
    endpoints: &HttpEndpoints,
    method: Method,
    route: &str,
    query: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<(u16, Vec<u8>), ModuleError> {
    let response = endpoints.handle(&HttpRequest {
        method: match method {
            Method::Get => "GET",
            Method::Post => "POST",
        }
        .into(),
        path: format!("{BASE_PATH}/{route}").into(),
        query: query
            .iter()
            .map(|&(name, value)| Tuple2(name.into(), value.into()))
            .collect(),
        body: body.into(),
    })?;
    Ok((response.status, response.body.into_vec()))
}

/// Sends the request to a host. Returns the HTTP status and the body.
fn remote(
    agent: &ureq::Agent,
    url: &Url,
    token: Option<&Token>,
    method: Method,
    body: &[u8],
) -> Result<(u16, Vec<u8>), ureq::Error> {
    let mut response = match method {
        Method::Get => agent.get(url.as_str()).call(),
        Method::Post => {
            let request = agent.post(url.as_str()).content_type("application/json");
            match token {
                Some(token) => request.header("Authorization", token.header()),
                None => request,
            }
            .send(body)
        }
    }?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(u64::MAX);
    Ok((status, body.read_to_vec()?))
}

/// The address of a host.
fn base_url(text: &str) -> Result<Url, AdminError> {
    let invalid = |reason: String| AdminError::InvalidUrl {
        url: text.to_owned(),
        reason,
    };
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url: Url = with_scheme
        .parse()
        .map_err(|error: url::ParseError| invalid(error.to_string()))?;
    if url.scheme() != "http" {
        return Err(invalid(format!("{} is not supported", url.scheme())));
    }
    Ok(url)
}

/// The address of a route, with its query encoded.
fn route_url(base: &Url, route: &str, query: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    url.set_path(&format!(
        "{}{BASE_PATH}/{route}",
        base.path().trim_end_matches('/')
    ));
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// An address without the slash at its end.
fn shown(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// The `error` of an answer that is an error, or all of it.
fn error_message(body: &[u8]) -> String {
    serde_json::from_slice::<Json>(body)
        .ok()
        .and_then(|json| json.get("error").and_then(Json::as_str).map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_query_is_encoded() {
        let url = |query| {
            let base = base_url("http://localhost:7878").unwrap();
            route_url(&base, "a/b", query).to_string()
        };
        assert_eq!(url(&[]), "http://localhost:7878/api/db-sync/a/b");
        assert_eq!(
            url(&[("b", "c d&é"), ("e", "f")]),
            "http://localhost:7878/api/db-sync/a/b?b=c+d%26%C3%A9&e=f"
        );
    }

    #[test]
    fn a_host_has_an_http_address() {
        for (given, expected) in [
            ("http://127.0.0.1:7878", "http://127.0.0.1:7878"),
            ("http://127.0.0.1:7878/", "http://127.0.0.1:7878"),
            ("localhost:7878", "http://localhost:7878"),
            ("http://proxy/host/", "http://proxy/host"),
        ] {
            assert_eq!(
                AdminClient::remote(given).unwrap().url(),
                Some(expected),
                "{given}"
            );
        }
        for (given, complaint) in [
            ("https://localhost", "https is not supported"),
            ("", "is not the address of a host"),
            ("http://:1", "is not the address of a host"),
        ] {
            let error = AdminClient::remote(given).err().unwrap().to_string();
            assert!(error.contains(complaint), "{given}: {error}");
        }
    }

    #[test]
    fn routes_are_below_the_path_of_the_address() {
        let base = base_url("http://proxy/host/").unwrap();
        let url = route_url(&base, "status", &[]);
        assert_eq!(url.as_str(), "http://proxy/host/api/db-sync/status");
    }
}
