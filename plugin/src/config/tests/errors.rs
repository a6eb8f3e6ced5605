//! All errors of a block are told at once, each with its own cause.

use super::*;

/// The lines of the message.
fn lines(block: &str) -> Vec<String> {
    let message = read(block).unwrap_err();
    message.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn all_errors_of_a_block_are_told_at_once() {
    let told = lines(
        "{secondary_url: 'ftp://h', secondary_user: u, secondary_pass: '${NOT_SET}', \
          sync_workers: 0, worker_count: 2, sync_batch: 7, queue_dir: '../out', \
          query_timeout: 2, nonsense: 1}",
    );
    for (at, start) in [
        "8 errors:",
        "secondary_pass: the environment variable NOT_SET",
        "nonsense: unknown key",
        "sync_batch: unknown key",
        "secondary_url: ",
        "sync_workers and worker_count",
        "sync_workers: 0 is out of range",
        "query_timeout: 2 is a number without a unit",
        "queue_dir: \"../out\" leads out",
    ]
    .iter()
    .enumerate()
    {
        assert!(
            told.iter().any(|line| line.starts_with(start)),
            "{at} {start}: {told:#?}"
        );
    }
    assert_eq!(told.len(), 9, "{told:#?}");
}

#[test]
fn the_errors_of_every_entry_are_told_and_what_they_cause_is_not() {
    let told = lines(
        "{secondary_databases: [{name: 'a b', url: 'ws://h', user: u, pass: '${NOT_SET}'}, \
          {url: 'h:1', prio: 1}, {name: c, url: 'ws://i', username: u}], queue_fsync: x}",
    );
    let expected = [
        "secondary_databases[0].pass: the environment variable",
        "queue_fsync: ",
        "secondary_databases[0].name: ",
        "secondary_databases[1].prio: unknown key; did you mean secondary_databases[1].priority?",
        "secondary_databases[1].name: it is required",
        "secondary_databases[1].url: ",
        "secondary_databases[2].username is given without secondary_databases[2].password",
    ];
    assert_eq!(told.len(), expected.len() + 1, "{told:#?}");
    for start in expected {
        let start = start.replace("mean secondary_databases[1].", "mean ");
        assert!(
            told.iter().any(|line| line.starts_with(&start)),
            "{start}: {told:#?}"
        );
    }
    let told = lines("{config: {secondary_urll: 'ws://h', sync_workers: 0}, queue_dir: /x}");
    assert_eq!(told.len(), 5, "{told:#?}");
    assert!(told[1].contains("move it into config"), "{told:#?}");
}

#[test]
fn a_suggestion_is_never_a_key_of_another_kind() {
    for (key, meant) in [
        ("secondary_usr: root", Some("secondary_user")),
        ("secondary_usr: 'ws://h'", Some("secondary_user")),
        ("queue_sizes: 100", None),
        ("queue_byte: 100", None),
        ("sync_intervall: 5", None),
        ("batch_siz: 5", Some("batch_size")),
        ("batch_timeou: 5s", Some("batch_timeout")),
        ("merge: true", Some("merge_reads")),
        ("tabels: [events]", Some("tables")),
    ] {
        let error = with(key).unwrap_err();
        match meant {
            Some(meant) => assert!(
                error.contains(&format!("did you mean {meant}?")),
                "{key}: {error}"
            ),
            None => assert!(!error.contains("did you mean"), "{key}: {error}"),
        }
    }
}
