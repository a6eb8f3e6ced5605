//! Discovery: the modules in a directory.

use plugin_api::{
    loading::{self, Library, LoadError},
    module::ModuleInfo,
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// A library whose contract is compatible with this host's.
#[derive(Clone)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// What it says about itself.
    pub info: ModuleInfo,
    /// Makes its modules.
    pub library: Library,
}

/// A library that was refused.
#[derive(Debug)]
pub struct Refused {
    /// Where it is.
    pub path: PathBuf,
    /// Why it was refused.
    pub reason: LoadError,
}

/// The libraries of a directory, in the order of the file names.
#[derive(Default)]
pub struct Discovery {
    /// Those that can be loaded.
    pub found: Vec<Found>,
    /// Those that cannot.
    pub refused: Vec<Refused>,
}

/// Opens every `lib*.so` and `lib*.dylib` in a directory. A refused library does
/// not affect the others.
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
                let info = library.info();
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
