//! [`ModuleConfig`]: what the host gives a module.

use super::{Logger, record::growing_record};
use crate::{ffi::Text, storage::FullStorage, value::Value};

growing_record! {
    /// What the host gives a module when it provisions it.
    #[derive(Clone)]
    pub struct ModuleConfig crosses as ConfigObject = StableConfig_TO of StableConfig {
        required {
            /// The host's own storage, connected and with its schema in place.
            primary: FullStorage,
            /// Where the module's log lines go.
            logger: Logger,
            /// The module's block of the host's YAML, as it stands there.
            settings: Value,
        }
        optional {
            /// The namespace of the primary.
            namespace: Text,
            /// The database of the primary.
            database: Text,
            /// The host's data directory, for the module's files.
            data_dir: Text,
        }
    }
}
