//! What the parts of the module measure while they work.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`writes`] | the host's writes |
//! | [`log`] | the log |
//! | [`replication`] | the replication to one secondary |
//! | [`reads`] | merged reads from one secondary |
//!
//! Each part holds the instruments that it writes to: a field for each, so that
//! nothing is looked up and nothing is allocated when a value is recorded. A
//! counter is an atomic; a histogram takes a lock for some ten nanoseconds.
//! The [`super::catalogue`] gives them names and labels when they are scraped.

mod log;
mod reads;
mod replication;
mod writes;

pub use log::{LogMetrics, fsync_histogram};
pub use reads::{BreakerState, ReadMetrics, ReadOutcome};
pub use replication::ReplicationMetrics;
pub use writes::{WriteKind, WriteMetrics, WriteTimer};

// Bounds of buckets that several have.

/// What takes part of a write's time on the host's side, in seconds.
const LOCAL_SECONDS: [f64; 14] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
];

/// A request over a network, in seconds: up to 33 s, beyond the default of
/// `operation_timeout`.
const REMOTE_SECONDS: [f64; 16] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192, 16.384, 32.768,
];
