//! Chores of the project: `cargo xtask --help`.

mod reliability;

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand, builder::PossibleValuesParser};
use serde_json::Value as Json;
use std::{
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
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
  cargo demo                        builds the plugin, the host and the server, and shows them at work
  cargo demo --most 50              with less input
  cargo demo --keep target/kept     and keeps the databases and host.yaml to look at
  cargo xtask exercise              all 64 methods, bare and through the plugin
  cargo xtask host status --url http://127.0.0.1:7878
  cargo xtask release               the plugin to ship, lean, with its size
  cargo xtask reliability kills     kills a host 500 times; --percent 10 kills it 50 times";

#[derive(Subcommand)]
enum Chore {
    /// Replicates this project's own sources to a real server and shows what
    /// happens. Arguments go to `host-harness demo`.
    Demo {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Calls all 64 methods, bare and through the plugin, and checks the
    /// answers. Arguments go to `host-harness exercise`.
    Exercise {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Builds everything and runs the host with these arguments.
    #[command(disable_help_flag = true)]
    Host {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Runs the long forms of the tests that break things, hours in all, and
    /// ends with their tables.
    Reliability {
        /// Which; all if none is named.
        #[arg(value_parser = PossibleValuesParser::new(reliability::names()))]
        names: Vec<String>,
        /// How much of each.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        percent: u64,
    },
    /// Builds the plugin as it is shipped: alone, so that no other package's
    /// features get into it, and optimised. Fails if it has 20 MB or more.
    Release,
}

/// The packages that the host needs to show something.
const PACKAGES: [&str; 3] = ["db-sync-server", "host-harness", "secondary-server"];

/// The largest plugin that is shipped, in bytes.
const LARGEST: u64 = 20_000_000;

fn main() -> ExitCode {
    let done = match Cli::parse().chore {
        Chore::Demo { arguments } => host("demo", &arguments),
        Chore::Exercise { arguments } => host("exercise", &arguments),
        Chore::Host { arguments } => match arguments.split_first() {
            Some((command, arguments)) => host(command, arguments),
            None => host("--help", &[]),
        },
        Chore::Release => release(),
        Chore::Reliability { names, percent } => {
            reliability::run(&names, percent).map(|()| ExitCode::SUCCESS)
        }
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // If stderr is closed, nobody is there to be told.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Builds everything, puts the plugin in a modules directory, runs the host.
fn host(command: &str, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let built = build(&PACKAGES, &[])?;
    let program = find(&built, "host-harness")?;
    let server = find(&built, "secondary-server")?;
    let plugin = find(&built, &library_name())?;
    let directory = plugin.parent().unwrap_or(Path::new(".")).join("modules");
    std::fs::create_dir_all(&directory)?;
    let place = directory.join(library_name());
    // A new file, not the old one written over: a running host has that one mapped.
    if let Err(error) = std::fs::remove_file(&place)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error).with_context(|| place.display().to_string());
    }
    std::fs::copy(&plugin, &place).with_context(|| place.display().to_string())?;

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

/// Builds the plugin alone and says how large it is.
fn release() -> anyhow::Result<ExitCode> {
    let built = build(&["db-sync-server"], &["--release"])?;
    let plugin = find(&built, &library_name())?;
    let bytes = std::fs::metadata(&plugin)?.len();
    writeln!(
        io::stdout(),
        "{} has {:.1} MB",
        plugin.display(),
        bytes as f64 / 1e6
    )?;
    ensure!(
        bytes < LARGEST,
        "the plugin should have less than {} MB",
        LARGEST / 1_000_000
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

/// Cargo, as from a shell.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    // What Cargo told this program about its own package, build scripts of
    // dependencies would take for a change, and compile everything again.
    for (name, _) in std::env::vars_os() {
        let told = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
            "CARGO_PRIMARY_",
        ];
        if name
            .to_str()
            .is_some_and(|name| told.iter().any(|prefix| name.starts_with(prefix)))
        {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Builds packages, Cargo's own progress shown, and gives the files that came
/// of it.
fn build(packages: &[&str], options: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let mut cargo = cargo();
    cargo
        .args(["build", "--message-format", "json-render-diagnostics"])
        .args(options);
    for package in packages {
        cargo.args(["-p", package]);
    }
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo cannot be run")?;
    let mut files = Vec::new();
    if let Some(messages) = child.stdout.take() {
        for line in BufReader::new(messages).lines() {
            let message: Json = serde_json::from_str(&line?).unwrap_or_default();
            let names = message["filenames"].as_array().into_iter().flatten();
            files.extend(
                names
                    .chain([&message["executable"]])
                    .filter_map(Json::as_str)
                    .map(PathBuf::from),
            );
        }
    }
    if !child.wait()?.success() {
        bail!("the build failed");
    }
    Ok(files)
}

fn find(files: &[PathBuf], name: &str) -> anyhow::Result<PathBuf> {
    files
        .iter()
        .find(|file| file.file_name().is_some_and(|file| file == name))
        .cloned()
        .with_context(|| format!("the build gave no {name}"))
}
