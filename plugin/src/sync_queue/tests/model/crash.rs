//! The files that a killed process leaves.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
};

/// Journals are allocated in advance and filled from the front; so many
/// consecutive zeros are the unused part.
const UNUSED: usize = 64 << 10;

/// Where a journal's record of one entry has its lengths. In debug builds fjall
/// asserts that the two are equal, even if only one was written.
pub(super) const LENGTHS: Range<u64> = 24..36;

/// Copies a directory as it is now.
pub(in super::super) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            copy_file(&entry.path(), &target);
        }
    }
}

fn copy_file(from: &Path, to: &Path) {
    let mut source = File::open(from).unwrap();
    let mut target = File::create(to).unwrap();
    target.set_len(source.metadata().unwrap().len()).unwrap();
    let mut piece = vec![0; UNUSED];
    loop {
        let read = source.read(&mut piece).unwrap();
        let piece = &piece[..read];
        if piece.iter().all(|byte| *byte == 0) {
            return;
        }
        target.write_all(piece).unwrap();
    }
}

/// The journal of a store, and the end of what is written in it.
pub(super) fn journal(dir: &Path) -> (PathBuf, u64) {
    let journal = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .unwrap();
    let mut file = File::open(&journal).unwrap();
    let (mut end, mut at) = (0, 0);
    let mut piece = vec![0; UNUSED];
    loop {
        let read = file.read(&mut piece).unwrap();
        let Some(last) = piece[..read].iter().rposition(|byte| *byte != 0) else {
            return (journal, end);
        };
        end = at + last as u64 + 1;
        at += read as u64;
    }
}

/// Overwrites a part of a file with zeros, as if it had not been written.
pub(super) fn unwrite(file: &Path, part: Range<u64>) {
    let mut file = File::options().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(part.start)).unwrap();
    let length = usize::try_from(part.end - part.start).unwrap();
    file.write_all(&vec![0; length]).unwrap();
}
