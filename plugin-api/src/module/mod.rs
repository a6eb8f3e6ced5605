//! A module of the host: what it is, how it lives, what it can do.
//!
//! Its life is discover → [`ModuleRoot::new`] → [`Module::provision`] →
//! [`Module::validate`] → what its capabilities offer → [`Module::cleanup`].
//!
//! A host asks a module for the capabilities that it supports itself. A new
//! capability is a new method with a default, so no old host breaks.

mod config;
mod http;
mod logger;
#[allow(non_camel_case_types, reason = "abi_stable names prefix types so")]
mod root;
mod wrapper;

pub use config::ModuleConfig;
pub use http::{HttpEndpointProvider, HttpEndpoints, HttpRequest, HttpResponse, HttpRoute};
pub use logger::{HostLogger, LogLevel, Logger};
pub use root::{ModuleRoot, ModuleRoot_Ref};
pub use wrapper::{StorageWrapper, StorageWrapperProvider};

use crate::{
    error::{StorageError, StorageResult},
    panic,
};
use abi_stable::{
    StableAbi,
    erased_types::TD_Opaque,
    sabi_trait,
    std_types::{RArc, ROption, RResult, RString},
};
use serde::Serialize;

/// What a module says of itself.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModuleInfo {
    /// The name in the host's configuration: `commercial_db-sync-server`.
    pub id: RString,
    /// For people.
    pub name: RString,
    /// What it does, in a sentence.
    pub description: RString,
    /// Its own version, not the contract's.
    pub version: RString,
    /// Who made it.
    pub author: RString,
    /// Under what terms.
    pub license: RString,
}

/// A module. All methods may be called from any thread.
pub trait Module: Send + Sync {
    /// What the module is.
    fn info(&self) -> ModuleInfo;

    /// Hands the module its configuration and what it works on. Nothing slow:
    /// whatever needs a network goes on in the background.
    ///
    /// # Errors
    /// `InvalidInput` naming the key that is wrong and how to mend it.
    fn provision(&self, config: ModuleConfig) -> StorageResult<()>;

    /// Checks that what was provisioned can work.
    ///
    /// # Errors
    /// `InvalidInput` naming what is wrong. The host then calls `cleanup`.
    fn validate(&self) -> StorageResult<()>;

    /// Ends all work and frees all resources. Doing it twice is doing it once.
    ///
    /// # Errors
    /// What could not be finished; the module has ended all the same.
    fn cleanup(&self) -> StorageResult<()>;

    /// How the module wraps the host's storage, if it does.
    fn storage_wrapper(&self) -> Option<StorageWrapper> {
        None
    }

    /// The HTTP routes that the module offers, if any.
    fn http_endpoints(&self) -> Option<HttpEndpoints> {
        None
    }
}

#[sabi_trait]
trait StableModule: Send + Sync {
    fn info(&self) -> ModuleInfo;
    fn provision(&self, config: ModuleConfig) -> RResult<(), StorageError>;
    fn validate(&self) -> RResult<(), StorageError>;
    fn cleanup(&self) -> RResult<(), StorageError>;
    fn storage_wrapper(&self) -> ROption<StorageWrapper>;
    #[sabi(last_prefix_field)]
    fn http_endpoints(&self) -> ROption<HttpEndpoints>;
}

impl<T: Module> StableModule for T {
    fn info(&self) -> ModuleInfo {
        panic::guard_or(ModuleInfo::default(), || Module::info(self))
    }

    fn provision(&self, config: ModuleConfig) -> RResult<(), StorageError> {
        panic::guard("provision", || Module::provision(self, config)).into()
    }

    fn validate(&self) -> RResult<(), StorageError> {
        panic::guard("validate", || Module::validate(self)).into()
    }

    fn cleanup(&self) -> RResult<(), StorageError> {
        panic::guard("cleanup", || Module::cleanup(self)).into()
    }

    fn storage_wrapper(&self) -> ROption<StorageWrapper> {
        panic::guard_or(None, || Module::storage_wrapper(self)).into()
    }

    fn http_endpoints(&self) -> ROption<HttpEndpoints> {
        panic::guard_or(None, || Module::http_endpoints(self)).into()
    }
}

/// A module in the form that crosses the boundary; itself a [`Module`].
#[repr(C)]
#[derive(StableAbi)]
pub struct ModuleHandle {
    inner: StableModule_TO<'static, RArc<()>>,
}

impl ModuleHandle {
    /// Makes `module` ready to cross. Panics inside it become errors.
    pub fn new(module: impl Module + 'static) -> Self {
        Self {
            inner: StableModule_TO::from_ptr(RArc::new(module), TD_Opaque),
        }
    }
}

impl Clone for ModuleHandle {
    fn clone(&self) -> Self {
        Self {
            inner: StableModule_TO::from_sabi(self.inner.obj.shallow_clone()),
        }
    }
}

impl Module for ModuleHandle {
    fn info(&self) -> ModuleInfo {
        self.inner.info()
    }

    fn provision(&self, config: ModuleConfig) -> StorageResult<()> {
        self.inner.provision(config).into_result()
    }

    fn validate(&self) -> StorageResult<()> {
        self.inner.validate().into_result()
    }

    fn cleanup(&self) -> StorageResult<()> {
        self.inner.cleanup().into_result()
    }

    fn storage_wrapper(&self) -> Option<StorageWrapper> {
        self.inner.storage_wrapper().into_option()
    }

    fn http_endpoints(&self) -> Option<HttpEndpoints> {
        self.inner.http_endpoints().into_option()
    }
}
