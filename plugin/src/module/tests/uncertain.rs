//! The primary commits a call and returns an error all the same.

use super::{
    replicating::{SecondaryDatabase, is_drained, wait_for, with_short_intervals},
    *,
};
use plugin_api::{
    error::StorageError,
    ffi::{List, Text},
    records::*,
    rust_type,
    storage::*,
    storage_methods,
};

/// The kinds that say nothing of the outcome, one of a newer contract among them.
const UNCERTAIN: [ErrorKind; 5] = [
    ErrorKind::CLOSED,
    ErrorKind::INTERNAL,
    ErrorKind::TIMEOUT,
    ErrorKind::CONNECTION,
    ErrorKind::from_code(200),
];

/// A primary that runs writes and deletes and returns an error of this kind.
struct CommitsAndFails {
    primary: FullStorage,
    kind: Mutex<Option<ErrorKind>>,
}

impl CommitsAndFails {
    fn answer<T>(&self, method: &str, answer: T) -> StorageResult<T> {
        match *self.kind.lock() {
            Some(kind) if ["write", "delete"].contains(&method) => {
                Err(StorageError::new(kind, "as a test wants"))
            }
            _ => Ok(answer),
        }
    }
}

/// The host's and the test's handle on it.
struct Handle(Arc<CommitsAndFails>);

macro_rules! commits_and_fails {
    ($(
        $(#[$($about:tt)*])*
        trait $trait:ident via $stable:ident {
            $(
                $(#[$($doc:tt)*])*
                [$kind:ident $table:literal]
                fn $method:ident($($argument:ident: $type:tt),*) -> $answer:ident;
            )*
        }
    )*) => {
        $(
            impl $trait for Handle {
                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: rust_type!($type)),*
                    ) -> StorageResult<$answer> {
                        let answer = $trait::$method(&self.0.primary, context, $($argument),*)?;
                        self.0.answer(stringify!($kind), answer)
                    }
                )*
            }
        )*
    };
}

storage_methods!(commits_and_fails);

#[test]
fn what_the_primary_did_despite_an_uncertain_error_is_noticed() {
    let host = Host::new();
    let server = test_server::start();
    let module = host.module(&server, with_short_intervals(Object::new()));
    let primary = Arc::new(CommitsAndFails {
        primary: host.primary.clone(),
        kind: Mutex::new(None),
    });
    let wrapper = module.storage_wrapper().unwrap();
    let storage = FullStorage::new(Handle(Arc::clone(&primary)));
    let storage = wrapper.wrap_storage(storage).unwrap();
    let context = CallContext::new();
    host.save(&storage, "deleted").unwrap();
    wait_for(&module, is_drained);
    let secondary = SecondaryDatabase::of(&server);

    for kind in UNCERTAIN {
        let key = format!("{kind:?}");
        *primary.kind.lock() = Some(kind);
        assert_eq!(host.save(&storage, &key).unwrap_err().kind, kind);
        wait_for(&module, |status| {
            is_drained(status) && secondary.fact(&key).is_some()
        });
        // The tombstone stays, or the archived copy would show.
        let deleted = storage.delete_fact(&context, "ada", &key);
        assert_eq!(deleted.unwrap_err().kind, kind);
        let left = storage.get_fact(&context, "ada", &key).unwrap();
        assert!(left.is_none(), "{kind:?}: {left:?}");
        assert!(secondary.fact(&key).is_some());
    }
    let status = json(&request(&module, "GET", "/api/db-sync/status", ""));
    let unsettled = status["log"]["unsettled_writes"].as_u64();
    assert_eq!(unsettled, Some(2 * UNCERTAIN.len() as u64));
    module.cleanup().unwrap();
}
