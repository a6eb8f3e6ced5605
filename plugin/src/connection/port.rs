//! Does anybody listen at an address? The quickest sign that a server is gone:
//! the SDK hides a socket that was closed.

use plugin_api::error::StorageError;
use std::{
    io::ErrorKind,
    net::TcpStream,
    time::{Duration, Instant},
};
use surreal_storage::target::Address;
use url::Url;

/// How long looking may take.
const LOOK: Duration = Duration::from_secs(1);

/// An error if nobody listens at `address`. None if somebody does, or if that
/// cannot be told soon. Blocks for a second at most, and for as long as it takes
/// to resolve a name.
pub(super) fn nobody_listens(address: &Address) -> Option<StorageError> {
    let url = Url::parse(address.as_str()).ok()?;
    let deadline = Instant::now() + LOOK;
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
    refusal.map(|error| {
        StorageError::connection(format!("the server does not listen any more: {error}"))
    })
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
            namespace: "n".to_owned(),
            database: "d".to_owned(),
        };
        target.address().unwrap()
    }

    #[test]
    fn a_port_with_a_listener_is_no_sign_and_one_without_is() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = address(&listener);
        assert!(nobody_listens(&address).is_none());
        drop(listener);
        assert!(nobody_listens(&address).is_some());
    }
}
