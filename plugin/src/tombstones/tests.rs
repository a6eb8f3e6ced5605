#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use plugin_api::value::{RecordId, Value};
use proptest::prelude::*;
use std::slice;

const LIFETIME: Duration = Duration::from_secs(60);

fn open(directory: &std::path::Path) -> (fjall::Database, Tombstones) {
    let database = fjall::Database::builder(directory).open().unwrap();
    let tombstones = Tombstones::open(&database).unwrap();
    (database, tombstones)
}

fn symbol(name: &str, file: &str) -> (Key, Object) {
    let row = Object::new()
        .with("project_id", "p")
        .with("name_path", name)
        .with("file_path", file);
    let key = Key::of_row("code_symbols", &RecordId::new("code_symbols", "x"), &row);
    (key, row)
}

#[test]
fn a_deleted_row_is_hidden_until_it_is_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let (_database, tombstones) = open(directory.path());
    let (key, row) = symbol("main", "a.rs");
    assert!(tombstones.is_empty());
    tombstones.delete(slice::from_ref(&key), &[]);
    assert!(tombstones.hides("code_symbols", &key, &row));
    tombstones.clear(&key, "code_symbols", &row).unwrap();
    assert!(!tombstones.hides("code_symbols", &key, &row));
}

#[test]
fn writing_one_row_of_a_deleted_file_again_shows_that_row_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (_database, tombstones) = open(directory.path());
    let (first, first_row) = symbol("first", "a.rs");
    let (second, second_row) = symbol("second", "a.rs");
    let (elsewhere, elsewhere_row) = symbol("third", "b.rs");
    let hidden = || {
        [
            tombstones.hides("code_symbols", &first, &first_row),
            tombstones.hides("code_symbols", &second, &second_row),
            tombstones.hides("code_symbols", &elsewhere, &elsewhere_row),
        ]
    };
    let file = Scope::symbols_of_file("p", "a.rs");
    tombstones.delete(&[], slice::from_ref(&file));
    assert_eq!(hidden(), [true, true, false]);
    tombstones
        .clear(&first, "code_symbols", &first_row)
        .unwrap();
    assert_eq!(hidden(), [false, true, false]);
    tombstones.delete(&[], &[file]);
    assert_eq!(hidden(), [true, true, false]);
}

#[test]
fn the_edges_of_a_deleted_entity_are_hidden_in_every_relationship_table() {
    let directory = tempfile::tempdir().unwrap();
    let (_database, tombstones) = open(directory.path());
    let [gone, other] = ["gone", "other"].map(|key| RecordId::new("entities", key));
    tombstones.delete(&[], &Scope::edges_of(&gone));
    let hidden = |from: &RecordId, to: &RecordId| {
        let edge = RecordId::new("knows", "1");
        let row = Object::new()
            .with("from_entity", from.to_string())
            .with("to_entity", to.to_string());
        tombstones.hides("knows", &Key::of_id(&edge), &row)
    };
    assert!(hidden(&gone, &other));
    assert!(hidden(&other, &gone));
    assert!(!hidden(&other, &other));
}

#[test]
fn deleting_a_document_hides_its_chunks() {
    let directory = tempfile::tempdir().unwrap();
    let (_database, tombstones) = open(directory.path());
    tombstones.delete(&[], &Scope::of_document("a.md"));
    let hidden = |path: &str, source: Option<&str>| {
        let row = Object::new()
            .with("file_path", path)
            .with("source_file", source.map(Value::from));
        let key = Key::of_row(
            "knowledge_base",
            &RecordId::new("knowledge_base", "x"),
            &row,
        );
        tombstones.hides("knowledge_base", &key, &row)
    };
    assert!(hidden("a.md", None));
    assert!(hidden("a.md#chunk3", Some("a.md")));
    assert!(!hidden("b.md", None));
    assert!(!hidden("b.md#chunk3", Some("b.md")));
}

#[test]
fn a_key_longer_than_the_store_accepts_is_hidden_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let (_database, tombstones) = open(directory.path());
    let long = |end: &str| symbol(&("x".repeat(100_000) + end), "a.rs");
    let ((one, row), (two, _)) = (long("1"), long("2"));
    tombstones.delete(slice::from_ref(&one), &[]);
    assert!(tombstones.hides("code_symbols", &one, &row));
    assert!(!tombstones.hides("code_symbols", &two, &row));
}

/// What a caller can do.
#[derive(Clone, Debug)]
enum Step {
    DeleteKey(u8),
    DeleteFile(u8),
    DeleteProject,
    Write { name: u8, file: u8 },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4u8).prop_map(Step::DeleteKey),
        (0..3u8).prop_map(Step::DeleteFile),
        Just(Step::DeleteProject),
        (0..4u8, 0..3u8).prop_map(|(name, file)| Step::Write { name, file }),
        Just(Step::Reopen),
    ]
}

