//! A module built against an older contract: one without
//! `list_active_indexing_jobs`, HTTP routes and a data directory.

extern crate older_contract as plugin_api;

#[path = "../src/pass_through.rs"]
mod pass_through;

use abi_stable::export_root_module;
use pass_through::PassThroughStorage;
use plugin_api::{
    error::ModuleResult,
    module::{
        Module, ModuleConfig, ModuleFactory, ModuleHandle, ModuleInfo, ModuleRoot, ModuleRoot_Ref,
        StorageWrapper, StorageWrapperProvider,
    },
    records::*,
    storage::{CallContext, FullStorage, Storage},
    value::Value,
};

#[derive(Clone, Copy)]
struct Older;

impl ModuleFactory for Older {
    fn info() -> ModuleInfo {
        ModuleInfo {
            id: "test_older".into(),
            ..ModuleInfo::default()
        }
    }

    fn create() -> ModuleResult<ModuleHandle> {
        Ok(ModuleHandle::new(Self))
    }
}

impl Module for Older {
    fn info(&self) -> ModuleInfo {
        <Self as ModuleFactory>::info()
    }

    fn provision(&self, config: ModuleConfig) -> ModuleResult<()> {
        let ModuleConfig {
            primary,
            logger: _,
            settings: _,
            namespace,
            database,
        } = config;
        // What the configuration holds, for the test to read.
        let text = format!("{namespace}/{database}");
        let context = CallContext::new();
        let WriteReceipt { .. } =
            primary.save_fact(&context, "test_older", "provisioned", &Value::from(text))?;
        Ok(())
    }

    fn validate(&self) -> ModuleResult<()> {
        Ok(())
    }

    fn cleanup(&self) -> ModuleResult<()> {
        Ok(())
    }

    fn storage_wrapper(&self) -> Option<StorageWrapper> {
        Some(StorageWrapper::new(*self))
    }
}

impl StorageWrapperProvider for Older {
    fn wrap_storage(&self, primary: FullStorage) -> ModuleResult<FullStorage> {
        Ok(FullStorage::new(PassThroughStorage {
            inner: primary,
            panic_in: String::new(),
        }))
    }
}

#[export_root_module]
fn root() -> ModuleRoot_Ref {
    ModuleRoot::of::<Older>()
}
