//! Which modules a directory holds.

use plugin_api::{
    loading::{self, Library, LoadError},
    module::ModuleInfo,
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// A library that fits this host.
#[derive(Clone)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// What it says of itself.
    pub info: ModuleInfo,
    /// Its functions.
    pub library: Library,
}

/// A library that does not fit, and why.
#[derive(Debug)]
pub struct Refused {
    /// Where it is.
    pub path: PathBuf,
    /// Why it does not fit.
    pub reason: LoadError,
}

/// What a directory holds, in the order of the file names.
#[derive(Default)]
pub struct Discovery {
    /// What can be loaded.
    pub found: Vec<Found>,
    /// What cannot.
    pub refused: Vec<Refused>,
}

/// Opens every `lib*.so` and `lib*.dylib` of a directory. One that does not fit
/// keeps no other from being found.
///
/// # Errors
/// The directory cannot be read.
pub fn discover(directory: &Path) -> io::Result<Discovery> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|path| is_library(path));
    // Two names of one file are one library.
    paths.sort();
    let mut seen = Vec::new();
    paths.retain(|path| match path.canonicalize() {
        Ok(file) if seen.contains(&file) => false,
        Ok(file) => {
            seen.push(file);
            true
        }
        Err(_) => true,
    });

    let mut discovery = Discovery::default();
    for path in paths {
        match loading::open(&path) {
            Ok(library) => {
                let info = (library.root.module_info())();
                discovery.found.push(Found {
                    path,
                    info,
                    library,
                });
            }
            Err(reason) => discovery.refused.push(Refused { path, reason }),
        }
    }
    Ok(discovery)
}

fn is_library(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    name.starts_with("lib") && (name.ends_with(".so") || name.ends_with(".dylib"))
}
