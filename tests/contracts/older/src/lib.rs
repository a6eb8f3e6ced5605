//! The contract as the build script has made it older.
#![allow(unused_imports, reason = "those of the method that is missing")]
#![allow(
    non_local_definitions,
    reason = "sabi_trait implements its own traits that way"
)]

include!(concat!(env!("OUT_DIR"), "/plugin-api/lib.rs"));
