//! Segment files: each commit is one record with a checksum. State is in memory
//! and written again at the beginning of each segment; the place of each entry
//! is in memory. A segment is unlinked once none of its entries is wanted.

use crate::store::{GroupSync, Outcome, PARTITIONS, Store, Sync};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use xxhash_rust::xxh3::xxh3_64;

const SEGMENT: u64 = 8 << 20;
const ENTRY: u8 = 1;
const SNAPSHOT: u8 = 2;
const REMOVAL: u8 = 3;

struct Segment {
    file: File,
    path: PathBuf,
    live: u64,
}

/// Where the value of an entry is.
#[derive(Clone, Copy)]
struct Place {
    segment: u32,
    offset: u32,
    length: u32,
}

#[derive(Default)]
struct Partition {
    /// The position of the first place.
    first: u64,
    places: VecDeque<Place>,
}

#[derive(Default)]
struct Writer {
    segments: BTreeMap<u32, Arc<RwLock<Segment>>>,
    at: u64,
    partitions: Vec<Partition>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
}

pub struct SegmentStore {
    dir: PathBuf,
    sync: Sync,
    writer: Mutex<Writer>,
    group: GroupSync,
}

fn put(record: &mut Vec<u8>, bytes: &[u8]) {
    record.extend((bytes.len() as u32).to_le_bytes());
    record.extend(bytes);
}

fn take<'a>(record: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = record.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *record = rest;
    Some(bytes)
}

/// Length, checksum, body.
fn frame(body: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(body.len() + 12);
    framed.extend((body.len() as u32).to_le_bytes());
    framed.extend(xxh3_64(body).to_le_bytes());
    framed.extend(body);
    framed
}

impl Writer {
    fn begin_segment(&mut self, dir: &Path) -> Outcome<()> {
        let number = self
            .segments
            .last_key_value()
            .map_or(1, |(last, _)| last + 1);
        let path = dir.join(format!("{number:010}.seg"));
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)?;
        let mut body = vec![SNAPSHOT];
        for (partition, _) in (0u16..).zip(&self.partitions) {
            let it = &self.partitions[usize::from(partition)];
            body.extend(it.first.to_le_bytes());
            body.extend((it.first + it.places.len() as u64).to_le_bytes());
        }
        for (key, value) in &self.state {
            put(&mut body, key);
            put(&mut body, value);
        }
        let framed = frame(&body);
        file.write_all_at(&framed, 0)?;
        self.at = framed.len() as u64;
        self.segments.insert(
            number,
            Arc::new(RwLock::new(Segment {
                file,
                path,
                live: 0,
            })),
        );
        self.unlink();
        Ok(())
    }

    fn unlink(&mut self) {
        while self.segments.len() > 1 {
            let Some(first) = self.segments.first_entry() else {
                return;
            };
            if first.get().read().live > 0 {
                return;
            }
            let _ = fs::remove_file(&first.remove().read().path);
        }
    }

    /// Writes a record. A failed one is overwritten by the next.
    fn write(&mut self, dir: &Path, body: &[u8]) -> Outcome<(u32, u64)> {
        let framed = frame(body);
        if self.at + framed.len() as u64 > SEGMENT {
            self.begin_segment(dir)?;
        }
        let (number, segment) = self.segments.last_key_value().ok_or("no segment")?;
        segment.read().file.write_all_at(&framed, self.at)?;
        let at = self.at + 12;
        self.at += framed.len() as u64;
        Ok((*number, at))
    }

    fn insert(&mut self, partition: u16, place: Place) {
        self.partitions[usize::from(partition)]
            .places
            .push_back(place);
        if let Some(segment) = self.segments.get(&place.segment) {
            segment.write().live += 1;
        }
    }

    fn drop_to(&mut self, partition: u16, to: u64) {
        let it = &mut self.partitions[usize::from(partition)];
        while it.first <= to
            && let Some(place) = it.places.pop_front()
        {
            it.first += 1;
            if let Some(segment) = self.segments.get(&place.segment) {
                segment.write().live -= 1;
            }
        }
    }

    fn load(&mut self, number: u32, path: &Path, is_last: bool) -> Outcome<()> {
        let file = File::options().read(true).write(true).open(path)?;
        let bytes = fs::read(path)?;
        self.segments.insert(
            number,
            Arc::new(RwLock::new(Segment {
                file,
                path: path.to_owned(),
                live: 0,
            })),
        );
        let mut at = 0;
        while at < bytes.len() {
            let Some(body) = record(&bytes[at..]) else {
                // An end that was never finished, or damage.
                if is_last {
                    break;
                }
                return Err("a record is damaged".into());
            };
            self.apply(number, at + 12, body)
                .ok_or("a record cannot be decoded")?;
            at += 12 + body.len();
        }
        self.at = at as u64;
        Ok(())
    }

    fn apply(&mut self, segment: u32, at: usize, body: &[u8]) -> Option<()> {
        let (kind, mut rest) = body.split_first()?;
        match *kind {
            ENTRY => {
                let (partition, after) = rest.split_first_chunk()?;
                rest = after;
                let value = take(&mut rest)?;
                let place = Place {
                    segment,
                    offset: (at + 7) as u32,
                    length: value.len() as u32,
                };
                self.insert(u16::from_le_bytes(*partition), place);
                let (key, value) = (take(&mut rest)?, take(&mut rest)?);
                self.state.insert(key.to_vec(), value.to_vec());
            }
            SNAPSHOT => {
                for partition in 0..usize::from(PARTITIONS) {
                    let (first, after) = rest.split_first_chunk()?;
                    let (end, after) = after.split_first_chunk()?;
                    rest = after;
                    let (first, end) = (u64::from_le_bytes(*first), u64::from_le_bytes(*end));
                    let it = &mut self.partitions[partition];
                    if it.places.is_empty() {
                        it.first = first.max(it.first).min(end);
                    }
                    if it.first + it.places.len() as u64 != end && !it.places.is_empty() {
                        return None;
                    }
                }
                self.state.clear();
                while !rest.is_empty() {
                    let (key, value) = (take(&mut rest)?, take(&mut rest)?);
                    self.state.insert(key.to_vec(), value.to_vec());
                }
            }
            REMOVAL => {
                let (partition, after) = rest.split_first_chunk()?;
                let (to, _) = after.split_first_chunk()?;
                self.drop_to(u16::from_le_bytes(*partition), u64::from_le_bytes(*to));
            }
            _ => return None,
        }
        Some(())
    }
}

