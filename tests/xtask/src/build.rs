//! Builds packages with Cargo, and shows how far a first build is.

use anyhow::{Context, bail};
use serde_json::Value as Json;
use std::{
    collections::HashSet,
    io::{self, BufRead, BufReader, IsTerminal, Write},
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// How long the first build takes, as in the README.
const FIRST_BUILD: &str = "nine minutes on two cores";

/// How often progress is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);
/// How often it is checked whether a report is due, while Cargo says nothing.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Cargo, as from a shell.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    // Cargo's variables about this program's package would look like a change to the
    // build scripts of dependencies, and everything would be compiled again.
    for (name, _) in std::env::vars_os() {
        let prefixes = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
            "CARGO_PRIMARY_",
        ];
        if name
            .to_str()
            .is_some_and(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
        {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Builds packages and returns the files that came of it. Cargo shows what it
/// compiles; `progress` adds how far it is.
pub(crate) fn build(
    packages: &[&str],
    options: &[&str],
    mut progress: Option<Progress>,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut cargo = cargo();
    cargo
        .args(["build", "--message-format", "json-render-diagnostics"])
        .args(options)
        .args(selection(packages));
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let (sender, messages) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            // Fails only when the receiver of the build's output is gone.
            lines.map(|line| sender.send(line)).all(|sent| sent.is_ok())
        });
    }
    let mut files = Vec::new();
    loop {
        match messages.recv_timeout(POLL_INTERVAL) {
            Ok(line) => {
                let message = serde_json::from_str(&line).unwrap_or_default();
                files.extend(built_files(&message));
                if let Some(progress) = &mut progress {
                    progress.count(&message);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if let Some(progress) = &mut progress {
            progress.report_if_due();
        }
    }
    if !child.wait()?.success() {
        bail!("the build failed; Cargo's messages above say why");
    }
    Ok(files)
}

/// How far a build is.
pub(crate) struct Progress {
    /// How many crates there are to build.
    total: usize,
    /// The ids of the packages that are built.
    built: HashSet<String>,
    /// The crate that was finished last.
    last: String,
    started: Instant,
    reported: Instant,
}

impl Progress {
    /// Says what is going to be built (`what`, such as "the plugin") and how long
    /// that takes. Downloads the sources, since Cargo counts the crates by them.
    pub(crate) fn announce(what: &str, packages: &[&str]) -> anyhow::Result<Self> {
        print(&format!("Fetching the sources of {what}."));
        let total = count_crates(packages)?;
        print(&format!(
            "Building {what}: {total} crates.\n\
             The first build takes about {FIRST_BUILD}; later ones compile only what has changed."
        ));
        Ok(Self {
            total,
            built: HashSet::new(),
            last: String::new(),
            started: Instant::now(),
            reported: Instant::now(),
        })
    }

    /// Counts the package of a message about something that was built. A package
    /// counts once, and its build script not at all: that is only a beginning.
    fn count(&mut self, message: &Json) {
        let target = &message["target"];
        let is_build_script = target["kind"][0] == "custom-build";
        if message["reason"] == "compiler-artifact"
            && !is_build_script
            && let Some(id) = message["package_id"].as_str()
        {
            self.built.insert(id.to_owned());
            self.last = target["name"].as_str().unwrap_or_default().to_owned();
        }
    }

    /// Prints a line every [`REPORT_INTERVAL`]. On a terminal Cargo's own bar, which
    /// has the same numbers, would be in the way.
    fn report_if_due(&mut self) {
        if self.reported.elapsed() >= REPORT_INTERVAL && !io::stderr().is_terminal() {
            self.reported = Instant::now();
            print(&self.line(self.started.elapsed()));
        }
    }

    fn line(&self, elapsed: Duration) -> String {
        let elapsed = humantime::format_duration(Duration::from_secs(elapsed.as_secs()));
        let (built, total) = (self.built.len(), self.total);
        format!(
            "--> {built} of {total} crates built in {elapsed}; the last was {}",
            self.last
        )
    }
}

/// Prints a line on stderr, as Cargo does: stdout is for what was asked for.
pub(crate) fn print(line: &str) {
    // With stderr closed there is nowhere left to report to.
    let _ = writeln!(io::stderr(), "{line}");
}

/// The packages as Cargo's arguments.
fn selection<'a>(packages: &[&'a str]) -> impl Iterator<Item = &'a str> {
    packages.iter().flat_map(|package| ["-p", package])
}

/// The libraries and programs that a message of Cargo names.
fn built_files(message: &Json) -> Vec<PathBuf> {
    let libraries = message["filenames"].as_array().into_iter().flatten();
    libraries
        .chain([&message["executable"]])
        .filter_map(Json::as_str)
        .map(PathBuf::from)
        .collect()
}

/// How many crates packages need on this platform, themselves included.
fn count_crates(packages: &[&str]) -> anyhow::Result<usize> {
    let output = cargo()
        .args(["tree", "--edges", "normal,build", "--prefix", "none"])
        .args(selection(packages))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("Cargo cannot list the dependencies; its messages above say why");
    }
    Ok(distinct_crates(&String::from_utf8_lossy(&output.stdout)))
}

/// How many crates the output of `cargo tree --prefix none` names. A line begins
/// with a name and a version, and one crate has several lines.
fn distinct_crates(tree: &str) -> usize {
    let crates: HashSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, version) = (words.next()?, words.next()?);
            version.starts_with('v').then_some((name, version))
        })
        .collect();
    crates.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    #[test]
    fn each_crate_of_a_tree_counts_once() {
        let tree = "\
host v0.1.0 (/project/host)
serde v1.0.229
serde_derive v1.0.229 (proc-macro)
syn v2.0.119
serde v1.0.229 (*)
syn v3.0.10

plugin v0.1.0 (/project/plugin)
[build-dependencies]
serde v1.0.229 (*)
";
        assert_eq!(distinct_crates(tree), 6);
    }

    #[test]
    fn progress_counts_each_package_once_and_no_build_scripts() {
        let artifact = |id: &str, kind: &str| {
            json!({
                "reason": "compiler-artifact", "package_id": id,
                "target": {"kind": [kind], "name": "a_crate"}
            })
        };
        let mut progress = Progress {
            total: 3,
            built: HashSet::new(),
            last: String::new(),
            started: Instant::now(),
            reported: Instant::now(),
        };
        progress.count(&artifact("a@1", "custom-build"));
        progress.count(&json!({"reason": "build-script-executed", "package_id": "a@1"}));
        assert_eq!(progress.built.len(), 0);
        progress.count(&artifact("a@1", "lib"));
        progress.count(&artifact("a@1", "lib"));
        progress.count(&artifact("b@1", "proc-macro"));
        assert_eq!(
            progress.line(Duration::from_millis(90_500)),
            "--> 2 of 3 crates built in 1m 30s; the last was a_crate"
        );
    }

    #[test]
    fn the_files_of_a_message_are_its_libraries_and_its_program() {
        let message = json!({"filenames": ["/t/a.so", "/t/a.rlib"], "executable": "/t/a"});
        let files = built_files(&message);
        assert_eq!(files, ["/t/a.so", "/t/a.rlib", "/t/a"].map(PathBuf::from));
        assert!(built_files(&json!({"executable": null})).is_empty());
    }
}
