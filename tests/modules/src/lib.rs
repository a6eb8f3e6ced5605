//! Small modules for the loading tests. Their libraries are the examples of this
//! package.
//!
//! | example | what it is |
//! | --- | --- |
//! | `alpha`, `beta`, `alpha_again` | pass-through modules ([`PassThrough`]), two of them with the same id |
//! | `older`, `newer` | pass-through modules built against an older and a newer contract (`tests/contracts`) |
//! | `other_version`, `other_layout` | modules of incompatible contracts |
//! | `unrelated` | a shared library that is no module |
//!
//! A [`PassThrough`] passes every call through, and misbehaves on request. Its
//! settings (all under `config`):
//!
//! | key | what it does |
//! | --- | --- |
//! | `fail_in` | the lifecycle step that fails: `provision`, `validate`, `wrap_storage`, `cleanup` |
//! | `panic_in` | the lifecycle step or storage method that panics |
//!
//! It writes a line to `lifecycle.txt` in the data directory for each step.

mod foreign;
mod pass_through;

use pass_through::PassThroughStorage;
use plugin_api::{
    error::{ModuleError, ModuleResult},
    module::{
        HttpEndpointProvider, HttpEndpoints, HttpRequest, HttpResponse, HttpRoute, Module,
        ModuleConfig, ModuleInfo, StorageWrapper, StorageWrapperProvider,
    },
    storage::FullStorage,
};
use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

/// How the settings ask the module to behave.
#[derive(Clone, Default)]
struct Script {
    id: &'static str,
    fail_in: String,
    panic_in: String,
    lifecycle: PathBuf,
}

impl Script {
    /// Writes the step to the file, and fails or panics if it should.
    #[allow(clippy::panic, reason = "it is asked to")]
    fn step(&self, step: &str) -> ModuleResult<()> {
        let written = File::options()
            .append(true)
            .create(true)
            .open(&self.lifecycle)
            .and_then(|mut file| writeln!(file, "{} {step}", self.id));
        written.map_err(|error| ModuleError::internal(error.to_string()))?;
        if self.panic_in == step {
            panic!("asked to panic in {step}");
        }
        if self.fail_in == step {
            return Err(ModuleError::invalid_input(format!(
                "fail_in: asked to fail in {step}"
            )));
        }
        Ok(())
    }
}

/// A module that passes every call through, under the id of its library.
pub struct PassThrough {
    id: &'static str,
    /// Set when the module is provisioned.
    script: Arc<OnceLock<Script>>,
}

impl PassThrough {
    /// A module of that id.
    pub fn new(id: &'static str) -> Self {
        Self {
            id,
            script: Arc::default(),
        }
    }
}

/// What a module of that id says about itself.
pub fn info(id: &'static str) -> ModuleInfo {
    ModuleInfo {
        id: id.into(),
        name: "Pass-through".into(),
        description: "Passes every call through.".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        author: "The tests".into(),
        license: "none".into(),
        ..ModuleInfo::default()
    }
}

/// The script of a module, which has to be provisioned.
fn provisioned(script: &OnceLock<Script>) -> ModuleResult<&Script> {
    script
        .get()
        .ok_or_else(|| ModuleError::invalid_input("the module is not provisioned"))
}

impl Module for PassThrough {
    fn info(&self) -> ModuleInfo {
        info(self.id)
    }

    fn provision(&self, config: ModuleConfig) -> ModuleResult<()> {
        let text = |key: &str| -> String {
            config
                .settings
                .as_object()
                .and_then(|block| block.get("config")?.as_object()?.get(key)?.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let script = self.script.get_or_init(|| Script {
            id: self.id,
            fail_in: text("fail_in"),
            panic_in: text("panic_in"),
            lifecycle: PathBuf::from(config.data_dir.as_str()).join("lifecycle.txt"),
        });
        script.step("provision")
    }

    fn validate(&self) -> ModuleResult<()> {
        provisioned(&self.script)?.step("validate")
    }

    fn cleanup(&self) -> ModuleResult<()> {
        provisioned(&self.script)?.step("cleanup")
    }

    fn storage_wrapper(&self) -> Option<StorageWrapper> {
        Some(StorageWrapper::new(Wrapper(Arc::clone(&self.script))))
    }

    fn http_endpoints(&self) -> Option<HttpEndpoints> {
        Some(HttpEndpoints::new(Echo(self.id)))
    }
}

struct Wrapper(Arc<OnceLock<Script>>);

impl StorageWrapperProvider for Wrapper {
    fn wrap_storage(&self, primary: FullStorage) -> ModuleResult<FullStorage> {
        let script = provisioned(&self.0)?;
        script.step("wrap_storage")?;
        Ok(FullStorage::new(PassThroughStorage {
            inner: primary,
            panic_in: script.panic_in.clone(),
        }))
    }
}

/// Answers `POST /api/ID/echo` with the body of the request.
struct Echo(&'static str);

impl HttpEndpointProvider for Echo {
    fn base_path(&self) -> String {
        format!("/api/{}", self.0)
    }

    fn routes(&self) -> Vec<HttpRoute> {
        vec![HttpRoute {
            method: "POST".into(),
            path: format!("/api/{}/echo", self.0).into(),
            about: "Answers with the body of the request.".into(),
        }]
    }

    fn handle(&self, request: &HttpRequest) -> ModuleResult<HttpResponse> {
        if request.method != "POST" {
            return Ok(HttpResponse {
                status: 405,
                content_type: "application/json".into(),
                body: br#"{"error":"only POST"}"#.to_vec().into(),
                ..HttpResponse::default()
            });
        }
        Ok(HttpResponse {
            status: 200,
            content_type: "application/json".into(),
            body: request.body.clone(),
            ..HttpResponse::default()
        })
    }
}

/// Exports a library's root whose modules are pass-through ones of that id.
#[macro_export]
macro_rules! export_pass_through {
    ($id:literal) => {
        struct Factory;

        impl ::plugin_api::module::ModuleFactory for Factory {
            fn info() -> ::plugin_api::module::ModuleInfo {
                $crate::info($id)
            }

            fn create() -> ::plugin_api::error::ModuleResult<::plugin_api::module::ModuleHandle> {
                Ok(::plugin_api::module::ModuleHandle::new(
                    $crate::PassThrough::new($id),
                ))
            }
        }

        #[::abi_stable::export_root_module]
        fn root() -> ::plugin_api::module::ModuleRoot_Ref {
            ::plugin_api::module::ModuleRoot::of::<Factory>()
        }
    };
}
