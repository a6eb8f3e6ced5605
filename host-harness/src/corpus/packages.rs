//! A project's packages and what they depend on, from `Cargo.lock` and the
//! manifests.
//!
//! Every clone has these files. `cargo metadata` would also need the crates of
//! every platform, and a build downloads only those of one.

use super::files;
use cargo_lock::{Dependency, Lockfile};
use cargo_toml::Manifest;
use std::{
    collections::{HashMap, VecDeque},
    path::Path,
};

/// A package of the dependency graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The registry or repository that it comes from; none for the project's own.
    pub source: Option<String>,
    /// The checksum of the published archive.
    pub checksum: Option<String>,
    /// What its manifest says. Only the project's own packages have theirs here.
    pub manifest: Option<PackageManifest>,
}

/// What the manifest of one of the project's own packages says.
#[derive(Clone, Debug, PartialEq)]
pub struct PackageManifest {
    /// What the package is for.
    pub description: Option<String>,
    /// Its licence.
    pub license: Option<String>,
    /// Its edition of the language: `2024`.
    pub edition: String,
    /// The oldest compiler that builds it.
    pub rust_version: Option<String>,
}

/// The dependency graph: the project's own packages first, then the others by
/// their distance from them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packages {
    /// All packages.
    pub packages: Vec<Package>,
    /// Dependencies, as a package and one that it depends on, both by their
    /// index in `packages`.
    pub edges: Vec<(usize, usize)>,
}

/// Reads the lock file of the workspace that `root` belongs to, and the
/// manifests below it.
///
/// # Errors
/// A sentence that names the file, what is wrong with it, and what to do.
pub(super) fn packages(root: &Path) -> Result<Packages, String> {
    let workspace = root
        .ancestors()
        .find(|directory| directory.join("Cargo.lock").is_file())
        .ok_or_else(|| {
            format!(
                "there is no Cargo.lock in {} or above it; run `cargo generate-lockfile` there",
                root.display()
            )
        })?;
    let path = workspace.join("Cargo.lock");
    let lockfile = Lockfile::load(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let manifests = manifests(workspace)?;
    Ok(nearest_first(&lockfile, manifests))
}

/// The manifests of the packages in a directory, by the packages' names.
fn manifests(workspace: &Path) -> Result<HashMap<String, PackageManifest>, String> {
    let mut manifests = HashMap::new();
    let paths = files(workspace, |name| name == "Cargo.toml").map_err(|error| error.to_string())?;
    for path in paths {
        // With what it inherits from its workspace.
        let manifest =
            Manifest::from_path(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let Some(package) = manifest.package else {
            continue;
        };
        manifests.insert(
            package.name().to_owned(),
            PackageManifest {
                description: package.description().map(str::to_owned),
                license: package.license().map(str::to_owned),
                edition: package.edition().to_string(),
                rust_version: package.rust_version().map(str::to_owned),
            },
        );
    }
    Ok(manifests)
}

/// Orders the packages breadth-first from the project's own, which have no source.
fn nearest_first(lockfile: &Lockfile, mut manifests: HashMap<String, PackageManifest>) -> Packages {
    let by_id: HashMap<Dependency, &cargo_lock::Package> = lockfile
        .packages
        .iter()
        .map(|package| (package.into(), package))
        .collect();
    let mut order: Vec<&cargo_lock::Package> = Vec::new();
    let mut indices: HashMap<Dependency, usize> = HashMap::new();
    let own = lockfile.packages.iter().filter(|one| one.source.is_none());
    let mut waiting: VecDeque<Dependency> = own.map(Into::into).collect();
    while let Some(id) = waiting.pop_front() {
        if let Some(package) = by_id.get(&id)
            && !indices.contains_key(&id)
        {
            indices.insert(id, order.len());
            order.push(package);
            waiting.extend(package.dependencies.iter().cloned());
        }
    }
    let edges = order.iter().enumerate().flat_map(|(from, package)| {
        let to = package.dependencies.iter().filter_map(|id| indices.get(id));
        to.map(move |&to| (from, to))
    });
    let edges = edges.collect();
    let packages = order
        .into_iter()
        .map(|package| Package {
            name: package.name.to_string(),
            version: package.version.to_string(),
            source: package.source.as_ref().map(ToString::to_string),
            checksum: package.checksum.as_ref().map(ToString::to_string),
            manifest: match package.source {
                None => manifests.remove(package.name.as_str()),
                Some(_) => None,
            },
        })
        .collect();
    Packages { packages, edges }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_projects_own_packages_come_first() {
        let graph = packages(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(
            graph
                .packages
                .iter()
                .take(5)
                .all(|package| package.source.is_none())
        );
        let name = |at: usize| graph.packages[at].name.as_str();
        assert!(
            graph
                .edges
                .iter()
                .any(|(from, to)| { (name(*from), name(*to)) == ("host-harness", "plugin-api") })
        );
    }

    #[test]
    fn own_packages_have_what_their_manifests_say_and_inherit() {
        let graph = packages(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        for package in &graph.packages {
            assert_eq!(
                package.manifest.is_some(),
                package.source.is_none(),
                "{package:?}"
            );
            assert_eq!(
                package.checksum.is_some(),
                package.source.is_some(),
                "{package:?}"
            );
        }
        let own = graph.packages.iter().find(|one| one.name == "host-harness");
        let manifest = own.unwrap().manifest.as_ref().unwrap();
        assert_eq!(
            manifest.description.as_deref(),
            Some(env!("CARGO_PKG_DESCRIPTION"))
        );
        assert_eq!(manifest.license.as_deref(), Some(env!("CARGO_PKG_LICENSE")));
        assert_eq!(
            manifest.rust_version.as_deref(),
            Some(env!("CARGO_PKG_RUST_VERSION"))
        );
        assert_eq!(manifest.edition, "2024");
    }

    #[test]
    fn a_missing_or_unreadable_lock_file_is_named() {
        let project = tempfile::tempdir().unwrap();
        let error = packages(project.path()).unwrap_err();
        assert!(error.contains("there is no Cargo.lock in"), "{error}");
        assert!(error.contains("cargo generate-lockfile"), "{error}");

        std::fs::write(project.path().join("Cargo.lock"), "version = no").unwrap();
        let error = packages(project.path()).unwrap_err();
        assert!(error.contains("Cargo.lock: "), "{error}");
    }
}
