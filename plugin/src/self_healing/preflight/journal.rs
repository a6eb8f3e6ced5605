//! Checks journals: consecutive entries, up to the first invalid one.
//!
//! | entry | its first byte | what follows |
//! | --- | --- | --- |
//! | start of a batch | 1 | 12 bytes |
//! | item | 2 | kind of the value (1), compression (1), keyspace (8), length of the key (2), of the value (4), of the stored, compressed value (4), key and value |
//! | end of a batch | 3 | 12 bytes |
//! | clear | 4 | keyspace (8) |

use super::corrupt;
use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read},
    path::Path,
};

/// Bytes of an item before its key.
const ITEM_BYTES: usize = 20;
/// The largest allocation that a torn entry may cause: at the torn end of a
/// journal an entry may claim to be longer than the rest of the file.
const MAX_TORN_ALLOCATION: u64 = 64 << 20;
/// The highest possible compression ratio of a value.
const MAX_COMPRESSION_RATIO: u64 = 255;

/// Checks a journal.
///
/// # Errors
/// It is corrupt, or an error of the file system.
pub(super) fn check(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let mut left = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    loop {
        let entry = match next(&mut reader) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        if entry.value > MAX_TORN_ALLOCATION.max(entry.stored.saturating_mul(MAX_COMPRESSION_RATIO))
        {
            return Err(corrupt(path, "a value is longer than it can be"));
        }
        left = left.saturating_sub(entry.header);
        let body = entry.key + entry.stored;
        if body > left {
            if body > MAX_TORN_ALLOCATION {
                return Err(corrupt(path, "an entry is longer than the file"));
            }
            return Ok(());
        }
        left -= body;
        // Both are below 2^33.
        reader.seek_relative(body.cast_signed())?;
    }
}

/// The lengths of an entry, in bytes.
#[derive(Default)]
struct Entry {
    header: u64,
    key: u64,
    value: u64,
    stored: u64,
}

/// Reads the next entry up to its key. `None` at the end.
fn next(reader: &mut impl Read) -> io::Result<Option<Entry>> {
    let [tag] = read(reader)?;
    let of_length = |length: usize| Entry {
        header: 1 + length as u64,
        ..Entry::default()
    };
    Ok(Some(match tag {
        1 | 3 => {
            let [..]: [u8; 12] = read(reader)?;
            of_length(12)
        }
        4 => {
            let [..]: [u8; 8] = read(reader)?;
            of_length(8)
        }
        2 => {
            let header: [u8; ITEM_BYTES] = read(reader)?;
            let [.., k0, k1, v0, v1, v2, v3, s0, s1, s2, s3] = header;
            Entry {
                key: u16::from_le_bytes([k0, k1]).into(),
                value: u32::from_le_bytes([v0, v1, v2, v3]).into(),
                stored: u32::from_le_bytes([s0, s1, s2, s3]).into(),
                ..of_length(ITEM_BYTES)
            }
        }
        _ => return Ok(None),
    }))
}

fn read<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}
