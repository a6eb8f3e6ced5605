//! The capability of wrapping the host's storage.

use crate::{
    error::{StorageError, StorageResult},
    panic,
    storage::FullStorage,
};
use abi_stable::{
    StableAbi,
    erased_types::TD_Opaque,
    sabi_trait,
    std_types::{RArc, RResult},
};

/// Puts a module's storage around the host's.
pub trait StorageWrapperProvider: Send + Sync {
    /// The storage that the host uses from now on instead of `primary`.
    ///
    /// # Errors
    /// `Closed` after the module's cleanup.
    fn wrap_storage(&self, primary: FullStorage) -> StorageResult<FullStorage>;
}

#[sabi_trait]
trait StableWrapper: Send + Sync {
    fn wrap_storage(&self, primary: FullStorage) -> RResult<FullStorage, StorageError>;
}

impl<T: StorageWrapperProvider> StableWrapper for T {
    fn wrap_storage(&self, primary: FullStorage) -> RResult<FullStorage, StorageError> {
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
    inner: StableWrapper_TO<'static, RArc<()>>,
}

impl StorageWrapper {
    /// Makes `provider` ready to cross.
    pub fn new(provider: impl StorageWrapperProvider + 'static) -> Self {
        Self {
            inner: StableWrapper_TO::from_ptr(RArc::new(provider), TD_Opaque),
        }
    }
}

impl StorageWrapperProvider for StorageWrapper {
    fn wrap_storage(&self, primary: FullStorage) -> StorageResult<FullStorage> {
        self.inner.wrap_storage(primary).into_result()
    }
}
