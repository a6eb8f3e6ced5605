//! Compares what the log could be stored in.
//!
//! `cargo run --release -- append|backlog|damage|full|kill`, in this directory;
//! `cargo build --profile size --no-default-features --features NAME` for sizes.

mod store;

#[cfg(feature = "fjall")]
mod fjall_store;
#[cfg(feature = "segments")]
mod segment_store;
#[cfg(feature = "sqlite")]
mod sqlite_store;

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use store::{PARTITIONS, Store, Sync};

/// Runs `$run::<S>($arguments)` with the store of that name.
macro_rules! with_store {
    ($name:expr, $run:ident($($argument:expr),*)) => {
        match $name {
            #[cfg(feature = "fjall")]
            "fjall" => $run::<fjall_store::FjallStore>($($argument),*),
            #[cfg(feature = "sqlite")]
            "SQLite" => $run::<sqlite_store::SqliteStore>($($argument),*),
            #[cfg(feature = "segments")]
            "segments" => $run::<segment_store::SegmentStore>($($argument),*),
            other => panic!("no store is named {other}"),
        }
    };
}

const NAMES: &[&str] = &[
    #[cfg(feature = "fjall")]
    "fjall",
    #[cfg(feature = "sqlite")]
    "SQLite",
    #[cfg(feature = "segments")]
    "segments",
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |at: usize, default| arguments.get(at).map_or(default, |it| it.parse().unwrap());
    match arguments[..] {
        ["append", ..] => {
            println!("| store | bytes | threads | fsync | appends/s | µs each |");
            println!("| --- | --- | --- | --- | --- | --- |");
            for sync in [Sync::Never, Sync::Always, Sync::AlwaysAlone] {
                for (bytes, threads) in [(300, 1), (300, 8), (4096, 1), (4096, 8)] {
                    compare_appends(bytes, threads, sync);
                }
            }
        }
        ["backlog", ..] => {
            println!(
                "| store | entries | values | on disk | ratio | memory | read and removed in |"
            );
            println!("| --- | --- | --- | --- | --- | --- | --- |");
            for name in NAMES {
                child(&["fill", name, &number(1, 1_000_000u64).to_string()])
                    .status()
                    .unwrap();
            }
        }
        ["fill", name, count] => with_store!(name, backlog(count.parse().unwrap())),
        ["damage", ..] => {
            println!(
                "| store | cases | unharmed | error | gap | end cut off | state lost | wrong bytes | abort | hangs |"
            );
            println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
            for name in NAMES {
                with_store!(*name, damage(number(1, 1000u64)));
            }
        }
        ["check", name, dir] => with_store!(name, check(Path::new(dir))),
        ["full", ..] => NAMES.iter().for_each(|name| full(name)),
        ["on-full-disk", name, dir] => with_store!(name, on_full_disk(Path::new(dir))),
        ["kill", ..] => {
            println!("| store | kills | acknowledged | lost | reopening failed |");
            println!("| --- | --- | --- | --- | --- |");
            for name in NAMES {
                with_store!(*name, kill(number(1, 50u64)));
            }
        }
        ["write", name, dir] => with_store!(name, write_for_ever(Path::new(dir))),
        _ => println!("append, backlog N, damage CASES, full, kill TIMES"),
    }
}

fn child(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(arguments);
    command
}

/// Half of a short value is the same from entry to entry, as in the log.
fn value(rng: &mut fastrand::Rng, bytes: usize) -> Vec<u8> {
    let fixed = b"project_id=p;file_path=src/lib.rs;language=rust;symbol_type=function;";
    let mut value: Vec<u8> = fixed.iter().cycle().take(150).copied().collect();
    value.extend(std::iter::repeat_with(|| rng.alphanumeric() as u8).take(bytes - 150));
    value
}

/// The best of several short rounds, in turn: other programs run beside this one.
fn compare_appends(bytes: usize, threads: u64, sync: Sync) {
    const ROUNDS: usize = 5;
    let measured = |name: &&&str| sync != Sync::AlwaysAlone || **name == "fjall";
    let names: Vec<&str> = NAMES.iter().filter(measured).copied().collect();
    let mut best = vec![0.0_f64; names.len()];
    for _ in 0..ROUNDS {
        for (best, name) in best.iter_mut().zip(&names) {
            *best = best.max(with_store!(*name, appends(bytes, threads, sync)));
        }
    }
    let sync = match sync {
        Sync::Never => "none",
        Sync::Always => "always",
        Sync::AlwaysAlone => "always, each alone",
    };
    for (rate, name) in best.iter().zip(names) {
        let each = 1e6 * threads as f64 / rate;
        println!("| {name} | {bytes} | {threads} | {sync} | {rate:.0} | {each:.1} |");
    }
}

