//! [`BUILD`]: what this library was built from, as the build script found it.

use plugin_api::loading::CONTRACT_VERSION;
use serde::Serialize;

/// What a library was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BuildInfo {
    /// The module's version.
    pub version: &'static str,
    /// The commit of the sources, with `-modified` if they differed from it;
    /// `unknown` in development builds and without a repository.
    pub commit: &'static str,
    /// The version of the contract, `plugin-api`.
    pub contract: &'static str,
    /// The version of the SurrealDB client in the library.
    pub surrealdb_client: &'static str,
    /// The platform that it is for, such as `x86_64-unknown-linux-gnu`.
    pub target: &'static str,
    /// `release`, or `debug` for a development build.
    pub profile: &'static str,
}

/// What this library was built from.
pub const BUILD: BuildInfo = BuildInfo {
    version: env!("CARGO_PKG_VERSION"),
    commit: env!("BUILD_COMMIT"),
    contract: CONTRACT_VERSION,
    surrealdb_client: env!("BUILD_SURREALDB"),
    target: env!("BUILD_TARGET"),
    profile: env!("BUILD_PROFILE"),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_pinned_one() {
        let manifest = include_str!("../../Cargo.toml");
        let pinned = format!("surrealdb = {{ version = \"={}\"", BUILD.surrealdb_client);
        assert!(manifest.contains(&pinned), "{pinned}");
    }
}
