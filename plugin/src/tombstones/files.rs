//! The database of the tombstones: one keyspace of a small fjall database.

use super::{Changes, KEY, SCOPE, Scope, TombstoneError, UNDECIDED};
use crate::{dedup::Key, self_healing};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;

const KEYSPACE: &str = "tombstones";
const CACHE_BYTES: u64 = 1 << 20;

/// An open database.
pub(super) struct Files {
    database: Database,
    entries: Keyspace,
}

/// What was found in it.
pub(super) struct Found {
    pub(super) scopes: Vec<(Scope, u64)>,
    pub(super) any_keys: bool,
    /// The numbers of deletes in progress, with their sequence numbers.
    pub(super) undecided: Vec<(u64, u64)>,
}

impl Files {
    pub(super) fn of(database: Database) -> Result<Self, TombstoneError> {
        let entries = database.keyspace(KEYSPACE, KeyspaceCreateOptions::default)?;
        Ok(Self { database, entries })
    }

    /// Opens or creates the database in `dir`. A corrupt one is moved aside first;
    /// `lost` is called when it was.
    pub(super) fn open_or_set_aside(
        dir: &Path,
        corrupt: bool,
        lost: impl Fn(),
    ) -> Result<Self, TombstoneError> {
        let set_aside = || {
            let aside =
                self_healing::set_aside(dir).map_err(|source| TombstoneError::Directory {
                    dir: dir.to_owned(),
                    source,
                })?;
            tracing::error!(
                path = %aside.display(),
                "the tombstone store was corrupt; it was moved aside and replaced. Rows deleted \
                 before now may reappear in merged reads where a secondary still has them"
            );
            lost();
            Ok(())
        };
        self_healing::open_or_set_aside(corrupt, set_aside, || Self::open(dir))
    }

    fn open(dir: &Path) -> Result<Self, TombstoneError> {
        let database = self_healing::open(dir, |builder| builder.cache_size(CACHE_BYTES))
            .map_err(|error| TombstoneError::of_opening(dir, error))?;
        let files = Self::of(database)?;
        // Reads all scopes, so that damage to them is found now.
        files.load()?;
        Ok(files)
    }

    pub(super) fn load(&self) -> Result<Found, TombstoneError> {
        let mut scopes = Vec::new();
        for entry in self.entries.prefix([SCOPE]) {
            let value = entry.value()?;
            let Some((count, scope)) = value.split_first_chunk() else {
                continue;
            };
            if let Some(scope) = Key::from_bytes(scope) {
                scopes.push((Scope::from_key(scope), u64::from_be_bytes(*count)));
            }
        }
        let first_key = self.entries.prefix([KEY]).next();
        let any_keys = first_key.map(fjall::Guard::key).transpose()?.is_some();
        let mut undecided = Vec::new();
        for entry in self.entries.prefix([UNDECIDED]) {
            let (key, value) = entry.into_inner()?;
            let number = key.get(1..).and_then(|bytes| bytes.try_into().ok());
            let sequence = (*value).try_into().ok();
            if let (Some(number), Some(sequence)) = (number, sequence) {
                undecided.push((u64::from_be_bytes(number), u64::from_be_bytes(sequence)));
            }
        }
        Ok(Found {
            scopes,
            any_keys,
            undecided,
        })
    }

    pub(super) fn read(&self, entry: &[u8]) -> Result<Option<Vec<u8>>, TombstoneError> {
        Ok(self.entries.get(entry)?.map(|value| value.to_vec()))
    }

    /// Writes changes, all or none.
    pub(super) fn write(&self, changes: &Changes) -> Result<(), TombstoneError> {
        let mut batch = self.database.batch();
        for (entry, value) in changes {
            match value {
                Some(value) => batch.insert(&self.entries, entry.clone(), value.clone()),
                None => batch.remove(&self.entries, entry.clone()),
            }
        }
        Ok(batch.commit()?)
    }

    /// About how many entries there are. Cheap, and off where many were replaced.
    pub(super) fn approximate_len(&self) -> usize {
        self.entries.approximate_len()
    }

    /// Syncs everything to the disk.
    pub(super) fn sync(&self) -> Result<(), TombstoneError> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }
}
