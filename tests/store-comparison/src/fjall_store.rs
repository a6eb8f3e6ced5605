//! fjall, configured as the module has it. `Always` groups as the module does,
//! `AlwaysAlone` leaves the sync to fjall's commit.

use crate::store::{GroupSync, Outcome, PARTITIONS, Store, Sync, entry_key};
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode,
    config::{BlockSizePolicy, CompressionPolicy},
};
use parking_lot::Mutex;
use std::path::Path;

pub struct FjallStore {
    database: Database,
    log: Keyspace,
    state: Keyspace,
    ends: Vec<Mutex<u64>>,
    group: GroupSync,
    sync: Sync,
}

impl Store for FjallStore {
    const NAME: &'static str = "fjall";

    fn open(dir: &Path, sync: Sync) -> Outcome<Self> {
        let database = Database::builder(dir)
            .worker_threads(4)
            .cache_size(8 << 20)
            .max_journaling_size(64 << 20)
            .open()?;
        let log = database.keyspace("log", || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(4 << 20)
                .with_kv_separation(Some(KvSeparationOptions::default()))
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
                .data_block_size_policy(BlockSizePolicy::all(16 << 10))
        })?;
        let state = database.keyspace("state", || {
            KeyspaceCreateOptions::default().max_memtable_size(1 << 20)
        })?;
        let mut ends = Vec::new();
        for partition in 0..PARTITIONS {
            let range = entry_key(partition, 0)..=entry_key(partition, u64::MAX);
            let last = log.range(range).next_back();
            let last = last.map(|entry| entry.key()).transpose()?;
            let end = last.map_or(0, |key| u64::from_be_bytes(key[2..].try_into().unwrap()));
            ends.push(Mutex::new(end));
        }
        Ok(Self {
            database,
            log,
            state,
            ends,
            group: GroupSync::default(),
            sync,
        })
    }

    fn append(&self, partition: u16, value: &[u8], (key, state): (&[u8], &[u8])) -> Outcome<()> {
        let mut end = self.ends[usize::from(partition)].lock();
        let mut batch = self.database.batch();
        if self.sync == Sync::AlwaysAlone {
            batch = batch.durability(Some(PersistMode::SyncData));
        }
        batch.insert(&self.log, entry_key(partition, *end + 1), value);
        batch.insert(&self.state, key, state);
        batch.commit()?;
        *end += 1;
        drop(end);
        match self.sync {
            Sync::Always => self
                .group
                .wait(|| Ok(self.database.persist(PersistMode::SyncData)?)),
            Sync::Never | Sync::AlwaysAlone => Ok(()),
        }
    }

    fn read(&self, partition: u16, after: u64, limit: usize) -> Outcome<Vec<(u64, Vec<u8>)>> {
        let range = entry_key(partition, after + 1)..=entry_key(partition, u64::MAX);
        let entries = self.log.range(range).take(limit).map(|entry| {
            let (key, value) = entry.into_inner()?;
            let position = key.get(2..10).ok_or("a short key")?;
            Ok((u64::from_be_bytes(position.try_into()?), value.to_vec()))
        });
        entries.collect()
    }

    fn remove(&self, partition: u16, to: u64) -> Outcome<()> {
        let mut batch = self.database.batch();
        for entry in self
            .log
            .range(entry_key(partition, 0)..=entry_key(partition, to))
        {
            batch.remove(&self.log, entry.key()?);
        }
        Ok(batch.commit()?)
    }

    fn state(&self, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        Ok(self.state.get(key)?.map(|value| value.to_vec()))
    }
}
