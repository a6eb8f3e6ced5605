//! What the integration tests share.
//!
//! | module | contents |
//! | --- | --- |
//! | [`site`] | a host with the loaded library and real secondary servers, in a directory of its own |
//! | [`writes`] | writes of every kind, once each, through the storage traits |
//! | [`counted`] | a storage that counts what is written and deleted through it |
//! | [`load`] | threads that write and report what was acknowledged |
//! | [`writer`] | a host in a process of its own under such a load, to be killed |
//! | [`proxy`] | a network with faults |
//! | [`served`] | the routes of a host, over HTTP |
//! | [`browser`] | a headless Chromium |
//! | [`promtool`] | Prometheus' tool that checks metrics and rules |
//! | [`ledger`] | the acknowledged writes, and whether a database has each once and in order |
//! | [`damage`] | damage to files |
//! | [`small_disk`] | a disk that can be filled |
//! | [`random`] | random numbers from a seed |
//! | [`wait`] | waiting for a condition |
//!
//! The tests themselves are in `tests/tests`: `replication` and `raw_query`
//! (writes reach the secondary), `reads` and `concurrent_reads` (merged reads),
//! `resync`, `faults` and `slow_line` (servers and networks fail), `primary` (the
//! primary commits late), `disk` (the log's disk fails), `copied_queue_dir` (two
//! hosts have one log), `crash` (the host is killed), `panics` (a step of the
//! plugin panics), `backlog` (what a long outage costs), `setups`
//! (servers, topologies and habits that users have), `builds` (debug and release
//! builds work together), `page` (the status page in a browser), `operator`
//! (an operator's story, through the page and the commands), `verify` (comparing
//! while the host writes), `monitoring` (metrics, health and alert rules).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed test panics"
)]

pub mod browser;
pub mod counted;
#[cfg(unix)]
pub mod damage;
pub mod ledger;
pub mod load;
pub mod promtool;
pub mod proxy;
pub mod random;
pub mod served;
pub mod site;
#[cfg(target_os = "linux")]
pub mod small_disk;
pub mod wait;
pub mod writer;
pub mod writes;
