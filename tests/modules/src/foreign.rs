//! A module of another contract.

/// Exports the root module of a contract that says it has this version, and
/// has another layout than this host's.
#[macro_export]
macro_rules! export_foreign_module {
    ($version:expr) => {
        use abi_stable::{
            StableAbi, export_root_module, library::RootModule, prefix_type::PrefixTypeTrait,
            sabi_types::VersionStrings, std_types::RString,
        };

        /// The root module of that contract.
        #[repr(C)]
        #[derive(StableAbi)]
        #[sabi(kind(Prefix(prefix_ref = ModuleRoot_Ref, prefix_fields = ModuleRoot_Prefix)))]
        #[sabi(missing_field(panic))]
        pub struct ModuleRoot {
            /// Gives a name where this host expects a description.
            #[sabi(last_prefix_field)]
            pub module_info: extern "C" fn() -> RString,
        }

        impl RootModule for ModuleRoot_Ref {
            abi_stable::declare_root_module_statics! {ModuleRoot_Ref}

            const BASE_NAME: &'static str = "remembrances_module";
            const NAME: &'static str = "Remembrances-MCP module";
            const VERSION_STRINGS: VersionStrings = VersionStrings::new($version);
        }

        extern "C" fn module_info() -> RString {
            "incompatible".into()
        }

        #[export_root_module]
        fn root() -> ModuleRoot_Ref {
            ModuleRoot { module_info }.leak_into_prefix()
        }
    };
}
