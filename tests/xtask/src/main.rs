//! Chores of the project: `cargo xtask --help`.
//!
//! | module | what it has |
//! | --- | --- |
//! | `build` | builds packages with Cargo, and shows how far a first build is |
//! | `reliability` | the long forms of the tests that break things |
//!
//! Everything that this program depends on is compiled before a newcomer sees its
//! first line: it is kept to a few small crates.

mod build;
mod reliability;

use anyhow::{Context, ensure};
use build::{Progress, build};
use clap::{Parser, Subcommand, builder::PossibleValuesParser};
use std::{
    ffi::OsStr,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Chores of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

const EXAMPLES: &str = "\
Examples:
  cargo demo                        builds what it needs, and shows replication at work
  cargo demo --limit 50             with less input
  cargo demo --keep target/kept     and keeps the databases and host.yaml
  cargo xtask exercise              all 64 methods, on the primary and through the plugin
  cargo xtask host status --url http://127.0.0.1:7878
  cargo xtask release               the plugin to ship, and its size
  cargo xtask package               the archive to ship, in target/package
  cargo xtask licences              the licences of everything that is linked in
  cargo xtask bench resync          what a resync costs per row
  cargo xtask reliability kills     kills a host 500 times; --percent 10 kills it 50 times";

#[derive(Subcommand)]
enum Chore {
    /// Replicates this project's own sources to a real server and checks the
    /// result. The arguments are those of `host-harness demo`: see
    /// `cargo xtask host demo --help`.
    Demo {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Calls all 64 methods, on the primary and through the plugin, and checks
    /// the answers. The arguments are those of `host-harness exercise`.
    Exercise {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Builds the plugin, the host and the server, and runs `host-harness` with
    /// these arguments.
    #[command(disable_help_flag = true)]
    Host {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Runs the long forms of the tests that break things, which takes hours, and
    /// prints their tables at the end.
    Reliability {
        /// Which of them [default: all].
        #[arg(value_parser = PossibleValuesParser::new(reliability::names()))]
        names: Vec<String>,
        /// How much of a full run, in percent.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        percent: u64,
    },
    /// Measures optimised builds, and prints a table for `docs/performance.md`.
    Bench {
        #[command(subcommand)]
        bench: Bench,
    },
    /// Builds the plugin as it is shipped: optimised, and alone, so that it has no
    /// features that only other packages need. Fails if it has 20 MB or more.
    Release,
    /// Makes the archive that is shipped for this platform: the library, the sample
    /// configuration, the documentation, all licences, and their SHA-256 sums.
    Package {
        /// The directory that it is written to.
        #[arg(long, default_value = "target/package")]
        output: PathBuf,
        /// Takes this library [default: builds it as `release` does].
        #[arg(long)]
        library: Option<PathBuf>,
    },
    /// Prints the licences of everything that is linked into the library. `.ci/run`
    /// checks them: see `deny.toml`.
    Licences,
}

#[derive(Subcommand)]
enum Bench {
    /// What a resync costs per row, and how it compares to a bulk load by hand.
    Resync {
        /// The sizes of the table [default: 10000 100000].
        rows: Vec<u64>,
    },
}

/// The packages that a running host needs.
const PACKAGES: [&str; 3] = ["db-sync-server", "host-harness", "secondary-server"];

/// The shipped plugin must be smaller, in bytes.
const MAX_PLUGIN_SIZE: u64 = 20_000_000;

fn main() -> ExitCode {
    let done = match Cli::parse().chore {
        Chore::Demo { arguments } => host("demo", &arguments),
        Chore::Exercise { arguments } => host("exercise", &arguments),
        Chore::Host { arguments } => match arguments.split_first() {
            Some((command, arguments)) => host(command, arguments),
            None => host("--help", &[]),
        },
        Chore::Bench {
            bench: Bench::Resync { rows },
        } => bench_resync(&rows),
        Chore::Release => release().map(|_| ExitCode::SUCCESS),
        Chore::Package { output, library } => package(&output, library),
        Chore::Licences => packaging(&["licences".as_ref()]),
        Chore::Reliability { names, percent } => {
            reliability::run(&names, percent).map(|()| ExitCode::SUCCESS)
        }
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            build::print(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Builds the plugin, the host and the server, puts the plugin in a modules
/// directory, and runs the host.
fn host(command: &str, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let built = build(&PACKAGES, &[], first_build(command)?)?;
    let program = find(&built, "host-harness")?;
    let server = find(&built, "secondary-server")?;
    let plugin = find(&built, &library_name())?;
    let directory = plugin.parent().unwrap_or(Path::new(".")).join("modules");
    std::fs::create_dir_all(&directory)?;
    let copy = directory.join(library_name());
    // A new file instead of new content: a running host has mapped the old one.
    if let Err(error) = std::fs::remove_file(&copy)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error).with_context(|| copy.display().to_string());
    }
    std::fs::copy(&plugin, &copy).with_context(|| copy.display().to_string())?;

    let mut run = Command::new(&program);
    run.arg(command)
        .args(arguments)
        .env("SECONDARY_SERVER", &server);
    if matches!(command, "demo" | "exercise") {
        run.arg("--modules-dir").arg(&directory);
    }
    let status = run
        .status()
        .with_context(|| program.display().to_string())?;
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// If these packages were never built here, announces what follows and how long it
/// takes.
fn first_build(command: &str) -> anyhow::Result<Option<Progress>> {
    let server = format!("secondary-server{}", std::env::consts::EXE_SUFFIX);
    // This program is in the same directory.
    if std::env::current_exe()?.with_file_name(server).exists() {
        return Ok(None);
    }
    let what = "the plugin, a host and a real SurrealDB server";
    let progress = Progress::announce(what, &PACKAGES)?;
    build::print(&format!(
        "After that `host-harness {command}` starts by itself."
    ));
    Ok(Some(progress))
}

/// Builds everything optimised and measures resyncs.
fn bench_resync(rows: &[u64]) -> anyhow::Result<ExitCode> {
    let packages = [&PACKAGES[..], &["replication-tests"]].concat();
    let built = build(&packages, &["--profile", "measure"], None)?;
    let status = Command::new(find(&built, "resync_cost")?)
        .args(rows.iter().map(u64::to_string))
        .status()
        .context("resync_cost")?;
    ensure!(status.success(), "the measurement failed");
    Ok(ExitCode::SUCCESS)
}

/// Builds the plugin alone and prints its size. Returns its path.
fn release() -> anyhow::Result<PathBuf> {
    let built = build(&["db-sync-server"], &["--release"], None)?;
    let plugin = find(&built, &library_name())?;
    let bytes = std::fs::metadata(&plugin)?.len();
    writeln!(
        io::stdout(),
        "{} has {:.1} MB",
        plugin.display(),
        bytes as f64 / 1e6
    )?;
    ensure!(
        bytes < MAX_PLUGIN_SIZE,
        "the plugin must have less than {} MB",
        MAX_PLUGIN_SIZE / 1_000_000
    );
    Ok(plugin)
}

/// Makes the archive that is shipped.
fn package(output: &Path, library: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let library = match library {
        Some(library) => library,
        None => release()?,
    };
    let [library, output] = [&*library, output].map(std::path::absolute);
    packaging(&[
        "archive".as_ref(),
        "--library".as_ref(),
        library?.as_os_str(),
        "--output".as_ref(),
        output?.as_os_str(),
    ])
}

/// Builds the program that packages, and runs it. It is a program of its own, so
/// that this one stays small.
fn packaging(arguments: &[&OsStr]) -> anyhow::Result<ExitCode> {
    let built = build(&["packaging"], &[], None)?;
    let program = find(
        &built,
        &format!("packaging{}", std::env::consts::EXE_SUFFIX),
    )?;
    let status = Command::new(&program)
        .args(arguments)
        .status()
        .with_context(|| program.display().to_string())?;
    ensure!(
        status.success(),
        "packaging failed; the message above says why"
    );
    Ok(ExitCode::SUCCESS)
}

fn library_name() -> String {
    format!(
        "{}db_sync_server{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    )
}

fn find(files: &[PathBuf], name: &str) -> anyhow::Result<PathBuf> {
    files
        .iter()
        .find(|file| file.file_name().is_some_and(|file| file == name))
        .cloned()
        .with_context(|| format!("the build made no {name}"))
}
