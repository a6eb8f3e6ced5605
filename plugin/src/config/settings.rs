//! The keys of the module's block: names, aliases, defaults and meaning.

use super::{
    ConfigErrors, TableSelection,
    key::{Key, keys},
    tables::Tables,
    value_types::{
        Boolean, ByteSize, Choice, Directory, DurationRange, Entries, Entry, File, Integer, Map,
        Name, Optional, Secret, ServerUrl, Text, ValueType,
    },
};
use plugin_api::value::Object;
use secrecy::SecretString;
use std::{path::PathBuf, time::Duration};
use surreal_storage::target::Address;

/// When appends to the log are flushed to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueFsync {
    /// Left to the operating system: a crash of the process loses nothing, a
    /// crash of the machine loses what was not written to disk yet.
    None,
    /// Every 100 ms.
    Interval,
    /// Before the host's write returns.
    Always,
}

/// Whether a secondary that this log has never replicated to is backfilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialSync {
    /// It is.
    Auto,
    /// It receives new writes only.
    Off,
}

/// What merged reads return for rows that were deleted through the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletedReads {
    /// Nothing.
    Hide,
    /// The copy that a secondary keeps.
    Show,
}

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const fn duration(min: Duration, max: Duration) -> DurationRange {
    DurationRange {
        min,
        max,
        whole_seconds: false,
    }
}

/// A duration that the former module also took as a number of seconds.
const fn seconds(min: Duration, max: Duration) -> DurationRange {
    DurationRange {
        whole_seconds: true,
        ..duration(min, max)
    }
}

/// A key of the former module that has nothing to set here. It is accepted with
/// a warning, whatever its value.
#[derive(Clone, Copy, Debug)]
pub struct FormerKey {
    /// Its name.
    pub name: &'static str,
    /// What takes its place.
    pub instead: &'static str,
}

/// The keys that only the former module had.
pub const FORMER_KEYS: &[FormerKey] = &[
    FormerKey {
        name: "queue_size",
        instead: "operations wait on disk, not in memory: queue_max_bytes limits their size",
    },
    FormerKey {
        name: "sync_interval",
        instead: "operations are replicated as soon as they are written: sync_batch_timeout is \
                  the longest wait for a batch to fill",
    },
];

keys! {
    /// The host's `modules` entry, around the module's own keys.
    pub struct Envelope {
        /// The module's id, in the list form.
        id []: Option<String> = Optional(Text);
        /// Whether the module is in use.
        enabled []: bool = Boolean, default "true";
        /// The module's keys.
        config []: Option<Object> = Optional(Map);
    }
}

