//! Where the plugin's library is, and, for tests, building what they load.

use server_process::find;
use std::{path::PathBuf, process::Command, sync::OnceLock};

/// The file name of the plugin's library on this system.
pub const PLUGIN_LIBRARY: &str = if cfg!(target_os = "macos") {
    "libdb_sync_server.dylib"
} else {
    "libdb_sync_server.so"
};

/// The plugin's library: `$DB_SYNC_PLUGIN`, or the file beside this program or
/// in the build directory that it came from.
///
/// # Errors
/// A sentence that says where it was looked for and how to build it.
pub fn plugin_library() -> Result<PathBuf, String> {
    find("DB_SYNC_PLUGIN", PLUGIN_LIBRARY, "db-sync-server")
}

/// How the names begin under which Cargo tells a program about its package.
const OF_A_PACKAGE: [&str; 5] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_PRIMARY_",
];

/// For tests: brings the libraries and programs that a test loads and starts
/// up to date, since `cargo test` builds those of other packages only by
/// chance. Gives the build directory (`target/debug`).
///
/// The whole workspace, as `cargo test` has it: so Cargo resolves the same
/// features and compiles no dependency twice.
///
/// # Errors
/// Cargo cannot be run, or a build fails.
pub fn build_for_tests() -> Result<PathBuf, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build(&["--workspace", "--lib", "--bins", "--examples"]))
        .clone()
}

/// A directory of the workspace that runs the test; the one that it was compiled
/// in may be gone, since a build directory outlives clones.
fn sources() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .unwrap_or(env!("CARGO_MANIFEST_DIR").into())
        .into()
}

/// For tests: builds what the arguments of `cargo build` say, into the build
/// directory that the running test is from. Gives that (`target/debug`).
///
/// # Errors
/// Cargo cannot be run, or the build fails.
pub fn build(arguments: &[&str]) -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    // target/PROFILE/deps/TEST
    let directory = program
        .ancestors()
        .nth(2)
        .ok_or_else(|| format!("{} is in no build directory", program.display()))?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo
        .args(["build", "--quiet"])
        .args(arguments)
        .current_dir(sources())
        .env("CARGO_TARGET_DIR", directory.parent().unwrap_or(directory));
    // What Cargo told this test about its own package, build scripts of
    // dependencies would take for a change, and compile everything again.
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