fn record(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let body = rest.get(..u32::from_le_bytes(*length) as usize)?;
    (xxh3_64(body) == u64::from_le_bytes(*sum)).then_some(body)
}

impl Store for SegmentStore {
    const NAME: &'static str = "segments";

    fn open(dir: &Path, sync: Sync) -> Outcome<Self> {
        fs::create_dir_all(dir)?;
        let mut files: Vec<PathBuf> = fs::read_dir(dir)?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        files.sort();
        let mut writer = Writer {
            partitions: (0..PARTITIONS)
                .map(|_| Partition {
                    first: 1,
                    ..Partition::default()
                })
                .collect(),
            ..Writer::default()
        };
        for (at, path) in files.iter().enumerate() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            writer.load(name.parse()?, path, at + 1 == files.len())?;
        }
        if files.is_empty() {
            writer.begin_segment(dir)?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            sync,
            writer: Mutex::new(writer),
            group: GroupSync::default(),
        })
    }

    fn append(&self, partition: u16, value: &[u8], (key, state): (&[u8], &[u8])) -> Outcome<()> {
        let mut body = vec![ENTRY];
        body.extend(partition.to_le_bytes());
        put(&mut body, value);
        put(&mut body, key);
        put(&mut body, state);
        {
            let mut writer = self.writer.lock();
            let (segment, at) = writer.write(&self.dir, &body)?;
            let place = Place {
                segment,
                offset: at as u32 + 7,
                length: value.len() as u32,
            };
            writer.insert(partition, place);
            writer.state.insert(key.to_vec(), state.to_vec());
        }
        if self.sync == Sync::Never {
            return Ok(());
        }
        self.group.wait(|| {
            let last = {
                let writer = self.writer.lock();
                let last = writer.segments.last_key_value();
                last.map(|(_, segment)| Arc::clone(segment))
            };
            last.map_or(Ok(()), |segment| Ok(segment.read().file.sync_data()?))
        })
    }

    fn read(&self, partition: u16, after: u64, limit: usize) -> Outcome<Vec<(u64, Vec<u8>)>> {
        let places: Vec<_> = {
            let writer = self.writer.lock();
            let it = &writer.partitions[usize::from(partition)];
            let skip = (after + 1).saturating_sub(it.first) as usize;
            let end = it.places.len().min(skip + limit);
            (skip..end)
                .filter_map(|at| {
                    let place = it.places[at];
                    let segment = writer.segments.get(&place.segment)?;
                    Some((it.first + at as u64, place, Arc::clone(segment)))
                })
                .collect()
        };
        let read = places.into_iter().map(|(position, place, segment)| {
            let mut value = vec![0; place.length as usize];
            segment
                .read()
                .file
                .read_exact_at(&mut value, place.offset.into())?;
            Ok((position, value))
        });
        read.collect()
    }

    fn remove(&self, partition: u16, to: u64) -> Outcome<()> {
        let mut body = vec![REMOVAL];
        body.extend(partition.to_le_bytes());
        body.extend(to.to_le_bytes());
        let mut writer = self.writer.lock();
        writer.write(&self.dir, &body)?;
        writer.drop_to(partition, to);
        writer.unlink();
        Ok(())
    }

    fn state(&self, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        Ok(self.writer.lock().state.get(key).cloned())
    }
}
