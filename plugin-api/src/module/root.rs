//! The root of a module's library: the two functions that a host finds there.

use super::{ModuleHandle, ModuleInfo};
use crate::error::StorageError;
use abi_stable::{
    StableAbi, library::RootModule, package_version_strings, sabi_types::VersionStrings,
    std_types::RResult,
};

/// What a library exports with `#[export_root_module]`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = ModuleRoot_Ref, prefix_fields = ModuleRoot_Prefix)))]
#[sabi(missing_field(panic))]
pub struct ModuleRoot {
    /// What the library holds, without making one.
    pub module_info: extern "C" fn() -> ModuleInfo,
    /// Makes one module. A host may make several.
    #[sabi(last_prefix_field)]
    pub new: extern "C" fn() -> RResult<ModuleHandle, StorageError>,
}

impl RootModule for ModuleRoot_Ref {
    abi_stable::declare_root_module_statics! {ModuleRoot_Ref}

    const BASE_NAME: &'static str = "remembrances_module";
    const NAME: &'static str = "Remembrances-MCP module";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}
