//! What the tests across crates share.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`site`] | a host with the loaded library and real secondary servers, in a directory of its own |
//! | [`writes`] | writes of every kind, once each, through the storage traits |
//! | [`load`] | threads that write and tell what was acknowledged |
//! | [`writer`] | a host in a process of its own under such a load, to be killed |
//! | [`proxy`] | a network that can be spoilt |
//! | [`ledger`] | what was acknowledged, and whether a database has it, once and in order |
//! | [`damage`] | damage to files |
//! | [`small_disk`] | a disk that can be filled |
//! | [`chance`] | chance that can be repeated |
//! | [`wait`] | waiting for a condition, with a reason when it does not come |
//!
//! The tests themselves are in `tests/tests`: `replication` (what is written
//! arrives), `faults` (whatever happens meanwhile), `disk` (the disk under the
//! log fails), `crash` (the host is killed), `panics` (a step of the plugin
//! fails), `backlog` (what a long outage costs), `builds` (debug and release
//! go together).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends with its reason"
)]

pub mod chance;
#[cfg(unix)]
pub mod damage;
pub mod ledger;
pub mod load;
pub mod proxy;
pub mod site;
#[cfg(target_os = "linux")]
pub mod small_disk;
pub mod wait;
pub mod writer;
pub mod writes;
