//! Damage to files: truncated, flipped, overwritten or removed.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Damages one of the files below `dir`. Returns which and how.
pub fn damage_one(dir: &Path, random: &mut fastrand::Rng) -> String {
    let mut files = Vec::new();
    list(dir, &mut files);
    files.sort();
    let path = random.choice(&files).expect("files to damage");
    let how = damage(path, random);
    format!("{}: {how}", path.strip_prefix(dir).unwrap().display())
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn damage(path: &Path, random: &mut fastrand::Rng) -> String {
    let used = used(path);
    if used == 0 || random.u8(0..8) == 0 {
        fs::remove_file(path).unwrap();
        return "removed".to_owned();
    }
    let at = random.u64(..used);
    let file = File::options().read(true).write(true).open(path).unwrap();
    match random.u8(0..4) {
        0 => {
            file.set_len(at).unwrap();
            format!("cut to {at}")
        }
        1 => {
            let bit = random.u8(0..8);
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
            format!("bit {bit} of byte {at} flipped")
        }
        kind => {
            let length = usize::try_from(random.u64(1..600).min(used - at)).unwrap();
            let bytes: Vec<u8> = match kind {
                2 => vec![0; length],
                _ => std::iter::repeat_with(|| random.u8(..))
                    .take(length)
                    .collect(),
            };
            file.write_all_at(&bytes, at).unwrap();
            format!("{length} bytes from {at} overwritten")
        }
    }
}

/// How much of a file is in use: journals end in megabytes of zeros that are not
/// on the disk.
fn used(path: &Path) -> u64 {
    let file = File::open(path).unwrap();
    let stored = file.metadata().unwrap();
    let mut bytes = Vec::new();
    let on_disk = stored.blocks() * 512;
    file.take(on_disk).read_to_end(&mut bytes).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0);
    last.map_or(0, |last| last as u64 + 1)
}
