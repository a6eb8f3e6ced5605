//! [`QueueConfig`]: where the queue is stored, and its limits.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

/// When committed writes are synced to the disk. A crash of the process loses
/// nothing in either case; this is about power cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// When the operating system decides.
    None,
    /// Once per interval.
    Interval(Duration),
    /// Before the write returns.
    Always,
}

/// Where the queue is stored, and its limits.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Its directory; created if missing, readable by its owner only.
    pub dir: PathBuf,
    /// Bytes of operations that the log may hold.
    pub max_bytes: u64,
    /// When writes are synced to the disk.
    pub fsync: Fsync,
    /// The host's tables whose writes are replicated; `None` for all. A name that is
    /// not a table's stands for several tables.
    pub tables: Option<BTreeSet<String>>,
    /// Tables beside the host's whose writes are replicated.
    pub other_tables: BTreeSet<String>,
    /// The longest time that a request to the primary can live after its caller
    /// has given up.
    pub request_lifetime: Duration,
}
