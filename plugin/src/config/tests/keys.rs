//! Each key: its default, its aliases, and what it accepts and rejects.

use super::*;
use std::{path::PathBuf, time::Duration};

/// For each key: its default, valid values (read under each of its names), and
/// invalid values with what the error says.
macro_rules! key_tests {
    ($($key:ident = $default:expr; $($good:literal => $value:expr),+; $($bad:literal => $says:literal),+;)*) => {
        $(
            #[test]
            fn $key() {
                assert_eq!(settings("").$key, $default, "the default");
                let key = Settings::KEYS
                    .iter()
                    .find(|key| key.name == stringify!($key))
                    .unwrap();
                for name in key.names() {
                    $(assert_eq!(settings(&format!("{name}: {}", $good)).$key, $value);)+
                }
                $(assert_rejected(&format!("{}: {}", stringify!($key), $bad), &[$says, "accepted: "]);)+
            }
        )*

        /// The keys that this macro tests.
        const TESTED: &[&str] = &[$(stringify!($key)),*];
    };
}

key_tests! {
    sync_enabled = true; "false" => false, "'true'" => true, "'${OFF}'" => false; "maybe" => "\"maybe\"", "1" => "1 is neither";
    sync_retry_interval = 5 * SECOND; "1m30s" => 90 * SECOND, "7" => 7 * SECOND, "'7'" => 7 * SECOND; "0s" => "out of range", "0" => "out of range", "-5" => "out of range", "1.5" => "without a unit", "soon" => "\"soon\"";
    sync_batch_size = 100; "1" => 1, "'10000'" => 10_000; "0" => "out of range", "10001" => "out of range", "-1" => "-1", "1.5" => "1.5", "many" => "\"many\"";
    sync_batch_timeout = Duration::from_millis(50); "1ms" => Duration::from_millis(1); "0ms" => "out of range", "2m" => "out of range", "50" => "without a unit";
    sync_max_retries = 3; "0" => 0, "9" => 9; "-1" => "-1", "'99999999999999999999'" => "out of range";
    sync_workers = 4; "64" => 64, "'${WORKERS}'" => 7; "0" => "from 1 to 64", "65" => "from 1 to 64";
    health_check_interval = 30 * SECOND; "500ms" => SECOND / 2, "5" => 5 * SECOND; "0s" => "out of range", "[1s]" => "a list";
    reconnect_backoff = 10 * SECOND; "1m" => 60 * SECOND, "1" => SECOND; "0s" => "out of range", "1 fortnight" => "1 fortnight";
    connect_timeout = 10 * SECOND; "3s" => 3 * SECOND; "0s" => "out of range", "true" => "true is not";
    operation_timeout = 30 * SECOND; "3s" => 3 * SECOND; "0s" => "out of range", "11m" => "out of range";
    query_timeout = 2 * SECOND; "3s" => 3 * SECOND; "0s" => "out of range", "{s: 1}" => "a map";
    primary_request_lifetime = 60 * SECOND; "5m" => 300 * SECOND; "0s" => "out of range", "2h" => "out of range";
    queue_dir = PathBuf::from("/var/lib/host/db-sync-server");
        "/srv/log" => PathBuf::from("/srv/log"), "a/b" => PathBuf::from("/var/lib/host/a/b");
        "../out" => "leads out", "~/log" => "${HOME}", "''" => "empty", "7" => "7 is not a string";
    queue_max_bytes = 1 << 30;
        "512MiB" => 512 << 20, "'2 GB'" => 2_000_000_000, "1048576" => 1 << 20, "1tib" => 1 << 40;
        "0" => "out of range", "1 KiB" => "out of range", "-5" => "-5", "1.5 GiB" => "1.5 GiB", "999999999 TiB" => "out of range", "5 apples" => "5 apples";
    queue_fsync = QueueFsync::Interval; "none" => QueueFsync::None, "always" => QueueFsync::Always, "interval" => QueueFsync::Interval; "often" => "none, interval, always";
    initial_sync = InitialSync::Auto; "off" => InitialSync::Off, "auto" => InitialSync::Auto; "on" => "auto, off";
    deleted_reads = DeletedReads::Hide; "show" => DeletedReads::Show, "hide" => DeletedReads::Hide; "maybe" => "hide, show";
    merge_reads = true; "false" => false; "2" => "neither true nor false";
    merge_raw_queries = false; "true" => true; "plain" => "neither true nor false";
    tables = TableSelection::default();
        "all" => TableSelection::default(), "[]" => TableSelection::default(),
        "[events, relationships]" => selection(&["events", "relationships"], &[]),
        "[all, semantic_memories]" => selection(&[], &["semantic_memories"]),
        "[events, all]" => selection(&[], &[]),
        "[semantic_memories, events]" => selection(&["events"], &["semantic_memories"]);
        "[event]" => "did you mean events?", "[alll]" => "did you mean all?", "[7]" => "7 is no table", "events" => "a list of",
        "['my notes']" => "cannot be a table", "[all, db_sync_log]" => "a table of this module";
    shutdown_drain_timeout = 5 * SECOND; "0s" => Duration::ZERO, "1m" => 60 * SECOND; "11m" => "out of range", "5" => "without a unit";
}

/// All of the host's tables, or some of them, and others.
fn selection(host: &[&'static str], others: &[&str]) -> TableSelection {
    TableSelection {
        host: match host {
            [] => HostTables::All,
            some => HostTables::Only(some.iter().copied().collect()),
        },
        others: others.iter().map(|&name| name.to_owned()).collect(),
    }
}

#[test]
fn every_key_has_a_test() {
    let by_hand = ["enabled", "secondary_databases"];
    for key in Settings::KEYS {
        assert!(
            TESTED.contains(&key.name)
                || by_hand.contains(&key.name)
                || key.name.starts_with("secondary_"),
            "{} has no test",
            key.name
        );
    }
}

#[test]
fn relationship_types_are_selected_together() {
    let selection = settings("tables: [entities, relationships]").tables;
    assert!(selection.includes("entities") && selection.includes("knows"));
    assert!(!selection.includes("events"));
    let selection = settings("tables: [entities]").tables;
    assert!(!selection.includes("knows"));
    assert!(TableSelection::default().includes("knows"));
}
