//! Checks container files: `[sections][table of contents][trailer]`.
//!
//! | part | bytes |
//! | --- | --- |
//! | table of contents | `TOC!`, number of sections (4), sections |
//! | a section | position (8), length (8), length of its name (2), its name |
//! | trailer | `SFA!`, version (1), kind of checksum (1), checksum of the table of contents (16), its position (8), its length (8) |

use super::corrupt;
use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};
use xxhash_rust::xxh3::xxh3_128;

/// What a trailer begins with: its magic number, its version, the kind of its checksum.
const TRAILER: [u8; 6] = *b"SFA!\x01\x00";
const TRAILER_BYTES: u64 = 38;
/// Bytes before the sections in a table of contents.
const HEADER_BYTES: usize = 8;
/// More than any table of contents takes: there are some ten sections.
const MAX_CONTENTS_BYTES: u64 = 64 << 10;
/// The section of a table that lists the blobs it refers to: their number (4),
/// and so many bytes for each.
const LINKED_BLOBS: &[u8] = b"linked_blob_files";
const LINKED_BLOB_BYTES: u64 = 32;

/// Checks a table or blob file.
///
/// # Errors
/// It is corrupt, or an error of the file system.
pub(super) fn check(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let Some(end) = length.checked_sub(TRAILER_BYTES) else {
        return Ok(());
    };
    let mut trailer = [0; TRAILER_BYTES as usize];
    file.seek(SeekFrom::Start(end))?;
    file.read_exact(&mut trailer)?;
    let Some((checksum, start)) = parse_trailer(&trailer) else {
        // fjall rejects a file without a trailer.
        return Ok(());
    };
    let contents = match end.checked_sub(start) {
        Some(length) if length <= MAX_CONTENTS_BYTES => {
            let mut contents = Vec::new();
            file.seek(SeekFrom::Start(start))?;
            (&mut file).take(length).read_to_end(&mut contents)?;
            contents
        }
        _ => return Err(corrupt(path, "its table of contents is not at its end")),
    };
    if xxh3_128(&contents) != checksum {
        let problem = "the checksum of its table of contents is wrong";
        return Err(corrupt(path, problem));
    }
    if let Some((position, length)) = section(&contents, LINKED_BLOBS) {
        let mut count = [0; 4];
        file.seek(SeekFrom::Start(position))?;
        file.read_exact(&mut count)?;
        let holds = u64::from(u32::from_le_bytes(count)) * LINKED_BLOB_BYTES;
        if length != holds + count.len() as u64 {
            return Err(corrupt(
                path,
                "its list of linked blobs does not have the length that it claims",
            ));
        }
    }
    Ok(())
}

/// The checksum and the position of the table of contents.
fn parse_trailer(trailer: &[u8]) -> Option<(u128, u64)> {
    let rest = trailer.strip_prefix(&TRAILER)?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let (start, _) = rest.split_first_chunk()?;
    Some((u128::from_le_bytes(*checksum), u64::from_le_bytes(*start)))
}

/// The position and the length of a section.
fn section(contents: &[u8], name: &[u8]) -> Option<(u64, u64)> {
    let mut rest = contents.get(HEADER_BYTES..)?;
    loop {
        let (position, after) = rest.split_first_chunk()?;
        let (length, after) = after.split_first_chunk()?;
        let (name_length, after) = after.split_first_chunk()?;
        let (found, after) = after.split_at_checked(u16::from_le_bytes(*name_length).into())?;
        if found == name {
            return Some((u64::from_le_bytes(*position), u64::from_le_bytes(*length)));
        }
        rest = after;
    }
}
