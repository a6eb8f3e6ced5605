//! The capability of wrapping the host's storage.

use crate::{
    error::{ModuleError, ModuleResult},
    ffi::{Outcome, Shared},
    panic,
    storage::FullStorage,
};
use abi_stable::{StableAbi, erased_types::TD_Opaque, sabi_trait};

/// Wraps the host's storage in a module's own.
pub trait StorageWrapperProvider: Send + Sync {
    /// The storage that the host uses from now on instead of `primary`.
    ///
    /// # Errors
    /// `Closed` after the module's cleanup.
    fn wrap_storage(&self, primary: FullStorage) -> ModuleResult<FullStorage>;
}

#[sabi_trait]
trait StableWrapper: Send + Sync {
    #[sabi(last_prefix_field)]
    fn wrap_storage(&self, primary: FullStorage) -> Outcome<FullStorage, ModuleError>;
}

impl<T: StorageWrapperProvider> StableWrapper for T {
    fn wrap_storage(&self, primary: FullStorage) -> Outcome<FullStorage, ModuleError> {
        panic::guard("wrap_storage", || {
            StorageWrapperProvider::wrap_storage(self, primary)
        })
        .into()
    }
}

/// A [`StorageWrapperProvider`] in the form that crosses the boundary.
#[repr(C)]
#[derive(StableAbi)]
pub struct StorageWrapper {
    inner: StableWrapper_TO<'static, Shared<()>>,
}

impl StorageWrapper {
    /// Wraps `provider` for the boundary. Panics inside it become errors.
    pub fn new(provider: impl StorageWrapperProvider + 'static) -> Self {
        Self {
            inner: StableWrapper_TO::from_ptr(Shared::new(provider), TD_Opaque),
        }
    }
}

impl StorageWrapperProvider for StorageWrapper {
    fn wrap_storage(&self, primary: FullStorage) -> ModuleResult<FullStorage> {
        self.inner.wrap_storage(primary).into_result()
    }
}