keys! {
    /// The module's keys as read, each checked by itself.
    #[derive(Clone, Debug)]
    pub struct Settings {
        /// Whether the module is in use. The host loads it only if so.
        enabled []: bool = Boolean, default "true";
        /// The secondary's address, with or without `/rpc`; it may have a path prefix. Required unless `secondary_databases` is given.
        secondary_url []: Option<Address> = Optional(ServerUrl);
        /// The user to sign in as: a root, namespace or database user; the module tries each level.
        secondary_user [secondary_username]: Option<String> = Optional(Text);
        /// The user's password.
        secondary_pass [secondary_password]: Option<SecretString> = Optional(Secret);
        /// A file with the password, instead of `secondary_pass`. It is read whenever the module connects, so a password that changes needs no restart.
        secondary_pass_file []: Option<PathBuf> = Optional(File);
        /// The certificates of the authorities that a `wss` secondary's certificate may be of, in PEM, beside the system's.
        secondary_ca_file []: Option<PathBuf> = Optional(File);
        /// The namespace on the secondary; by default the primary's.
        secondary_namespace []: Option<String> = Optional(Text);
        /// The database on the secondary; by default the primary's.
        secondary_database []: Option<String> = Optional(Text);
        /// Several secondaries, instead of the seven keys above.
        secondary_databases []: Option<Vec<Entry>> = Optional(Entries);
        /// `false`: reads are merged, nothing is replicated. Once it is `true` again, every table is compared with the primary.
        sync_enabled []: bool = Boolean, default "true";
        /// The delay before the first retry of an operation that a secondary rejected; it doubles with each retry.
        sync_retry_interval []: Duration = seconds(MILLISECOND, HOUR), default "5s";
        /// The maximum number of operations that are applied in one transaction on a secondary.
        sync_batch_size [batch_size]: u32 = Integer { min: 1, max: 10_000 }, default "100";
        /// The longest wait for a batch to fill.
        sync_batch_timeout [batch_timeout]: Duration = duration(MILLISECOND, MINUTE), default "50ms";
        /// How often a rejected operation is retried before it becomes a dead letter.
        sync_max_retries [max_retries]: u32 = Integer { min: 0, max: 1_000 }, default "3";
        /// The number of batches that are applied concurrently to each secondary.
        sync_workers [worker_count]: u32 = Integer { min: 1, max: 64 }, default "4";
        /// The interval between health checks of a secondary.
        health_check_interval []: Duration = seconds(MILLISECOND, HOUR), default "30s";
        /// The longest wait between two connection attempts; the backoff starts shorter.
        reconnect_backoff [retry_backoff]: Duration = seconds(MILLISECOND, HOUR), default "10s";
        /// The timeout of a connection attempt and of a health check.
        connect_timeout []: Duration = duration(MILLISECOND, 10 * MINUTE), default "10s";
        /// The timeout of a call to a secondary; batches are made so small that they take about a fifth of it.
        operation_timeout []: Duration = duration(MILLISECOND, 10 * MINUTE), default "30s";
        /// How long a merged read waits for a secondary.
        query_timeout []: Duration = duration(MILLISECOND, 10 * MINUTE), default "2s";
        /// The longest time that a request to the primary can still take effect after its caller has given up, counted while the primary answers. For so long the rows of a write whose outcome is unknown are read again.
        primary_request_lifetime []: Duration = duration(MILLISECOND, HOUR), default "60s";
        /// The directory of the log of operations to replicate; created for its owner only (mode 0700).
        queue_dir []: PathBuf = Directory, default "db-sync-server";
        /// The maximum size of that log. Beyond it, tables are scheduled for a resync.
        queue_max_bytes []: u64 = ByteSize { min: 1 << 20 }, default "1 GiB";
        /// When the log is flushed to disk: never by the module (`none`), every 100 ms (`interval`) or before each write returns (`always`).
        queue_fsync []: QueueFsync = Choice(&[
            ("none", QueueFsync::None),
            ("interval", QueueFsync::Interval),
            ("always", QueueFsync::Always),
        ]), default "interval";
        /// `auto`: backfill a secondary that this log has never replicated to; `off`: replicate new writes only.
        initial_sync []: InitialSync = Choice(&[
            ("auto", InitialSync::Auto),
            ("off", InitialSync::Off),
        ]), default "auto";
        /// Whether merged reads `hide` or `show` the secondaries' copies of rows that were deleted through the module.
        deleted_reads []: DeletedReads = Choice(&[
            ("hide", DeletedReads::Hide),
            ("show", DeletedReads::Show),
        ]), default "hide";
        /// `false`: reads are answered by the primary only.
        merge_reads []: bool = Boolean, default "true";
        /// `true`: a plain SELECT that the host sends as raw SurrealQL is merged as well.
        merge_raw_queries []: bool = Boolean, default "false";
        /// The tables to replicate; `all` stands for those of the host, `relationships` for the tables of all relationship types; your own tables may be named beside them. A table that is added later is compared with the primary.
        tables []: TableSelection = Tables, default "all";
        /// How long cleanup waits for the log to drain; the rest is replicated after the next start.
        shutdown_drain_timeout []: Duration = duration(Duration::ZERO, 10 * MINUTE), default "5s";
    }
}

keys! {
    /// One entry of `secondary_databases`.
    #[derive(Clone, Debug)]
    pub struct SecondaryEntry {
        /// The name of the secondary in status, logs and metrics; unique.
        name []: String = Name;
        /// The address, as for `secondary_url`.
        url []: Address = ServerUrl;
        /// The user to sign in as.
        username [user]: Option<String> = Optional(Text);
        /// The user's password.
        password [pass]: Option<SecretString> = Optional(Secret);
        /// As `secondary_pass_file`, instead of `password`.
        password_file []: Option<PathBuf> = Optional(File);
        /// As `secondary_ca_file`.
        ca_file []: Option<PathBuf> = Optional(File);
        /// The namespace on the secondary; by default the primary's.
        namespace []: Option<String> = Optional(Text);
        /// The database on the secondary; by default the primary's.
        database []: Option<String> = Optional(Text);
        /// If several secondaries hold the same row, the lowest number wins; secondaries with equal numbers rank in list order.
        priority []: u32 = Integer { min: 0, max: 1_000_000 }, default "100";
    }
}
