//! Where programs and libraries that were built are.

use std::path::PathBuf;

/// What the environment's `variable` says, or `file` beside this program or in the
/// build directory that it came from: a test runs in `deps/` of that.
///
/// # Errors
/// A sentence that says where it was looked for and how to build `package`,
/// which has it.
pub fn find(variable: &str, file: &str, package: &str) -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os(variable).map(PathBuf::from) {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!(
                "{variable} says {}, which is no file",
                path.display()
            ))
        };
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let directories: Vec<PathBuf> = program
        .ancestors()
        .skip(1)
        .take(2)
        .map(PathBuf::from)
        .collect();
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
