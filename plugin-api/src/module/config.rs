//! [`ModuleConfig`]: what the host hands a module.

use super::Logger;
use crate::{storage::FullStorage, value::Value};
use abi_stable::{StableAbi, std_types::RString};

/// What the host hands a module when it provisions it.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct ModuleConfig {
    /// The module's block of the host's YAML, as it stands there.
    pub settings: Value,
    /// The host's own storage, connected and with its schema in place.
    pub primary: FullStorage,
    /// The namespace that the primary is in.
    pub namespace: RString,
    /// The database that the primary is.
    pub database: RString,
    /// Where the module's log lines go.
    pub logger: Logger,
    /// A directory for what the module keeps; the host's own data directory.
    pub data_dir: RString,
}
