//! The root of a module's library: the functions that a host finds there.

use super::{ModuleHandle, ModuleInfo, info::InfoObject};
use crate::{
    error::{ModuleError, ModuleResult},
    ffi::Outcome,
    panic,
};
use abi_stable::{
    StableAbi, library::RootModule, package_version_strings, prefix_type::PrefixTypeTrait,
    sabi_types::VersionStrings,
};

/// Makes a library's modules. A library has one, and exports
/// [`ModuleRoot::of`] it.
pub trait ModuleFactory: 'static {
    /// What the library's modules are, without making one.
    fn info() -> ModuleInfo;

    /// Makes one module. A host may make several.
    ///
    /// # Errors
    /// Why the module cannot exist in this process.
    fn create() -> ModuleResult<ModuleHandle>;
}

/// What a library exports with `#[export_root_module]`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = ModuleRoot_Ref, prefix_fields = ModuleRoot_Prefix)))]
pub struct ModuleRoot {
    pub(crate) info: extern "C" fn() -> InfoObject,
    #[sabi(last_prefix_field)]
    pub(crate) create: extern "C" fn() -> Outcome<ModuleHandle, ModuleError>,
}

impl ModuleRoot {
    /// The root of a library whose modules `F` makes.
    pub fn of<F: ModuleFactory>() -> ModuleRoot_Ref {
        extern "C" fn info<F: ModuleFactory>() -> InfoObject {
            panic::guard_or(ModuleInfo::default(), F::info).into()
        }

        extern "C" fn create<F: ModuleFactory>() -> Outcome<ModuleHandle, ModuleError> {
            panic::guard("create", F::create).into()
        }

        Self {
            info: info::<F>,
            create: create::<F>,
        }
        .leak_into_prefix()
    }
}

impl RootModule for ModuleRoot_Ref {
    abi_stable::declare_root_module_statics! {ModuleRoot_Ref}

    const BASE_NAME: &'static str = "remembrances_module";
    const NAME: &'static str = "Remembrances-MCP module";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}
