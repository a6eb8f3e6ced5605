//! [`Linked`]: the packages that are linked into the library as it is shipped.
//!
//! That is what `cargo tree` lists for the plugin alone on this platform, without
//! what only runs during the build: build scripts, procedural macros, and what
//! these depend on.

use anyhow::{Context, ensure};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

/// The plugin's package.
const PLUGIN: &str = "db-sync-server";

/// A package as Cargo describes it.
#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence as an SPDX expression, if it states one.
    pub license: Option<String>,
    /// The file with its licence, if it names one.
    pub license_file: Option<PathBuf>,
    /// Who made it.
    pub authors: Vec<String>,
    /// Where it is developed.
    pub repository: Option<String>,
    /// Its `Cargo.toml`.
    pub manifest_path: PathBuf,
    /// Where it comes from; none for the packages of this repository.
    pub source: Option<String>,
}

impl Package {
    /// The directory of its sources.
    pub fn directory(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

/// What the library is made of.
#[derive(Clone, Debug)]
pub struct Linked {
    /// The packages of others, by name and version.
    pub packages: Vec<Package>,
    /// The version of the module.
    pub version: String,
    /// The platform, such as `x86_64-unknown-linux-gnu`.
    pub target: String,
    /// The root of this repository.
    pub root: PathBuf,
    /// The directory of the Rust compiler, whose standard library is linked in too.
    pub sysroot: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

impl Linked {
    /// Asks Cargo. Needs no network if the plugin has been built here.
    ///
    /// # Errors
    /// Cargo or the compiler cannot be run, or fails.
    pub fn find() -> anyhow::Result<Self> {
        let compiler = output(rustc(), &["-vV"])?;
        let target = compiler
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .context("rustc -vV names no host")?
            .to_owned();
        let metadata = [
            "metadata",
            "--locked",
            "--format-version=1",
            "--filter-platform",
            &target,
        ];
        let metadata: Metadata = serde_json::from_str(&output(cargo(), &metadata)?)?;
        let tree = [
            "tree",
            "--locked",
            "--package",
            PLUGIN,
            "--target",
            &target,
            "--edges=normal,no-proc-macro",
            "--prefix=none",
            "--format={p}",
        ];
        let listed = listed(&output(cargo(), &tree)?);
        let mut packages: Vec<Package> = metadata
            .packages
            .into_iter()
            .filter(|one| listed.contains(&(one.name.clone(), one.version.clone())))
            .collect();
        ensure!(
            packages.len() == listed.len(),
            "cargo tree and cargo metadata disagree about what {PLUGIN} depends on"
        );
        let plugin = packages.iter().find(|one| one.name == PLUGIN);
        let version = plugin.context("no plugin")?.version.clone();
        packages.retain(|one| one.source.is_some());
        packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        Ok(Self {
            packages,
            version,
            target,
            root: metadata.workspace_root,
            sysroot: output(rustc(), &["--print", "sysroot"])?.trim().into(),
        })
    }
}

/// The names and versions in the output of `cargo tree`: `name v1.2.3 (…)`.
fn listed(tree: &str) -> BTreeSet<(String, String)> {
    let lines = tree.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?);
        Some((name.to_owned(), version.strip_prefix('v')?.to_owned()))
    });
    lines.collect()
}

/// Cargo in this repository, also if the program was built in another copy of it.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    if let Some(directory) = std::env::var_os("CARGO_MANIFEST_DIR") {
        cargo.current_dir(directory);
    }
    cargo
}

fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
}

fn output(mut command: Command, arguments: &[&str]) -> anyhow::Result<String> {
    let output = command.args(arguments).output().with_context(|| {
        let program = command.get_program().display();
        format!("cannot run {program}")
    })?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_client_is_linked_in_and_neither_the_server_nor_the_build_is() {
        let linked = Linked::find().unwrap();
        let names: BTreeSet<&str> = linked.packages.iter().map(|one| &*one.name).collect();
        for name in ["surrealdb", "fjall", "tokio", "abi_stable"] {
            assert!(names.contains(name), "{name}");
        }
        // The server; a procedural macro and what it is made of; our own.
        for name in ["surrealdb-server", "serde_derive", "syn", "surreal-storage"] {
            assert!(!names.contains(name), "{name}");
        }
    }
}
