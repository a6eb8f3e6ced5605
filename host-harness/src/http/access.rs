//! [`Access`]: who may do what through the served routes.
//!
//! | the host listens on | reading | changing |
//! | --- | --- | --- |
//! | loopback | by a name of this machine | from the host's own pages and programs; with its token if it has one |
//! | anything else | everybody | with its token |
//!
//! A browser on this machine reaches loopback, too, with whatever page it shows. So
//! the name by which the host is asked has to be one of its own, or else a page could
//! have its own name point to this machine (DNS rebinding); and a browser's request
//! that changes something has to come from a page of this host.

use super::token::Token;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header, request::Parts};
use std::net::SocketAddr;
use url::Host;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who may do what.
#[derive(Debug)]
pub struct Access {
    token: Option<Token>,
    /// Names other than those of this machine by which the host may be asked.
    hosts: Vec<String>,
    is_loopback: bool,
}

/// The host is to listen where others reach it, and has no token.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} can be reached from other machines, so it needs a token: everybody who has it controls \
     replication. Make one with `openssl rand -hex 32 > token && chmod 600 token`, then give it as \
     --token-file token, or in the environment as HOST_TOKEN. Or listen on 127.0.0.1 alone"
)]
pub struct TokenNeeded(SocketAddr);

/// Why a request is not answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Denied {
    fn forbidden(message: String) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            message,
        }
    }
}

impl Access {
    /// For a host that listens on `bind`, and may be asked by these names beside
    /// those of this machine.
    ///
    /// # Errors
    /// Others can reach it there, and there is no token.
    pub fn new(
        bind: SocketAddr,
        token: Option<Token>,
        hosts: Vec<String>,
    ) -> Result<Self, TokenNeeded> {
        let is_loopback = bind.ip().to_canonical().is_loopback();
        if !is_loopback && token.is_none() {
            return Err(TokenNeeded(bind));
        }
        Ok(Self {
            token,
            hosts,
            is_loopback,
        })
    }

    /// For a host on loopback without a token.
    pub fn on_loopback() -> Self {
        Self {
            token: None,
            hosts: Vec::new(),
            is_loopback: true,
        }
    }

    /// May this request be answered?
    pub(super) fn check(&self, request: &Parts) -> Result<(), Denied> {
        let asked = asked_name(&request.uri, &request.headers)?;
        if !self.is_own_name(&asked) {
            return Err(Denied::forbidden(format!(
                "this host is not asked as {asked:?}; use its address, or start it with \
                 --allow-host {asked}"
            )));
        }
        if [Method::GET, Method::HEAD].contains(&request.method) {
            return Ok(());
        }
        match &self.token {
            // No page of somebody else has it.
            Some(token) => has_token(token, &request.headers),
            None => from_own_page(&request.headers),
        }
    }

    fn is_own_name(&self, authority: &str) -> bool {
        let name = match authority.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => authority,
        };
        let is_allowed = |allowed: &String| {
            [name, authority]
                .iter()
                .any(|it| it.eq_ignore_ascii_case(allowed))
        };
        if self.hosts.iter().any(is_allowed) {
            return true;
        }
        match Host::parse(name) {
            // An address is what it is: no name server can make it another one.
            Ok(Host::Ipv4(_) | Host::Ipv6(_)) => true,
            Ok(Host::Domain(name)) => {
                let is_local = name == "localhost" || name.ends_with(".localhost");
                is_local || (!self.is_loopback && self.hosts.is_empty())
            }
            Err(_) => false,
        }
    }
}

/// The name, and perhaps the port, by which the host is asked.
fn asked_name(uri: &Uri, headers: &HeaderMap) -> Result<String, Denied> {
    let named = headers.get_all(header::HOST).iter();
    let mut named: Vec<&str> = named.map(|name| name.to_str().unwrap_or("")).collect();
    named.extend(uri.authority().map(|authority| authority.as_str()));
    named.dedup();
    match named.as_slice() {
        [name] if !name.is_empty() => Ok((*name).to_owned()),
        _ => Err(Denied {
            status: StatusCode::BAD_REQUEST,
            message: "the request has to have exactly one valid Host".to_owned(),
        }),
    }
}

fn has_token(token: &Token, headers: &HeaderMap) -> Result<(), Denied> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let message = match given {
        Some(given) if token.is(given) => return Ok(()),
        Some(_) => "the token is not the one of this host",
        None => {
            "this needs the host's token as `Authorization: Bearer …`; host-harness sends it with \
             --token-file FILE, or from HOST_TOKEN"
        }
    };
    Err(Denied {
        status: StatusCode::UNAUTHORIZED,
        message: message.to_owned(),
    })
}

