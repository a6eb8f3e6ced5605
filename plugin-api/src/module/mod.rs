//! A module of the host: what it is, its lifecycle, and its capabilities.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `mod.rs` | [`Module`] with its lifecycle and the list of capabilities; [`ModuleHandle`] |
//! | `root.rs` | [`ModuleRoot`]: what a library exports; [`ModuleFactory`]: what makes its modules |
//! | `info.rs`, `config.rs` | [`ModuleInfo`], [`ModuleConfig`] |
//! | `wrapper.rs` | the capability of wrapping the host's storage |
//! | `http.rs` | the capability of answering HTTP requests |
//! | `logger.rs` | [`Logger`]: a module's log lines go to the host |
//! | `record.rs` | how the records of this module cross the boundary, and grow |
//!
//! # Lifecycle
//!
//! [`ModuleFactory::create`] → [`Module::provision`] → [`Module::validate`] →
//! the capabilities → [`Module::cleanup`]. If provisioning or validating fails,
//! the host calls `cleanup` and drops the module.
//!
//! # Capabilities
//!
//! A host asks for the capabilities that it supports itself. One that a module
//! does not have, or that its contract does not know, is `None`.

mod config;
mod http;
mod info;
mod logger;
mod record;
#[allow(non_camel_case_types, reason = "abi_stable names prefix types so")]
mod root;
mod wrapper;

pub use config::ModuleConfig;
pub use http::{HttpEndpointProvider, HttpEndpoints, HttpRequest, HttpResponse, HttpRoute};
pub use info::ModuleInfo;
pub use logger::{HostLogger, LogLevel, Logger};
pub use root::{ModuleFactory, ModuleRoot, ModuleRoot_Ref};
pub use wrapper::{StorageWrapper, StorageWrapperProvider};

use crate::{
    error::{ModuleError, ModuleResult},
    ffi::{Maybe, Outcome, Shared},
    panic,
};
use abi_stable::{StableAbi, erased_types::TD_Opaque, sabi_trait};
use config::ConfigObject;
use info::InfoObject;

/// Makes the traits of a module from the list of its capabilities.
macro_rules! module_with_capabilities {
    ($(
        $(#[doc = $doc:literal])*
        fn $capability:ident() -> $type:ty;
    )*) => {
        /// A module. All methods may be called from any thread.
        pub trait Module: Send + Sync {
            /// What the module is.
            fn info(&self) -> ModuleInfo;

            /// Gives the module its configuration and the host's storage. Must
            /// be quick: what needs a network goes on in the background.
            ///
            /// # Errors
            /// `InvalidInput` with the key that is wrong and how to fix it.
            fn provision(&self, config: ModuleConfig) -> ModuleResult<()>;

            /// Checks that the module can work as provisioned.
            ///
            /// # Errors
            /// `InvalidInput` with what is wrong. The host then calls `cleanup`.
            fn validate(&self) -> ModuleResult<()>;

            /// Ends all work and releases all resources. Idempotent.
            ///
            /// # Errors
            /// What could not be finished; the module has ended all the same.
            fn cleanup(&self) -> ModuleResult<()>;

            $(
                $(#[doc = $doc])*
                fn $capability(&self) -> Option<$type> {
                    None
                }
            )*
        }

        #[sabi_trait]
        trait StableModule: Send + Sync {
            fn info(&self) -> InfoObject;
            fn provision(&self, config: ConfigObject) -> Outcome<(), ModuleError>;
            fn validate(&self) -> Outcome<(), ModuleError>;
            #[sabi(last_prefix_field)]
            fn cleanup(&self) -> Outcome<(), ModuleError>;
            $(
                fn $capability(&self) -> Maybe<$type> {
                    Maybe::RNone
                }
            )*
        }

        impl<T: Module> StableModule for T {
            fn info(&self) -> InfoObject {
                panic::guard_or(ModuleInfo::default(), || Module::info(self)).into()
            }

            fn provision(&self, config: ConfigObject) -> Outcome<(), ModuleError> {
                panic::guard("provision", || Module::provision(self, config.into())).into()
            }

            fn validate(&self) -> Outcome<(), ModuleError> {
                panic::guard("validate", || Module::validate(self)).into()
            }

            fn cleanup(&self) -> Outcome<(), ModuleError> {
                panic::guard("cleanup", || Module::cleanup(self)).into()
            }

            $(
                fn $capability(&self) -> Maybe<$type> {
                    panic::guard_or(None, || Module::$capability(self)).into()
                }
            )*
        }

        impl Module for ModuleHandle {
            fn info(&self) -> ModuleInfo {
                self.inner.info().into()
            }

            fn provision(&self, config: ModuleConfig) -> ModuleResult<()> {
                self.inner.provision(config.into()).into_result()
            }

            fn validate(&self) -> ModuleResult<()> {
                self.inner.validate().into_result()
            }

            fn cleanup(&self) -> ModuleResult<()> {
                self.inner.cleanup().into_result()
            }

            $(
                fn $capability(&self) -> Option<$type> {
                    self.inner.$capability().into_option()
                }
            )*
        }
    };
}

// A new capability goes to the end; the order is the layout.
module_with_capabilities! {
    /// How the module wraps the host's storage, if it does.
    fn storage_wrapper() -> StorageWrapper;
    /// The HTTP routes that the module offers, if any.
    fn http_endpoints() -> HttpEndpoints;
}

/// A module in the form that crosses the boundary; itself a [`Module`]. Cloning
/// it shares the module.
#[repr(C)]
#[derive(StableAbi)]
pub struct ModuleHandle {
    inner: StableModule_TO<'static, Shared<()>>,
}

impl ModuleHandle {
    /// Wraps `module` for the boundary. Panics inside it become errors.
    pub fn new(module: impl Module + 'static) -> Self {
        Self {
            inner: StableModule_TO::from_ptr(Shared::new(module), TD_Opaque),
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
