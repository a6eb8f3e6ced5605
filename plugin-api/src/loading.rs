//! Opening a library: the check that both sides speak the same contract.

use crate::module::ModuleRoot_Ref;
use abi_stable::library::{LibraryError, lib_header_from_path};
use std::{fmt, path::Path};

/// The version of the contract that this side was built with.
pub const CONTRACT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why a library was not loaded. The library is left alone.
#[derive(Debug)]
pub enum LoadError {
    /// It cannot be opened as a shared library.
    Unreadable {
        /// What the system said.
        reason: String,
    },
    /// It is a shared library, but no module.
    NotAModule {
        /// What was missing.
        reason: String,
    },
    /// It is a module built against another contract.
    Incompatible {
        /// The contract version of the library; empty if it cannot be told.
        library: String,
        /// What does not fit.
        reason: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { reason } => write!(
                f,
                "cannot be opened as a shared library: {reason}; is it complete, and built for this system?"
            ),
            Self::NotAModule { reason } => write!(
                f,
                "is no module of Remembrances-MCP: {reason}; take it out of the modules directory"
            ),
            Self::Incompatible { library, reason } => write!(
                f,
                "was built against plugin-api {library}, this host against plugin-api {CONTRACT_VERSION}: \
                 {reason}; install the build of the module that belongs to this host"
            ),
        }
    }
}

impl std::error::Error for LoadError {}

/// A library that fits this host.
#[derive(Clone, Copy)]
pub struct Library {
    /// Its root.
    pub root: ModuleRoot_Ref,
}

/// Opens a library and checks it against this side's contract. A library stays
/// loaded for the life of the process.
///
/// # Errors
/// Why it does not fit, with both versions in the message.
pub fn open(path: &Path) -> Result<Library, LoadError> {
    let header = lib_header_from_path(path).map_err(|error| match error {
        LibraryError::OpenError { err, .. } => LoadError::Unreadable {
            reason: err.to_string(),
        },
        LibraryError::GetSymbolError { .. } => LoadError::NotAModule {
            reason: "it exports no root module".to_owned(),
        },
        LibraryError::RootModule { err, .. } => LoadError::NotAModule {
            reason: err.to_string(),
        },
        other => LoadError::Incompatible {
            library: "of another abi_stable".to_owned(),
            reason: first_lines(&other),
        },
    })?;
    let library = header.version_strings().version.to_string();
    header
        .init_root_module::<ModuleRoot_Ref>()
        .map(|root| Library { root })
        .map_err(|error| LoadError::Incompatible {
            library,
            reason: match &error {
                LibraryError::IncompatibleVersionNumber { .. } => {
                    "the versions are not compatible".to_owned()
                }
                other => first_lines(other),
            },
        })
}

/// A layout error lists every nested type; the first lines say what differs.
fn first_lines(error: &LibraryError) -> String {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let shown: Vec<&str> = lines.by_ref().take(6).collect();
    let dots = if lines.next().is_some() { " …" } else { "" };
    format!("the layouts differ: {}{dots}", shown.join(" "))
}
