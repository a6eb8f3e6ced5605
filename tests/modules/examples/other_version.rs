//! A module built against a contract of another version.
#![allow(
    non_local_definitions,
    non_camel_case_types,
    reason = "abi_stable's derives"
)]

test_modules::export_foreign_module!("1.0.3");
