//! A module built against a newer contract: one with the method `count_facts`,
//! the capability `admin_endpoints` and the configuration field `language`.

extern crate newer_contract as plugin_api;

#[path = "../src/pass_through.rs"]
mod pass_through;

use abi_stable::export_root_module;
use pass_through::PassThroughStorage;
use plugin_api::{
    error::ModuleResult,
    module::{
        HttpEndpointProvider, HttpEndpoints, HttpRequest, HttpResponse, HttpRoute, Module,
        ModuleConfig, ModuleFactory, ModuleHandle, ModuleInfo, ModuleRoot, ModuleRoot_Ref,
        StorageWrapper, StorageWrapperProvider,
    },
    storage::{CallContext, FullStorage, StatsProvider, Storage},
    value::Value,
};

#[derive(Clone, Copy)]
struct Newer;

impl ModuleFactory for Newer {
    fn info() -> ModuleInfo {
        ModuleInfo {
            id: "test_newer".into(),
            ..ModuleInfo::default()
        }
    }

    fn create() -> ModuleResult<ModuleHandle> {
        Ok(ModuleHandle::new(Self))
    }
}

impl Module for Newer {
    fn info(&self) -> ModuleInfo {
        <Self as ModuleFactory>::info()
    }

    fn provision(&self, config: ModuleConfig) -> ModuleResult<()> {
        // What the host's configuration and storage hold of the newer contract,
        // for the test to read.
        let context = CallContext::new();
        let language = format!("{:?}", config.language.as_str());
        let counted = match config.primary.count_facts(&context, "ada") {
            Ok(count) => count.to_string(),
            Err(error) => error.to_string(),
        };
        for (key, seen) in [("language", language), ("count_facts", counted)] {
            let seen = Value::from(seen);
            config
                .primary
                .save_fact(&context, "test_newer", key, &seen)?;
        }
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

    fn http_endpoints(&self) -> Option<HttpEndpoints> {
        Some(HttpEndpoints::new(*self))
    }

    fn admin_endpoints(&self) -> Option<HttpEndpoints> {
        Some(HttpEndpoints::new(*self))
    }
}

impl StorageWrapperProvider for Newer {
    fn wrap_storage(&self, primary: FullStorage) -> ModuleResult<FullStorage> {
        Ok(FullStorage::new(PassThroughStorage {
            inner: primary,
            panic_in: String::new(),
        }))
    }
}

/// Answers with the body of the request.
impl HttpEndpointProvider for Newer {
    fn base_path(&self) -> String {
        "/api/test_newer".to_owned()
    }

    fn routes(&self) -> Vec<HttpRoute> {
        Vec::new()
    }

    fn handle(&self, request: &HttpRequest) -> ModuleResult<HttpResponse> {
        Ok(HttpResponse {
            status: 200,
            body: request.body.clone(),
            ..HttpResponse::default()
        })
    }
}

#[export_root_module]
fn root() -> ModuleRoot_Ref {
    ModuleRoot::of::<Newer>()
}