/// A browser says from where a request comes; other programs say nothing of it.
fn from_own_page(headers: &HeaderMap) -> Result<(), Denied> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text(&SEC_FETCH_SITE)
        && !["same-origin", "none"].contains(&site)
    {
        return Err(elsewhere(site));
    }
    let Some(origin) = text(&header::ORIGIN) else {
        return Ok(());
    };
    let authority = origin
        .split_once("://")
        .map_or("", |(_, authority)| authority);
    let host = text(&header::HOST).unwrap_or("");
    match !authority.is_empty() && authority.eq_ignore_ascii_case(host) {
        true => Ok(()),
        false => Err(elsewhere(origin)),
    }
}

fn elsewhere(from: &str) -> Denied {
    Denied::forbidden(format!(
        "a page from elsewhere ({from}) may not change anything here"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use axum::http::Request;

    fn status(access: &Access, method: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri("/api/db-sync/pause");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        access
            .check(&head)
            .map_or_else(|denied| denied.status.as_u16(), |()| 200)
    }

    #[test]
    fn on_loopback_the_host_is_asked_by_names_of_this_machine_only() {
        let access = Access {
            hosts: vec!["proxy.example".to_owned()],
            ..Access::on_loopback()
        };
        for (host, expected) in [
            ("localhost", 200),
            ("LOCALHOST:7878", 200),
            ("db.localhost:7878", 200),
            ("127.0.0.1:7878", 200),
            ("[::1]:7878", 200),
            ("proxy.example", 200),
            ("Proxy.Example:443", 200),
            ("evil.example:7878", 403),
            ("localhost.evil.example", 403),
            ("127.0.0.1.evil.example", 403),
            ("evil.example:7878@localhost", 403),
            ("", 400),
        ] {
            for method in ["GET", "POST"] {
                let found = status(&access, method, &[("host", host)]);
                assert_eq!(found, expected, "{method} as {host:?}");
            }
        }
        assert_eq!(status(&access, "GET", &[]), 400);
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(status(&access, "GET", &twice), 400);
    }

    #[test]
    fn on_loopback_no_page_from_elsewhere_changes_anything() {
        let access = Access::on_loopback();
        let host = ("host", "localhost:7878");
        for (headers, expected) in [
            (vec![], 200),
            (vec![("origin", "http://localhost:7878")], 200),
            (vec![("sec-fetch-site", "same-origin")], 200),
            (vec![("sec-fetch-site", "none")], 200),
            (vec![("sec-fetch-site", "cross-site")], 403),
            (vec![("sec-fetch-site", "same-site")], 403),
            (vec![("origin", "null")], 403),
            (vec![("origin", "")], 403),
            (vec![("origin", "https://evil.example")], 403),
            // Another program of this machine serves that page.
            (vec![("origin", "http://localhost:3000")], 403),
            (vec![("origin", "http://127.0.0.1:7878")], 403),
        ] {
            let with_host: Vec<_> = [host].into_iter().chain(headers.clone()).collect();
            assert_eq!(status(&access, "POST", &with_host), expected, "{headers:?}");
            assert_eq!(status(&access, "GET", &with_host), 200, "{headers:?}");
        }
    }

    #[test]
    fn elsewhere_a_change_needs_the_token() {
        let bind: SocketAddr = "0.0.0.0:7878".parse().unwrap();
        let refused = Access::new(bind, None, Vec::new()).unwrap_err().to_string();
        assert!(refused.contains("--token-file"), "{refused}");
        let token = Token::new("0123456789abcdef").unwrap();
        let access = Access::new(bind, Some(token), Vec::new()).unwrap();
        let host = ("host", "server.example:7878");
        for (authorization, expected) in [
            ("Bearer 0123456789abcdef", 200),
            ("bearer 0123456789abcdef", 200),
            ("Bearer 0123456789abcdeg", 401),
            ("Bearer 0123456789abcde", 401),
            ("Bearer", 401),
            ("Basic 0123456789abcdef", 401),
            ("0123456789abcdef", 401),
        ] {
            let headers = [host, ("authorization", authorization)];
            assert_eq!(
                status(&access, "POST", &headers),
                expected,
                "{authorization}"
            );
            assert_eq!(
                status(&access, "DELETE", &headers),
                expected,
                "{authorization}"
            );
        }
        assert_eq!(status(&access, "POST", &[host]), 401);
        assert_eq!(status(&access, "GET", &[host]), 200);
        for loopback in ["127.0.0.1:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
            assert!(Access::new(loopback.parse().unwrap(), None, Vec::new()).is_ok());
        }
    }
}
