//! What the tests across crates share.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`site`] | a host with the loaded library and real secondary servers, in a directory of its own |
//! | [`writes`] | writes of every kind, through the storage traits |
//! | [`wait`] | waiting for a condition, with a reason when it does not come |
//!
//! The tests themselves are in `tests/tests`: `replication` (what is written
//! arrives), `faults` (whatever happens meanwhile), `crash` (the host is
//! killed), `loading` (which builds go together).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends with its reason"
)]

pub mod site;
pub mod wait;
pub mod writes;
