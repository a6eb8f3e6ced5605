//! SQLite in WAL mode. Records carry a checksum of ours: its pages have none.
//!
//! `Always` groups: who finds a commit under way waits, and the next one takes
//! everybody's rows along.

use crate::store::{Outcome, PARTITIONS, Store, Sync};
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

type Row = (u16, u64, Vec<u8>, Vec<u8>, Vec<u8>);

pub struct SqliteStore {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    group: Mutex<Group>,
    committed: Condvar,
    ends: Vec<Mutex<u64>>,
}

#[derive(Default)]
struct Group {
    waiting: Vec<Row>,
    /// Of the rows that wait, and of those that are committed or have failed.
    enqueued: u64,
    done: u64,
    failed: Option<String>,
    busy: bool,
}

fn seal(value: &[u8]) -> Vec<u8> {
    let mut sealed = xxh3_64(value).to_le_bytes().to_vec();
    sealed.extend_from_slice(value);
    sealed
}

fn unseal(sealed: &[u8]) -> Outcome<Vec<u8>> {
    let (sum, value) = sealed.split_first_chunk().ok_or("a short record")?;
    match xxh3_64(value) == u64::from_le_bytes(*sum) {
        true => Ok(value.to_vec()),
        false => Err("a record's checksum is wrong".into()),
    }
}

fn connect(dir: &Path, sync: Sync) -> Outcome<Connection> {
    let connection = Connection::open(dir.join("log.sqlite"))?;
    let mode = if sync == Sync::Always { "FULL" } else { "OFF" };
    connection.execute_batch(&format!(
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = {mode};
         PRAGMA cache_size = -4096; PRAGMA journal_size_limit = 8388608;
         PRAGMA cell_size_check = ON;"
    ))?;
    Ok(connection)
}

impl SqliteStore {
    fn commit(&self, rows: &[Row]) -> Outcome<()> {
        let mut writer = self.writer.lock();
        let transaction = writer.transaction()?;
        for (partition, position, value, key, state) in rows {
            transaction
                .prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3)")?
                .execute(params![partition, *position as i64, value])?;
            transaction
                .prepare_cached("INSERT OR REPLACE INTO state VALUES (?1, ?2)")?
                .execute(params![key, state])?;
        }
        Ok(transaction.commit()?)
    }
}

impl Store for SqliteStore {
    const NAME: &'static str = "SQLite";

    fn open(dir: &Path, sync: Sync) -> Outcome<Self> {
        std::fs::create_dir_all(dir)?;
        let writer = connect(dir, sync)?;
        writer.execute_batch(
            "CREATE TABLE IF NOT EXISTS log (partition INTEGER, position INTEGER, value BLOB,
               PRIMARY KEY (partition, position)) WITHOUT ROWID, STRICT;
             CREATE TABLE IF NOT EXISTS state (key BLOB PRIMARY KEY, value BLOB)
               WITHOUT ROWID, STRICT;",
        )?;
        let mut ends = Vec::new();
        for partition in 0..PARTITIONS {
            let end: Option<i64> = writer.query_row(
                "SELECT max(position) FROM log WHERE partition = ?1",
                [partition],
                |row| row.get(0),
            )?;
            ends.push(Mutex::new(end.unwrap_or(0) as u64));
        }
        Ok(Self {
            writer: Mutex::new(writer),
            reader: Mutex::new(connect(dir, sync)?),
            group: Mutex::default(),
            committed: Condvar::new(),
            ends,
        })
    }

    fn append(&self, partition: u16, value: &[u8], (key, state): (&[u8], &[u8])) -> Outcome<()> {
        let mut end = self.ends[usize::from(partition)].lock();
        let row = (partition, *end + 1, seal(value), key.to_vec(), seal(state));
        let mut group = self.group.lock();
        group.waiting.push(row);
        group.enqueued += 1;
        *end += 1;
        drop(end);
        let mine = group.enqueued;
        loop {
            if group.done >= mine {
                return match &group.failed {
                    Some(error) => Err(error.clone().into()),
                    None => Ok(()),
                };
            }
            if group.busy {
                self.committed.wait(&mut group);
                continue;
            }
            group.busy = true;
            let rows = std::mem::take(&mut group.waiting);
            let upto = group.enqueued;
            drop(group);
            let failed = self.commit(&rows).err().map(|error| error.to_string());
            for (partition, position, ..) in rows.iter().filter(|_| failed.is_some()) {
                let mut end = self.ends[usize::from(*partition)].lock();
                *end = (*end).min(position - 1);
            }
            group = self.group.lock();
            group.busy = false;
            group.done = upto;
            group.failed = failed;
            self.committed.notify_all();
        }
    }

    fn read(&self, partition: u16, after: u64, limit: usize) -> Outcome<Vec<(u64, Vec<u8>)>> {
        let reader = self.reader.lock();
        let mut select = reader.prepare_cached(
            "SELECT position, value FROM log WHERE partition = ?1 AND position > ?2
             ORDER BY position LIMIT ?3",
        )?;
        let rows = select.query_map(params![partition, after as i64, limit as i64], |row| {
            Ok((row.get::<_, i64>(0)? as u64, row.get::<_, Vec<u8>>(1)?))
        })?;
        rows.map(|row| {
            let (position, sealed) = row?;
            Ok((position, unseal(&sealed)?))
        })
        .collect()
    }

    fn remove(&self, partition: u16, to: u64) -> Outcome<()> {
        self.writer.lock().execute(
            "DELETE FROM log WHERE partition = ?1 AND position <= ?2",
            params![partition, to as i64],
        )?;
        Ok(())
    }

    fn state(&self, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        let reader = self.reader.lock();
        let found: Option<Vec<u8>> = reader
            .query_row("SELECT value FROM state WHERE key = ?1", [key], |row| {
                row.get(0)
            })
            .optional()?;
        found.map(|sealed| unseal(&sealed)).transpose()
    }
}
