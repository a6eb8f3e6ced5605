#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use fjall::{Database, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use tempfile::TempDir;

fn open(dir: &Path) -> fjall::Result<Database> {
    Database::builder(dir).worker_threads(1).open()
}

/// A database with tables, blobs, and a journal with an entry.
fn database() -> TempDir {
    let dir = TempDir::new().unwrap();
    let database = open(dir.path()).unwrap();
    let large = || {
        KeyspaceCreateOptions::default().with_kv_separation(Some(KvSeparationOptions::default()))
    };
    let keyspace = database.keyspace("large", large).unwrap();
    for number in 0..3_u8 {
        keyspace.insert([number], vec![number; 5000]).unwrap();
        keyspace.rotate_memtable_and_wait().unwrap();
    }
    keyspace.insert("waits", vec![7; 50]).unwrap();
    database.persist(PersistMode::SyncAll).unwrap();
    dir
}

fn files(dir: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in entries(dir).unwrap() {
        if path.is_dir() {
            found.extend(files(&path, wanted));
        } else if wanted(&path) {
            found.push(path);
        }
    }
    found
}

fn is_in(path: &Path, folder: &str) -> bool {
    path.parent().unwrap().ends_with(folder)
}

fn is_reference(path: &Path) -> bool {
    path.file_name().unwrap() == "current"
}

/// Runs `work` while a file of the database has other content.
fn with_file<T>(path: &Path, bytes: &[u8], work: impl FnOnce() -> T) -> T {
    let former = fs::read(path).unwrap();
    fs::write(path, bytes).unwrap();
    let result = work();
    fs::write(path, former).unwrap();
    result
}

fn is_corrupt(dir: &Path) -> bool {
    match check(dir) {
        Ok(()) => false,
        Err(fjall::Error::Io(error)) if error.kind() == ErrorKind::InvalidData => true,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn files_that_fjall_wrote_pass_the_check() {
    let dir = database();
    check(dir.path()).unwrap();
    for folder in ["tables", "blobs"] {
        assert!(!files(dir.path(), &|path| is_in(path, folder)).is_empty());
    }
    let database = open(dir.path()).unwrap();
    let keyspace = database.keyspace("large", Default::default).unwrap();
    assert_eq!(keyspace.get("waits").unwrap().unwrap(), [7; 50]);
    assert_eq!(keyspace.get([2]).unwrap().unwrap(), [2; 5000]);
    drop((keyspace, database));
    check(dir.path()).unwrap();
    check(&dir.path().join("nothing")).unwrap();
}

#[test]
fn a_database_that_is_open_elsewhere_is_reported_as_locked() {
    let dir = database();
    let _open = open(dir.path()).unwrap();
    assert!(matches!(check(dir.path()), Err(fjall::Error::Locked)));
}

#[test]
fn any_flipped_bit_of_a_version_is_detected() {
    let dir = database();
    let references = files(dir.path(), &is_reference);
    assert!(references.len() > 1);
    for reference in references {
        let number = fs::read(&reference).unwrap()[..8].try_into().unwrap();
        let path = reference.with_file_name(format!("v{}", u64::from_le_bytes(number)));
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x80;
            let detected = with_file(&path, &bytes, || is_corrupt(dir.path()));
            assert!(detected, "byte {at} of {}", path.display());
        }
    }
}

#[test]
fn a_reference_to_a_version_that_is_of_another_form_is_not_checked() {
    let dir = database();
    for path in files(dir.path(), &is_reference) {
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            with_file(&path, &bytes[..length], || check(dir.path()).unwrap());
        }
        let other_kind = [&bytes[..24], &[1]].concat();
        with_file(&path, &other_kind, || check(dir.path()).unwrap());
        // fjall finds that the number itself is cut off.
        let opened = with_file(&path, &bytes[..7], || {
            open(dir.path())?.keyspace("large", Default::default)
        });
        assert!(opened.is_err());
    }
}

#[test]
fn a_wrong_number_of_sections_is_detected() {
    let dir = database();
    let sections = files(dir.path(), &|path| {
        is_in(path, "tables") || is_in(path, "blobs")
    });
    for path in sections {
        let mut bytes = fs::read(&path).unwrap();
        let contents = position(&bytes, b"TOC!");
        bytes[contents + 4..contents + 8].fill(0xff);
        assert!(with_file(&path, &bytes, || is_corrupt(dir.path())));
    }
}

#[test]
fn a_wrong_number_of_linked_blobs_is_detected() {
    let dir = database();
    let mut linked = 0;
    for path in files(dir.path(), &|path| is_in(path, "tables")) {
        let mut bytes = fs::read(&path).unwrap();
        if !bytes.windows(17).any(|name| name == b"linked_blob_files") {
            continue;
        }
        linked += 1;
        let entry = position(&bytes, b"linked_blob_files") - 18;
        let at = u64::from_le_bytes(bytes[entry..entry + 8].try_into().unwrap());
        bytes[usize::try_from(at).unwrap() + 3] = 0xff;
        assert!(with_file(&path, &bytes, || is_corrupt(dir.path())));
    }
    assert!(linked > 0);
}

#[test]
fn a_wrong_length_in_a_journal_is_detected() {
    let dir = database();
    let journals = files(dir.path(), &|path| {
        path.extension().is_some_and(|extension| extension == "jnl")
    });
    let path = journals
        .iter()
        .find(|path| {
            fs::read(path)
                .unwrap()
                .windows(5)
                .any(|key| key == b"waits")
        })
        .unwrap();
    let whole = fs::read(path).unwrap();
    let key = position(&whole, b"waits");
    for (field, at) in [("length", key - 5), ("stored length", key - 1)] {
        let mut bytes = whole.clone();
        bytes[at] = 0xf0;
        let detected = with_file(path, &bytes, || is_corrupt(dir.path()));
        assert!(detected, "{field}");
    }
    // A torn end is not corruption.
    for length in [key - 3, key + 2, key + 20] {
        with_file(path, &whole[..length], || check(dir.path())).unwrap();
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> usize {
    let found = bytes
        .windows(wanted.len())
        .rposition(|bytes| bytes == wanted);
    found.unwrap()
}
