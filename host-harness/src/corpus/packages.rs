//! A project's packages and what they depend on, from `cargo metadata`.

use serde::Deserialize;
use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    process::Command,
};

/// A package.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Crate {
    /// Cargo's id for it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it says of itself.
    pub description: Option<String>,
    /// Its licence.
    pub license: Option<String>,
    /// Where it comes from; none for the project's own.
    pub source: Option<String>,
    /// Its edition of the language.
    pub edition: String,
    /// The oldest compiler that it takes.
    pub rust_version: Option<String>,
}

/// The project's packages first, then those nearest to them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packages {
    /// All packages.
    pub crates: Vec<Crate>,
    /// Who depends on whom, as places in `crates`.
    pub edges: Vec<(usize, usize)>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

/// Asks Cargo, without a network.
///
/// # Errors
/// A sentence: there is no Cargo, or no workspace.
pub(super) fn packages(root: &Path) -> Result<Packages, String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    serde_json::from_slice(&output.stdout)
        .map(nearest_first)
        .map_err(|error| error.to_string())
}

/// Walks the dependencies breadth-first from the project's own packages.
fn nearest_first(metadata: Metadata) -> Packages {
    let dependencies: HashMap<&str, &[String]> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node.dependencies.as_slice()))
        .collect();
    let mut known: HashMap<&str, Crate> = HashMap::new();
    for package in &metadata.packages {
        known.insert(&package.id, package.clone());
    }
    let mut packages = Packages::default();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut waiting: VecDeque<&str> = metadata
        .workspace_members
        .iter()
        .map(String::as_str)
        .collect();
    while let Some(id) = waiting.pop_front() {
        if let Some(package) = known.remove(id) {
            places.insert(id, packages.crates.len());
            packages.crates.push(package);
            waiting.extend(
                dependencies
                    .get(id)
                    .into_iter()
                    .flat_map(|all| all.iter())
                    .map(String::as_str),
            );
        }
    }
    for package in &packages.crates {
        let Some((id, from)) = places.get_key_value(package.id.as_str()) else {
            continue;
        };
        for to in dependencies.get(id).into_iter().flat_map(|all| all.iter()) {
            packages
                .edges
                .extend(places.get(to.as_str()).map(|to| (*from, *to)));
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_project_itself_comes_first() {
        let packages = packages(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(
            packages
                .crates
                .iter()
                .take(5)
                .all(|package| package.source.is_none())
        );
        let name = |at: usize| packages.crates[at].name.as_str();
        assert!(
            packages
                .edges
                .iter()
                .any(|(from, to)| { (name(*from), name(*to)) == ("host-harness", "plugin-api") })
        );
    }
}