/// The rule, by going through the whole history.
fn hidden_by(history: &[Step], name: u8, file: u8) -> bool {
    let covers = |step: &Step, file: u8| match step {
        Step::DeleteFile(deleted) => *deleted == file,
        Step::DeleteProject => true,
        _ => false,
    };
    let last = history.iter().rposition(|step| match step {
        Step::DeleteKey(key) | Step::Write { name: key, .. } => *key == name,
        _ => false,
    });
    let any_covers = |steps: &[Step], file| steps.iter().any(|step| covers(step, file));
    match last.map(|at| (at, &history[at])) {
        Some((_, Step::DeleteKey(_))) => true,
        Some((at, Step::Write { file: written, .. })) if any_covers(&history[..at], *written) => {
            any_covers(&history[at..], file)
        }
        _ => any_covers(history, file),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_of_deletes_and_writes_hides_the_rows_that_the_rule_says(steps in proptest::collection::vec(step(), 1..24)) {
        let directory = tempfile::tempdir().unwrap();
        let mut opened = open(directory.path());
        for (at, step) in steps.iter().enumerate() {
            match step {
                Step::DeleteKey(name) => {
                    opened.1.delete(&[symbol(&name.to_string(), "").0], &[]);
                }
                Step::DeleteFile(file) => {
                    let scope = Scope::symbols_of_file("p", &file.to_string());
                    opened.1.delete(&[], &[scope]);
                }
                Step::DeleteProject => opened.1.delete(&[], &Scope::of_project("p")),
                Step::Write { name, file } => {
                    let (key, row) = symbol(&name.to_string(), &file.to_string());
                    opened.1.clear(&key, "code_symbols", &row).unwrap();
                }
                Step::Reopen => {
                    opened.1.close();
                    drop(opened);
                    opened = open(directory.path());
                }
            }
            for name in 0..4u8 {
                for file in 0..3u8 {
                    let (key, row) = symbol(&name.to_string(), &file.to_string());
                    prop_assert_eq!(
                        opened.1.hides("code_symbols", &key, &row),
                        hidden_by(&steps[..=at], name, file),
                        "symbol {} of file {} after step {}", name, file, at
                    );
                }
            }
        }
    }
}

fn is_hidden(tombstones: &Tombstones, key: &Key) -> bool {
    tombstones.hides("events", key, &Object::new())
}

#[test]
fn tombstones_survive_a_restart_and_a_corrupt_store_is_moved_aside() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("deleted");
    let key = Key::new("events", [&"e".into()]);
    let tombstones = Tombstones::open_in(&dir, true, LIFETIME).unwrap();
    tombstones.delete(slice::from_ref(&key), &[]);
    let in_use = Tombstones::open_in(&dir, true, LIFETIME)
        .map(drop)
        .unwrap_err();
    assert!(in_use.to_string().contains("in use"), "{in_use}");
    drop(tombstones);
    let tombstones = Tombstones::open_in(&dir, true, LIFETIME).unwrap();
    assert!(is_hidden(&tombstones, &key));
    drop(tombstones);

    for file in std::fs::read_dir(&dir).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            std::fs::write(path, "nonsense").unwrap();
        }
    }
    let tombstones = Tombstones::open_in(&dir, true, LIFETIME).unwrap();
    assert!(!is_hidden(&tombstones, &key));
    let names = std::fs::read_dir(parent.path()).unwrap();
    let aside = names.filter(|name| {
        let name = name.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("deleted.damaged-")
    });
    assert_eq!(aside.count(), 1);
}

#[test]
fn tombstones_are_kept_in_memory_until_the_store_can_be_written() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("deleted");
    std::fs::write(&dir, "in the way").unwrap();
    let key = Key::new("events", [&"e".into()]);
    let other = Key::new("events", [&"f".into()]);
    let tombstones = Tombstones::open_in(&dir, false, LIFETIME).unwrap();
    tombstones.mark(slice::from_ref(&key), &[]).unwrap_err();
    tombstones
        .mark(&[], &[Scope::symbols_of_file("p", "f")])
        .unwrap_err();
    assert!(is_hidden(&tombstones, &key));
    assert!(
        is_hidden(&tombstones, &other),
        "while the store is closed, any row may have been deleted"
    );
    assert!(tombstones.fault().is_some());
    tombstones.recover().unwrap_err();

    std::fs::remove_file(&dir).unwrap();
    tombstones.recover().unwrap();
    assert!(tombstones.fault().is_none());
    let symbol = symbol("s", "f");
    let found = |tombstones: &Tombstones| {
        (
            is_hidden(tombstones, &key),
            is_hidden(tombstones, &other),
            tombstones.hides("code_symbols", &symbol.0, &symbol.1),
        )
    };
    assert_eq!(found(&tombstones), (true, false, true));
    tombstones.close();
    let again = Tombstones::open_in(&dir, false, LIFETIME).unwrap();
    assert_eq!(found(&again), (true, false, true));
}

