//! Finds programs and libraries that were built.

use std::path::PathBuf;

/// The path in the environment's `variable`, or else `file` beside this program or
/// one directory above: a test is in `deps/` of the build directory.
///
/// # Errors
/// A sentence that says where it was searched for and how to build the `package`
/// that contains it.
pub fn find(variable: &str, file: &str, package: &str) -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os(variable).map(PathBuf::from) {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!(
                "{variable} is {}, which is not a file",
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
                "there is no {file} in {}; build it with `cargo build -p {package}` or set {variable}",
                places.join(" or in ")
            )
        })
}