/// Appends in a second.
fn appends<S: Store>(bytes: usize, threads: u64, sync: Sync) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let store = S::open(&dir.path().join("log"), sync).unwrap();
    let time = Duration::from_millis(500);
    let begin = Instant::now();
    let count: u64 = std::thread::scope(|scope| {
        let work = |thread: u64| {
            let store = &store;
            move || {
                let mut rng = fastrand::Rng::with_seed(thread);
                let values: Vec<_> = (0..64).map(|_| value(&mut rng, bytes)).collect();
                let mut count = 0u64;
                while begin.elapsed() < time {
                    let key = format!("intent/{thread}");
                    let value = &values[(count % 64) as usize];
                    let partition = rng.u16(..PARTITIONS);
                    store
                        .append(partition, value, (key.as_bytes(), b"done"))
                        .unwrap();
                    count += 1;
                }
                count
            }
        };
        let threads: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(work(thread)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    count as f64 / begin.elapsed().as_secs_f64()
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn on_disk(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        sum += match path.is_dir() {
            true => on_disk(&path),
            false => entry.metadata().map_or(0, |it| it.blocks() * 512),
        };
    }
    sum
}

fn backlog<S: Store>(count: u64) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("log");
    let store = S::open(&dir, Sync::Never).unwrap();
    let before = resident();
    let mut rng = fastrand::Rng::with_seed(1);
    for number in 0..count {
        let value = value(&mut rng, 350);
        let partition = (number % u64::from(PARTITIONS)) as u16;
        store
            .append(partition, &value, (b"intent/1", b"done"))
            .unwrap();
    }
    let (disk, memory) = (on_disk(&dir), resident() - before);
    let begin = Instant::now();
    let mut read = 0;
    let mut at = vec![0; usize::from(PARTITIONS)];
    while read < count {
        for partition in 0..PARTITIONS {
            let after = &mut at[usize::from(partition)];
            let entries = store.read(partition, *after, 500).unwrap();
            read += entries.len() as u64;
            let Some((last, _)) = entries.last() else {
                continue;
            };
            *after = *last;
            store.remove(partition, *last).unwrap();
        }
    }
    println!(
        "| {} | {count} | {} | {disk} | {:.2} | {memory} KiB | {:.1} s |",
        S::NAME,
        count * 350,
        disk as f64 / (count * 350) as f64,
        begin.elapsed().as_secs_f64(),
    );
}

const DAMAGE_ENTRIES: u64 = 3_000;

/// What every entry and state of the damaged store holds.
fn content(partition: u16, position: u64) -> Vec<u8> {
    let seed = u64::from(partition) << 32 | position;
    let mut rng = fastrand::Rng::with_seed(seed);
    let bytes = if seed.is_multiple_of(7) { 4096 } else { 300 };
    value(&mut rng, bytes)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .args(["-r", "--sparse=always"])
        .args([from, to])
        .status();
    assert!(status.unwrap().success());
}

fn damage<S: Store>(cases: u64) {
    let place = tempfile::tempdir().unwrap();
    let (live, origin) = (place.path().join("live"), place.path().join("origin"));
    let store = S::open(&live, Sync::Never).unwrap();
    for number in 0..DAMAGE_ENTRIES {
        let (partition, position) = ((number % 16) as u16, number / 16 + 1);
        let key = format!("state/{}", number % 500);
        let value = content(partition, position);
        store
            .append(partition, &value, (key.as_bytes(), key.as_bytes()))
            .unwrap();
    }
    // As a killed process leaves it.
    copy(&live, &origin);
    drop(store);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut counts = [0u64; 8];
    for _ in 0..cases {
        let dir = place.path().join("case");
        copy(&origin, &dir);
        let files = files(&dir);
        let file = &files[rng.usize(..files.len())];
        let mut bytes = fs::read(file).unwrap();
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        if used > 0 {
            let at = rng.usize(..used);
            match rng.u8(..4) {
                0 => bytes.truncate(at),
                1 => bytes[at..used.min(at + 4)].fill(0xf7),
                2 => bytes[at..used.min(at + 512)].fill(0),
                _ => bytes[at] ^= 1 << rng.u8(..8),
            }
            fs::write(file, bytes).unwrap();
        }
        let mut checking = child(&["check", S::NAME, dir.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let status = loop {
            match checking.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if Instant::now() > deadline => break None,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        counts[match status.map(|status| status.code()) {
            Some(Some(code @ 0..6)) => code as usize,
            // A panic is caught in the module.
            Some(Some(_)) => 1,
            Some(None) => 6,
            None => {
                checking.kill().unwrap();
                checking.wait().unwrap();
                7
            }
        }] += 1;
        fs::remove_dir_all(&dir).unwrap();
    }
    let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
    println!("| {} | {cases} | {} |", S::NAME, counts.join(" | "));
}

/// Exits with what it finds: 0 unharmed, 1 error, 2 gap, 3 end cut off, 4 state
/// lost, 5 wrong bytes.
fn check<S: Store>(dir: &Path) {
    let Ok(store) = S::open(dir, Sync::Never) else {
        std::process::exit(1)
    };
    let mut found = 0;
    let mut ends = 0;
    for partition in 0..PARTITIONS {
        let Ok(entries) = store.read(partition, 0, usize::MAX >> 1) else {
            std::process::exit(1)
        };
        for (at, (position, value)) in (1..).zip(&entries) {
            if at != *position {
                found = 2.max(found);
            } else if *value != content(partition, *position) {
                std::process::exit(5);
            }
        }
        ends += entries.last().map_or(0, |(position, _)| *position);
    }
    for number in 0..500 {
        let key = format!("state/{number}");
        match store.state(key.as_bytes()) {
            Ok(Some(value)) if value == key.as_bytes() => {}
            Ok(Some(_)) => std::process::exit(5),
            Ok(None) => found = 4.max(found),
            Err(_) => std::process::exit(1),
        }
    }
    if ends < DAMAGE_ENTRIES && found != 4 {
        found = 3.max(found);
    }
    std::process::exit(found);
}

/// In a small tmpfs of its own.
fn full(name: &str) {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().display();
    let program = env::current_exe().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=24m tmpfs {dir} && exec {} on-full-disk {name} {dir}",
        program.display()
    );
    let run = |flags: &str| {
        Command::new("unshare")
            .args([flags, "sh", "-c", &script])
            .stderr(Stdio::null())
            .output()
            .unwrap()
    };
    let mut output = run("-rm");
    if output.stdout.is_empty() {
        output = run("-m");
    }
    println!(
        "{name}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        output.status
    );
}

fn on_full_disk<S: Store>(dir: &Path) {
    let log = dir.join("log");
    fs::write(dir.join("filler"), vec![1; 4 << 20]).unwrap();
    let store = S::open(&log, Sync::Never).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut acked = 0u64;
    let mut fill = |acked: &mut u64| loop {
        match store.append(0, &value(&mut rng, 300), (b"intent/1", b"done")) {
            Ok(()) => *acked += 1,
            Err(error) => break error.to_string(),
        }
    };
    let error = fill(&mut acked);
    println!("{acked} appended, then: {error}");
    let read = store.read(0, 0, 10).map(|entries| entries.len());
    println!("reading meanwhile: {read:?}");
    fs::remove_file(dir.join("filler")).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let before = acked;
    let error = fill(&mut acked);
    println!(
        "with 4 MiB free again: {} more without reopening, then: {error}",
        acked - before
    );
    drop(store);
    match S::open(&log, Sync::Never) {
        Ok(store) => {
            let found = store
                .read(0, 0, usize::MAX >> 1)
                .map(|entries| entries.len() as u64);
            println!("reopened: {found:?} of {acked}");
        }
        Err(error) => println!("reopening on the full disk: {error}"),
    }
}

fn write_for_ever<S: Store>(dir: &Path) {
    let store = S::open(dir, Sync::Never).unwrap();
    let mut rng = fastrand::Rng::new();
    let mut out = std::io::stdout().lock();
    for number in 0u64.. {
        store
            .append(
                (number % 16) as u16,
                &value(&mut rng, 300),
                (b"intent/1", b"done"),
            )
            .unwrap();
        writeln!(out, "{number}").unwrap();
        out.flush().unwrap();
    }
}

fn kill<S: Store>(times: u64) {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("log");
    let (mut acked, mut lost, mut failed) = (0u64, 0, 0);
    for _ in 0..times {
        let mut writing = child(&["write", S::NAME, dir.to_str().unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(writing.stdout.take().unwrap());
        let counting = std::thread::spawn(move || out.lines().map_while(Result::ok).count());
        std::thread::sleep(Duration::from_millis(fastrand::u64(20..300)));
        writing.kill().unwrap();
        writing.wait().unwrap();
        acked += counting.join().unwrap() as u64;
        let Ok(store) = S::open(&dir, Sync::Never) else {
            failed += 1;
            continue;
        };
        let found: u64 = (0..PARTITIONS)
            .map(|partition| {
                store
                    .read(partition, 0, usize::MAX >> 1)
                    .map_or(0, |it| it.len() as u64)
            })
            .sum();
        lost += acked.saturating_sub(found);
        acked = acked.max(found);
    }
    println!("| {} | {times} | {acked} | {lost} | {failed} |", S::NAME);
}
