//! The kind of a secondary's address.

use super::kinds::Kind;
use plugin_api::value::Value;
use surreal_storage::target::{Address, Target};

/// A server's address, in the one form that all ways to write it come to. It
/// holds no user, no password and no query, so it may be shown.
pub(super) struct ServerUrl;

impl Kind for ServerUrl {
    type Out = Address;

    fn parse(&self, value: &Value) -> Result<Address, String> {
        let url = value.as_str().ok_or("it is no text")?;
        // What stands before an @ or after a ? may be secret: not shown.
        if let Some((_, host)) = url.rsplit_once('@') {
            return Err(format!(
                "\"…@{host}\" holds a user or a password; give them under their own keys"
            ));
        }
        if let Some((bare, _)) = url.split_once(['?', '#']) {
            return Err(format!(
                "\"{bare}…\" has a query or a fragment; leave it out"
            ));
        }
        let target = Target {
            url: url.to_owned(),
            credentials: None,
            namespace: String::new(),
            database: String::new(),
        };
        match target.address() {
            Ok(address) if address.is_remote() => Ok(address),
            Ok(_) => Err(format!(
                "\"{url}\" is no server that can be reached by a network"
            )),
            Err(error) => Err(error.message.into()),
        }
    }

    fn accepts(&self) -> String {
        "a URL like ws://host:8000, wss://host/rpc, http://… or https://…".to_owned()
    }
}
