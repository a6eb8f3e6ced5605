//! Finds the plugin's library; builds it for tests.

use server_process::find;
use std::{path::PathBuf, process::Command, sync::OnceLock};

/// The file name of the plugin's library on this system.
pub const PLUGIN_LIBRARY: &str = if cfg!(target_os = "macos") {
    "libdb_sync_server.dylib"
} else {
    "libdb_sync_server.so"
};

/// The plugin's library: `$DB_SYNC_PLUGIN`, or the file beside this program or in
/// the build directory that it comes from.
///
/// # Errors
/// A sentence that says where it was searched for and how to build it.
pub fn plugin_library() -> Result<PathBuf, String> {
    find("DB_SYNC_PLUGIN", PLUGIN_LIBRARY, "db-sync-server")
}

/// The prefixes of the variables in which Cargo tells a program about its package.
const OF_A_PACKAGE: [&str; 5] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_PRIMARY_",
];

/// For tests: builds the libraries and programs that a test loads and starts, since
/// `cargo test` does not always build those of other packages. Returns the build
/// directory (`target/debug`).
///
/// It builds the whole workspace, as `cargo test` does, so that Cargo resolves the
/// same features and compiles no dependency twice.
///
/// # Errors
/// Cargo cannot be run, or a build fails.
pub fn build_for_tests() -> Result<PathBuf, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build(&["--workspace", "--lib", "--bins", "--examples"]))
        .clone()
}

/// A directory of the workspace that runs the test. The one in which the test was
/// compiled may be gone, since a build directory can outlive a clone.
fn sources() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .unwrap_or(env!("CARGO_MANIFEST_DIR").into())
        .into()
}

/// For tests: runs `cargo build` with these arguments, into the build directory of
/// the running test. Returns that directory (`target/debug`).
///
/// # Errors
/// Cargo cannot be run, or the build fails.
pub fn build(arguments: &[&str]) -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    // target/PROFILE/deps/TEST
    let directory = program
        .ancestors()
        .nth(2)
        .ok_or_else(|| format!("{} is not in a build directory", program.display()))?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo
        .args(["build", "--quiet"])
        .args(arguments)
        .current_dir(sources())
        .env("CARGO_TARGET_DIR", directory.parent().unwrap_or(directory))
        // A new commit alone does not link an optimised plugin again.
        .env("DB_SYNC_COMMIT", "unknown");
    // Cargo's variables about this test's package would look like a change to the
    // build scripts of dependencies, and everything would be compiled again.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| OF_A_PACKAGE.iter().any(|prefix| name.starts_with(prefix)))
        {
            cargo.env_remove(name);
        }
    }
    match cargo.status() {
        Ok(status) if status.success() => Ok(directory.to_owned()),
        Ok(status) => Err(format!("cargo build {}: {status}", arguments.join(" "))),
        Err(error) => Err(format!("cannot run cargo: {error}")),
    }
}
