//! A module that says it has this version of the contract, with another layout.
#![allow(
    non_local_definitions,
    non_camel_case_types,
    reason = "abi_stable's derives"
)]

test_modules::export_foreign_module!(plugin_api::loading::CONTRACT_VERSION);
