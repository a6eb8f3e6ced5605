//! Where what was built is: the server program and the plugin's library.

use std::path::PathBuf;

/// The file name of the plugin's library on this system.
pub const PLUGIN_LIBRARY: &str = if cfg!(target_os = "macos") {
    "libdb_sync_server.dylib"
} else {
    "libdb_sync_server.so"
};

/// The server program: `$SECONDARY_SERVER`, or `secondary-server` beside this
/// program or in the build directory that it came from.
///
/// # Errors
/// A sentence that says where it was looked for and how to build it.
pub fn secondary_server() -> Result<PathBuf, String> {
    find("SECONDARY_SERVER", "secondary-server", "secondary-server")
}

/// The plugin's library: `$DB_SYNC_PLUGIN`, or the file beside this program or
/// in the build directory that it came from.
///
/// # Errors
/// A sentence that says where it was looked for and how to build it.
pub fn plugin_library() -> Result<PathBuf, String> {
    find("DB_SYNC_PLUGIN", PLUGIN_LIBRARY, "db-sync-server")
}

/// A test runs in `deps/` of the build directory, a program beside it.
fn find(variable: &str, file: &str, package: &str) -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os(variable).map(PathBuf::from) {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("{variable} says {}, which is no file", path.display()))
        };
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let directories: Vec<PathBuf> = program.ancestors().skip(1).take(2).map(PathBuf::from).collect();
    directories
        .iter()
        .map(|directory| directory.join(file))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let places: Vec<String> = directories.iter().map(|d| d.display().to_string()).collect();
            format!(
                "{file} is neither in {}; build it with `cargo build -p {package}` or set {variable}",
                places.join(" nor in ")
            )
        })
}