#[test]
fn a_delete_that_waits_for_the_disk_hides_its_row_and_holds_up_no_reader() {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
    let parent = tempfile::tempdir().unwrap();
    let tombstones = Tombstones::open_in(&parent.path().join("deleted"), true, LIFETIME).unwrap();
    let (entered, is_syncing) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let both = parking_lot::Mutex::new((entered, released));
    let wait = move || {
        let both = both.lock();
        both.0.send(()).unwrap();
        // Until the test lets go.
        let _ = both.1.recv();
    };
    let before_sync = &tombstones.store.before_sync;
    assert!(before_sync.set(Box::new(wait)).is_ok());
    let key = Key::new("events", [&"e".into()]);
    std::thread::scope(|scope| {
        let deleting = scope.spawn(|| tombstones.mark(slice::from_ref(&key), &[]));
        is_syncing.recv_timeout(PATIENCE).unwrap();
        let (answer, answered) = std::sync::mpsc::channel();
        let (tombstones, key) = (&tombstones, &key);
        scope.spawn(move || answer.send(is_hidden(tombstones, key)));
        let hidden = answered.recv_timeout(PATIENCE);
        drop(release);
        assert_eq!(hidden, Ok(true), "readers do not wait for the disk");
        deleting.join().unwrap().unwrap();
    });
}

#[test]
fn rolling_back_a_failed_delete_restores_the_earlier_tombstones() {
    let parent = tempfile::tempdir().unwrap();
    let tombstones = Tombstones::open_in(&parent.path().join("deleted"), false, LIFETIME).unwrap();
    let (first, first_row) = symbol("first", "a.rs");
    let (second, second_row) = symbol("second", "a.rs");
    let file = Scope::symbols_of_file("p", "a.rs");
    let hidden = || {
        [
            tombstones.hides("code_symbols", &first, &first_row),
            tombstones.hides("code_symbols", &second, &second_row),
        ]
    };
    let undo = tombstones
        .mark(slice::from_ref(&first), slice::from_ref(&file))
        .unwrap();
    assert_eq!(hidden(), [true, true]);
    tombstones.rollback(undo).unwrap();
    assert_eq!(hidden(), [false, false]);

    // What was deleted before stays deleted.
    tombstones.delete(&[], slice::from_ref(&file));
    tombstones
        .clear(&first, "code_symbols", &first_row)
        .unwrap();
    let undo = tombstones.mark(slice::from_ref(&first), &[file]).unwrap();
    assert_eq!(hidden(), [true, true]);
    tombstones.rollback(undo).unwrap();
    assert_eq!(hidden(), [false, true]);
}

#[test]
fn a_delete_that_may_still_run_keeps_its_tombstones_though_the_row_is_written_again() {
    let parent = tempfile::tempdir().unwrap();
    let open = || Tombstones::open_in(&parent.path().join("deleted"), false, LIFETIME).unwrap();
    let (by_key, by_key_row) = symbol("by key", "a.rs");
    let (in_scope, in_scope_row) = symbol("in scope", "b.rs");
    let (other, other_row) = symbol("other", "c.rs");
    let scope = Scope::symbols_of_file("p", "b.rs");
    let write_and_look = |tombstones: &Tombstones| {
        [
            (&by_key, &by_key_row),
            (&in_scope, &in_scope_row),
            (&other, &other_row),
        ]
        .map(|(key, row)| {
            tombstones.clear(key, "code_symbols", row).unwrap();
            tombstones.hides("code_symbols", key, row)
        })
    };
    let tombstones = open();
    tombstones.delete(slice::from_ref(&other), &[]);
    let undo = tombstones.mark(slice::from_ref(&by_key), &[scope]).unwrap();
    tombstones.unsettle(&undo).unwrap();
    assert_eq!(tombstones.unsettled(), 1);
    assert_eq!(write_and_look(&tombstones), [true, true, false]);

    // Its request may outlive the process that sent it.
    drop(tombstones);
    let tombstones = open();
    assert_eq!(tombstones.unsettled(), 1);
    assert_eq!(write_and_look(&tombstones), [true, true, false]);
    tombstones.settle(Some(LIFETIME), None);
    assert_eq!(write_and_look(&tombstones), [true, true, false]);

    tombstones.settle(Some(LIFETIME), Some(LIFETIME));
    assert_eq!(tombstones.unsettled(), 1, "an older write is in flight");
    tombstones.settle(Some(LIFETIME), None);
    assert_eq!(tombstones.unsettled(), 0);
    assert_eq!(write_and_look(&tombstones), [false, false, false]);
    drop(tombstones);
    assert_eq!(open().unsettled(), 0);
}

#[test]
fn a_process_that_is_killed_during_a_delete_leaves_it_undecided() {
    let parent = tempfile::tempdir().unwrap();
    let open = || Tombstones::open_in(&parent.path().join("deleted"), false, LIFETIME).unwrap();
    let (key, row) = symbol("main", "a.rs");
    let tombstones = open();
    tombstones.mark(slice::from_ref(&key), &[]).unwrap();
    drop(tombstones);
    let tombstones = open();
    tombstones.clear(&key, "code_symbols", &row).unwrap();
    assert!(tombstones.hides("code_symbols", &key, &row));
}
