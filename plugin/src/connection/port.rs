//! Probing the port of a server: the quickest sign that it is gone. The SDK
//! hides a socket that was closed.

use plugin_api::error::StorageError;
use std::{
    io::ErrorKind,
    net::TcpStream,
    time::{Duration, Instant},
};
use surreal_storage::target::Address;
use url::Url;

/// How long a probe may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// An error if nothing listens at `address`. None if something does, or if the
/// probe takes too long. Blocks for a second at most, and for as long as it takes
/// to resolve a name.
pub(super) fn probe(address: &Address) -> Option<StorageError> {
    let url = Url::parse(address.as_str()).ok()?;
    let deadline = Instant::now() + TIMEOUT;
    let mut refusal = None;
    for address in url.socket_addrs(|| None).ok()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        match TcpStream::connect_timeout(&address, left) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => refusal = Some(error),
            _ => return None,
        }
    }
    refusal.map(|error| StorageError::connection(format!("the server no longer listens: {error}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use std::net::{Ipv4Addr, TcpListener};
    use surreal_storage::Target;

    fn address(listener: &TcpListener) -> Address {
        let target = Target {
            url: format!("ws://{}/prefix", listener.local_addr().unwrap()),
            credentials: None,
            ca_file: None,
            namespace: "n".to_owned(),
            database: "d".to_owned(),
        };
        target.address().unwrap()
    }

    #[test]
    fn only_a_port_without_a_listener_is_an_error() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = address(&listener);
        assert!(probe(&address).is_none());
        drop(listener);
        assert!(probe(&address).is_some());
    }
}
