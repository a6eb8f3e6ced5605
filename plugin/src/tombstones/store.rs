//! [`Store`]: the entries of the tombstones, on disk as far as that works and in
//! memory until it does.

use super::{Changes, TombstoneError, files::Files, files::Found};
use crate::metrics::instruments::fsync_histogram;
use crate::self_healing::{Fault, GroupSync, SelfHealingStore};
use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tokio::sync::Notify;

/// Entries by their bytes. What cannot be written now counts all the same, and
/// is written once it can be.
pub(super) struct Store {
    files: SelfHealingStore<Files>,
    /// Where they are opened; none if they were given open.
    dir: Option<PathBuf>,
    sync_always: bool,
    unsynced: AtomicBool,
    group: GroupSync,
    fsync_seconds: Histogram,
    /// Called before the disk is waited for.
    #[cfg(test)]
    pub(super) before_sync: std::sync::OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// What could not be written yet. Locked for every write.
    unwritten: Mutex<Changes>,
    any_unwritten: AtomicBool,
    /// Notified when there is something to recover or to sync.
    upkeep: Arc<Notify>,
}

impl Store {
    /// One that [`Store::recover`] has yet to open, in `dir` if there is one.
    /// With `sync_always` each write is synced to the disk.
    pub(super) fn unopened(dir: Option<&Path>, sync_always: bool) -> Self {
        let upkeep = Arc::<Notify>::default();
        Self {
            files: SelfHealingStore::unopened("tombstone store", Arc::clone(&upkeep)),
            dir: dir.map(Path::to_owned),
            sync_always,
            unsynced: AtomicBool::new(false),
            group: GroupSync::default(),
            fsync_seconds: fsync_histogram(),
            #[cfg(test)]
            before_sync: std::sync::OnceLock::new(),
            unwritten: Mutex::default(),
            any_unwritten: AtomicBool::new(false),
            upkeep,
        }
    }

    /// Waits until there is something to recover or to sync.
    pub(super) async fn upkeep_due(&self) {
        self.upkeep.notified().await;
    }

    /// Takes these files. `install` gets what they hold.
    pub(super) fn open(
        &self,
        files: Files,
        install: impl FnOnce(Found),
    ) -> Result<(), TombstoneError> {
        self.files.recover(
            |_| {
                install(files.load()?);
                Ok::<_, TombstoneError>(files)
            },
            |files| files,
        )?;
        Ok(())
    }

    /// Opens the files if they are not open, and writes what could not be
    /// written. Corrupt ones are moved aside; the new ones then get what `known`
    /// returns. `install` gets what the opened files hold, before the files
    /// can be used.
    pub(super) fn recover(
        &self,
        known: impl Fn() -> Changes,
        install: impl Fn(Found),
    ) -> Result<(), TombstoneError> {
        if let Some(dir) = &self.dir {
            self.files.recover(
                |corrupt| {
                    let rewrite = || self.add_unwritten(known());
                    let files = Files::open_or_set_aside(dir, corrupt, rewrite)?;
                    install(files.load()?);
                    Ok::<_, TombstoneError>(files)
                },
                |files| files,
            )?;
        }
        match self.any_unwritten() {
            true => self
                .write(Changes::new())
                .and_then(|()| self.make_durable()),
            false => Ok(()),
        }
    }

    /// Adds what is not in the files; later changes of the same entries stay.
    fn add_unwritten(&self, changes: Changes) {
        let mut unwritten = self.unwritten.lock();
        for (entry, value) in changes {
            unwritten.entry(entry).or_insert(value);
        }
        self.any_unwritten
            .store(!unwritten.is_empty(), Ordering::Release);
    }

    /// Is there anything that could not be written yet?
    pub(super) fn any_unwritten(&self) -> bool {
        self.any_unwritten.load(Ordering::Acquire)
    }

    /// Writes changes, and what could not be written before, all or none.
    /// [`Store::make_durable`] has to follow, once no lock is held.
    pub(super) fn write(&self, changes: Changes) -> Result<(), TombstoneError> {
        let mut unwritten = self.unwritten.lock();
        unwritten.extend(changes);
        let written = self.files.with(|files| files.write(&unwritten));
        if written.is_ok() {
            unwritten.clear();
            if !self.unsynced.swap(true, Ordering::Relaxed) {
                self.upkeep.notify_one();
            }
        }
        self.any_unwritten
            .store(!unwritten.is_empty(), Ordering::Release);
        written
    }

    /// With `sync_always`, waits until everything written is on the disk, together
    /// with others.
    pub(super) fn make_durable(&self) -> Result<(), TombstoneError> {
        match self.sync_always {
            true => self.group.wait(|| {
                #[cfg(test)]
                if let Some(before_sync) = self.before_sync.get() {
                    before_sync();
                }
                self.sync_now()
            }),
            false => Ok(()),
        }
    }

    /// Changes entries in memory; the files get it with the next write, or when
    /// [`Store::recover`] is called.
    pub(super) fn write_later(&self, changes: Changes) {
        let mut unwritten = self.unwritten.lock();
        unwritten.extend(changes);
        self.any_unwritten.store(true, Ordering::Release);
        self.upkeep.notify_one();
    }

    /// The value of an entry.
    pub(super) fn read(&self, entry: &[u8]) -> Result<Option<Vec<u8>>, TombstoneError> {
        if self.any_unwritten()
            && let Some(value) = self.unwritten.lock().get(entry)
        {
            return Ok(value.clone());
        }
        self.files.with(|files| files.read(entry))
    }

    /// Syncs what was written to the disk, if there is anything new.
    pub(super) fn sync(&self) -> Result<(), TombstoneError> {
        match self.unsynced.swap(false, Ordering::Relaxed) {
            true => self.sync_now(),
            false => Ok(()),
        }
    }

    fn sync_now(&self) -> Result<(), TombstoneError> {
        let began = Instant::now();
        self.files.with(Files::sync)?;
        self.fsync_seconds.observe(began.elapsed().as_secs_f64());
        Ok(())
    }

    /// How long syncs to the disk took.
    pub(super) fn fsync_seconds(&self) -> &Histogram {
        &self.fsync_seconds
    }

    /// About how many entries there are on disk; 0 while that cannot be used.
    pub(super) fn approximate_len(&self) -> usize {
        let len: Result<_, TombstoneError> = self.files.with(|files| Ok(files.approximate_len()));
        len.unwrap_or(0)
    }

    /// Why the files cannot be used; none if they can.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.files.fault()
    }

    /// Closes the files for good.
    pub(super) fn close(&self) {
        self.files.close();
    }
}
