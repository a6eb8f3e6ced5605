//! A module that passes every call through, and does on request what a bad one
//! would. Its libraries are the examples of this package.
//!
//! Its settings (all under `config`):
//!
//! | key | what it does |
//! | --- | --- |
//! | `fail_in` | the step of its life that fails: `provision`, `validate`, `wrap_storage`, `cleanup` |
//! | `panic_in` | the step or storage method that panics |
//!
//! Each step of its life is a line of `lifecycle.txt` in the data directory.

use parking::Shared;
use plugin_api::{
    abi_stable::std_types::{RString, RVec},
    error::{StorageError, StorageResult},
    module::{
        HttpEndpointProvider, HttpEndpoints, HttpRequest, HttpResponse, HttpRoute, Module,
        ModuleConfig, ModuleInfo, StorageWrapper, StorageWrapperProvider,
    },
    records::*,
    rust_type,
    storage::*,
    storage_methods,
    value::{Object, Value},
};
use std::{fs::File, io::Write, path::PathBuf, sync::Arc};

mod foreign;
mod parking {
    use std::sync::{Mutex, PoisonError};

    /// A lock that outlives panics.
    #[derive(Default)]
    pub(crate) struct Shared<T>(Mutex<T>);

    impl<T: Clone> Shared<T> {
        pub(crate) fn get(&self) -> T {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        }

        pub(crate) fn set(&self, value: T) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
        }
    }
}

/// What is asked of the module.
#[derive(Clone, Default)]
struct Wishes {
    fail_in: String,
    panic_in: String,
    lifecycle: PathBuf,
    id: &'static str,
}

impl Wishes {
    /// Writes the step down, then does what is asked for at it.
    #[allow(clippy::panic, reason = "it is asked to")]
    fn step(&self, step: &str) -> StorageResult<()> {
        let written = File::options()
            .append(true)
            .create(true)
            .open(&self.lifecycle)
            .and_then(|mut file| writeln!(file, "{} {step}", self.id));
        written.map_err(|error| StorageError::internal(error.to_string()))?;
        if self.panic_in == step {
            panic!("asked to panic in {step}");
        }
        if self.fail_in == step {
            return Err(StorageError::invalid_input(format!(
                "fail_in: asked to fail in {step}"
            )));
        }
        Ok(())
    }
}

/// The module, under the id of its library.
pub struct PassThrough {
    id: &'static str,
    wishes: Arc<Shared<Wishes>>,
}

impl PassThrough {
    /// A module of that id.
    pub fn new(id: &'static str) -> Self {
        Self {
            id,
            wishes: Arc::default(),
        }
    }
}

/// What a module of that id says of itself.
pub fn info(id: &'static str) -> ModuleInfo {
    ModuleInfo {
        id: id.into(),
        name: "Pass-through".into(),
        description: "Passes every call through.".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        author: "The tests".into(),
        license: "none".into(),
    }
}

impl Module for PassThrough {
    fn info(&self) -> ModuleInfo {
        info(self.id)
    }

    fn provision(&self, config: ModuleConfig) -> StorageResult<()> {
        let text = |key: &str| -> String {
            config
                .settings
                .as_object()
                .and_then(|block| block.get("config")?.as_object()?.get(key)?.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let wishes = Wishes {
            fail_in: text("fail_in"),
            panic_in: text("panic_in"),
            lifecycle: PathBuf::from(config.data_dir.as_str()).join("lifecycle.txt"),
            id: self.id,
        };
        self.wishes.set(wishes.clone());
        wishes.step("provision")
    }

    fn validate(&self) -> StorageResult<()> {
        self.wishes.get().step("validate")
    }

    fn cleanup(&self) -> StorageResult<()> {
        self.wishes.get().step("cleanup")
    }

    fn storage_wrapper(&self) -> Option<StorageWrapper> {
        Some(StorageWrapper::new(Wrapper(Arc::clone(&self.wishes))))
    }

    fn http_endpoints(&self) -> Option<HttpEndpoints> {
        Some(HttpEndpoints::new(Echo(self.id)))
    }
}

struct Wrapper(Arc<Shared<Wishes>>);

impl StorageWrapperProvider for Wrapper {
    fn wrap_storage(&self, primary: FullStorage) -> StorageResult<FullStorage> {
        let wishes = self.0.get();
        wishes.step("wrap_storage")?;
        Ok(FullStorage::new(Wrapped {
            inner: primary,
            panic_in: wishes.panic_in,
        }))
    }
}

/// Answers `POST /api/ID/echo` with the body that came.
struct Echo(&'static str);

impl HttpEndpointProvider for Echo {
    fn base_path(&self) -> String {
        format!("/api/{}", self.0)
    }

    fn routes(&self) -> Vec<HttpRoute> {
        vec![HttpRoute {
            method: "POST".into(),
            path: format!("/api/{}/echo", self.0).into(),
            about: "Answers with the body that came.".into(),
        }]
    }

    fn handle(&self, request: &HttpRequest) -> StorageResult<HttpResponse> {
        if request.method != "POST" {
            return Ok(HttpResponse {
                status: 405,
                content_type: "application/json".into(),
                body: br#"{"error":"only POST"}"#.to_vec().into(),
            });
        }
        Ok(HttpResponse {
            status: 200,
            content_type: "application/json".into(),
            body: request.body.clone(),
        })
    }
}

struct Wrapped {
    inner: FullStorage,
    panic_in: String,
}

impl Wrapped {
    #[allow(clippy::panic, reason = "it is asked to")]
    fn before(&self, method: &str) {
        if self.panic_in == method {
            panic!("asked to panic in {method}");
        }
    }
}

macro_rules! pass_through {
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
            impl $trait for Wrapped {
                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: rust_type!($type)),*
                    ) -> StorageResult<$answer> {
                        self.before(stringify!($method));
                        $trait::$method(&self.inner, context, $($argument),*)
                    }
                )*
            }
        )*
    };
}

storage_methods!(pass_through);

/// Exports a library's root whose modules are pass-through ones of that id.
#[macro_export]
macro_rules! export_pass_through {
    ($id:literal) => {
        extern "C" fn module_info() -> ::plugin_api::module::ModuleInfo {
            $crate::info($id)
        }

        extern "C" fn new() -> ::abi_stable::std_types::RResult<
            ::plugin_api::module::ModuleHandle,
            ::plugin_api::error::StorageError,
        > {
            ::abi_stable::std_types::RResult::ROk(::plugin_api::module::ModuleHandle::new(
                $crate::PassThrough::new($id),
            ))
        }

        #[::abi_stable::export_root_module]
        fn root() -> ::plugin_api::module::ModuleRoot_Ref {
            use ::abi_stable::prefix_type::PrefixTypeTrait as _;
            ::plugin_api::module::ModuleRoot { module_info, new }.leak_into_prefix()
        }
    };
}
