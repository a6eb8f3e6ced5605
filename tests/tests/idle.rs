//! An idle module does nothing.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use plugin_api::storage::{CallContext, Storage as _};
use replication_tests::site::{Site, caught_up};
use std::{collections::BTreeMap, fs, thread, time::Duration};

/// How often each of the module's threads has gone to sleep so far, by its id.
fn sleeps() -> BTreeMap<String, u64> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut sleeps = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path().display().to_string();
        if read(&format!("{task}/comm")).starts_with("db-sync") {
            let status = read(&format!("{task}/status"));
            let count = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            let count = count.and_then(|count| count.trim().parse().ok());
            sleeps.insert(task, count.unwrap_or(0));
        }
    }
    sleeps
}

/// Alone in its process: the threads of other hosts would count as well.
#[test]
fn an_idle_module_sleeps() {
    const TIME: Duration = Duration::from_secs(4);
    /// Those of the SDK's keep-alive, and of the runtime itself.
    const MOST: u64 = 30;
    let site = Site::new();
    let (first, second) = (site.server("a"), site.server("b"));
    let settings = ["health_check_interval: 1h", "queue_fsync: interval"];
    let host = site.host(&[("a", &first), ("b", &second)], &settings);
    for number in 0..50 {
        let saved = host.storage().save_fact(
            &CallContext::new(),
            "u",
            &format!("k{number}"),
            &1i64.into(),
        );
        saved.unwrap();
    }
    caught_up(&host);
    // Whatever polls does so all the time. What else a busy machine wakes is over soon.
    let mut woken = (0..3).map(|_| woken_within(TIME));
    assert!(
        woken.any(|count| count <= MOST),
        "more than {MOST} times in {TIME:?}"
    );
}

/// How often the module's threads are woken in this time.
fn woken_within(time: Duration) -> u64 {
    let before = sleeps();
    assert!(!before.is_empty());
    thread::sleep(time);
    let after = sleeps();
    let woken = |(thread, count): (&String, &u64)| count - before.get(thread).unwrap_or(&0);
    after.iter().map(woken).sum()
}
