//! [`QueueId`]: the name of a `queue_dir`, kept in a file in it. It outlives the
//! log and moves along with the directory.

use parking_lot::Mutex;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The name of the file.
const FILE: &str = "queue_id";

/// The length of an id.
const LENGTH: usize = 20;

/// The id of one `queue_dir`.
pub(super) struct QueueId {
    file: PathBuf,
    /// None until it could be read or written.
    id: Mutex<Option<String>>,
}

impl QueueId {
    pub(super) fn of(queue_dir: &Path) -> Self {
        Self {
            file: queue_dir.join(FILE),
            id: Mutex::default(),
        }
    }

    /// The id. A directory without one gets one. None while it can neither be
    /// read nor written, or there is no directory.
    pub(super) fn get(&self) -> Option<String> {
        let mut id = self.id.lock();
        if id.is_none() {
            *id = match fs::read_to_string(&self.file) {
                Ok(text) if is_valid(&text) => Some(text),
                // A file that was never completely written has named nothing yet.
                Ok(_) => self.draw(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.draw(),
                Err(_) => None,
            };
        }
        id.clone()
    }

    /// Draws another id: a copy of the directory may have this one.
    pub(super) fn renew(&self) {
        let mut id = self.id.lock();
        if let Some(new) = self.draw() {
            *id = Some(new);
        }
    }

    fn draw(&self) -> Option<String> {
        let id: String = std::iter::repeat_with(fastrand::lowercase)
            .take(LENGTH)
            .collect();
        match write(&self.file, &id) {
            Ok(()) => Some(id),
            Err(error) => {
                tracing::debug!(%error, path = %self.file.display(), "no queue id was written");
                None
            }
        }
    }
}

fn is_valid(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Completely or not at all.
fn write(file: &Path, id: &str) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, id)?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(new, file)
}
