//! The contract as the build script has made it newer.
#![allow(
    non_local_definitions,
    reason = "sabi_trait implements its own traits that way"
)]

include!(concat!(env!("OUT_DIR"), "/plugin-api/lib.rs"));
