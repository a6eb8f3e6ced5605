//! All keys of the module's block.

use super::{
    ConfigError, TableSelection,
    address::ServerUrl,
    key::{Key, keys, read_next, refuse_unknown},
    kinds::{
        Block, Choice, Count, Directory, Entries, Entry, Flag, Kind, Optional, Secret, Size, Span,
        Text, Word,
    },
    tables::Tables,
};
use plugin_api::value::Object;
use secrecy::SecretString;
use std::{path::PathBuf, time::Duration};
use surreal_storage::target::Address;

/// When the log's appends are forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueFsync {
    /// Never by us: a crash of the process loses nothing, one of the machine
    /// may lose what the system had not written yet.
    None,
    /// Every 100 ms.
    Interval,
    /// Before the host's write returns.
    Always,
}

/// Whether a secondary that this log has never fed is filled by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialSync {
    /// It is.
    Auto,
    /// It gets only what is written from now on.
    Off,
}

/// What merged reads show of rows that were deleted through the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletedReads {
    /// Nothing.
    Hide,
    /// The copy that the secondaries keep.
    Show,
}

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const fn span(min: Duration, max: Duration) -> Span {
    Span { min, max }
}

keys! {
    /// What the host's `modules` entry holds around the module's own keys.
    pub struct Envelope {
        /// The module's id, in the list form.
        id []: Option<String> = Optional(Text);
        /// Is the module in use?
        enabled []: bool = Flag, default "true";
        /// The module's keys.
        config []: Option<Object> = Optional(Block);
    }
}

keys! {
    /// The module's keys as read, before what depends on more than one.
    #[derive(Clone, Debug)]
    pub struct Settings {
        /// Is the module in use? The host loads it only if so.
        enabled []: bool = Flag, default "true";
        /// The secondary's address; with or without `/rpc`, behind a path prefix too. This or `secondary_databases`.
        secondary_url []: Option<Address> = Optional(ServerUrl);
        /// The user to sign in as: of the root, a namespace or a database; the level is found by trying.
        secondary_user [secondary_username]: Option<String> = Optional(Text);
        /// The user's password.
        secondary_pass [secondary_password]: Option<SecretString> = Optional(Secret);
        /// The namespace on the secondary; the primary's if not given.
        secondary_namespace []: Option<String> = Optional(Text);
        /// The database on the secondary; the primary's if not given.
        secondary_database []: Option<String> = Optional(Text);
        /// Several secondaries, in place of the five keys above.
        secondary_databases []: Option<Vec<Entry>> = Optional(Entries);
        /// `false`: reads are merged, nothing is copied. Once it is `true` again, every table is compared with the primary.
        sync_enabled []: bool = Flag, default "true";
        /// The delay before the first retry of an operation that a secondary refused; doubled each time.
        sync_retry_interval []: Duration = span(MILLISECOND, HOUR), default "5s";
        /// The most operations that go to a secondary in one transaction.
        sync_batch_size [batch_size]: u32 = Count { min: 1, max: 10_000 }, default "100";
        /// The longest wait to fill a batch.
        sync_batch_timeout [batch_timeout]: Duration = span(MILLISECOND, MINUTE), default "50ms";
        /// How often a refused operation is retried before it becomes a dead letter.
        sync_max_retries [max_retries]: u32 = Count { min: 0, max: 1_000 }, default "3";
        /// How many batches are under way at once, for each secondary.
        sync_workers [worker_count]: u32 = Count { min: 1, max: 64 }, default "4";
        /// The time between two health checks of a secondary.
        health_check_interval []: Duration = span(MILLISECOND, HOUR), default "30s";
        /// The longest wait between two attempts to connect; the first waits are short.
        reconnect_backoff [retry_backoff]: Duration = span(MILLISECOND, HOUR), default "10s";
        /// How long an attempt to connect may take, and a health check.
        connect_timeout []: Duration = span(MILLISECOND, 10 * MINUTE), default "10s";
        /// How long a call to a secondary may take before the connection counts as lost.
        operation_timeout []: Duration = span(MILLISECOND, 10 * MINUTE), default "30s";
        /// How long a merged read waits for a secondary.
        query_timeout []: Duration = span(MILLISECOND, 10 * MINUTE), default "2s";
        /// Where the log of what is still to be copied lies; created for its owner alone (0700).
        queue_dir []: PathBuf = Directory, default "db-sync-server";
        /// How large that log may grow. Beyond it, tables are marked for resync.
        queue_max_bytes []: u64 = Size { min: 1 << 20 }, default "1 GiB";
        /// When the log is forced to the disk: `none`, every 100 ms (`interval`) or before each write returns (`always`).
        queue_fsync []: QueueFsync = Choice(&[
            ("none", QueueFsync::None),
            ("interval", QueueFsync::Interval),
            ("always", QueueFsync::Always),
        ]), default "interval";
        /// `auto`: fill a secondary that this log has never fed; `off`: copy only what is written from now on.
        initial_sync []: InitialSync = Choice(&[
            ("auto", InitialSync::Auto),
            ("off", InitialSync::Off),
        ]), default "auto";
        /// Whether merged reads `hide` or `show` the secondaries' copies of what was deleted through the module.
        deleted_reads []: DeletedReads = Choice(&[
            ("hide", DeletedReads::Hide),
            ("show", DeletedReads::Show),
        ]), default "hide";
        /// `false`: reads are the primary's alone.
        merge_reads []: bool = Flag, default "true";
        /// `true`: a plain SELECT that the host sends as raw SurrealQL is merged, too.
        merge_raw_queries []: bool = Flag, default "false";
        /// Which tables are replicated; `relationships` stands for the tables of all relationship types. A table that is added is compared with the primary.
        tables []: TableSelection = Tables, default "all";
        /// How long cleanup waits for the log to drain; the rest is copied after the next start.
        shutdown_drain_timeout []: Duration = span(Duration::ZERO, 10 * MINUTE), default "5s";
    }
}

keys! {
    /// One entry of `secondary_databases`.
    #[derive(Clone, Debug)]
    pub struct SecondaryEntry {
        /// What it is called in status, logs and metrics; each name once.
        name []: String = Word;
        /// Its address, as for `secondary_url`.
        url []: Address = ServerUrl;
        /// The user to sign in as.
        username [user]: Option<String> = Optional(Text);
        /// The user's password.
        password [pass]: Option<SecretString> = Optional(Secret);
        /// The namespace on it; the primary's if not given.
        namespace []: Option<String> = Optional(Text);
        /// The database on it; the primary's if not given.
        database []: Option<String> = Optional(Text);
        /// Among secondaries that hold the same row the lower number wins; equal numbers rank as listed.
        priority []: u32 = Count { min: 0, max: 1_000_000 }, default "100";
    }
}
