//! Opening a library, and checking that both sides speak compatible contracts.
//!
//! abi_stable's own check demands that the library is at least as new as the
//! host. Here either side may be the newer one: one contract has to be the
//! beginning of the other, as growing leaves it (see the [crate's map](crate)).

use crate::{
    error::ModuleResult,
    module::{ModuleHandle, ModuleInfo, ModuleRoot_Ref},
};
use abi_stable::{
    StableAbi,
    abi_stability::abi_checking::exported_check_layout_compatibility,
    library::{LibHeader, LibraryError, RootModule, lib_header_from_path},
    sabi_types::VersionNumber,
    type_layout::TypeLayout,
};
use std::{fmt, path::Path};

/// The version of the contract that this side was built against.
pub const CONTRACT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why a library was not loaded. Nothing of it is called.
#[derive(Debug)]
pub enum LoadError {
    /// It cannot be opened as a shared library.
    Unreadable {
        /// The system's message.
        reason: String,
    },
    /// It is a shared library, but not a module.
    NotAModule {
        /// What is missing.
        reason: String,
    },
    /// It is a module built against an incompatible contract.
    Incompatible {
        /// The contract version of the library.
        library: String,
        /// What is incompatible.
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
                "is no module of Remembrances-MCP: {reason}; remove it from the modules directory"
            ),
            Self::Incompatible { library, reason } => write!(
                f,
                "was built against plugin-api {library}, this host against plugin-api {CONTRACT_VERSION}: \
                 {reason}; install a build of the module for this host's version"
            ),
        }
    }
}

impl std::error::Error for LoadError {}

/// A library whose contract is compatible with this host's.
#[derive(Clone, Copy)]
pub struct Library {
    root: ModuleRoot_Ref,
    contract_version: &'static str,
}

impl Library {
    /// What the library's modules are.
    pub fn info(&self) -> ModuleInfo {
        (self.root.info())().into()
    }

    /// Makes one of the library's modules.
    ///
    /// # Errors
    /// The module's own.
    pub fn create(&self) -> ModuleResult<ModuleHandle> {
        (self.root.create())().into_result()
    }

    /// The version of the contract that the library was built against.
    pub fn contract_version(&self) -> &'static str {
        self.contract_version
    }
}

/// Opens a library and checks its contract against this side's. A library stays
/// loaded until the process ends.
///
/// # Errors
/// Why it is not loaded; for incompatible contracts with both versions.
pub fn open(path: &Path) -> Result<Library, LoadError> {
    // A bare file name would be searched for among the system's libraries.
    let path = std::path::absolute(path).map_err(|error| LoadError::Unreadable {
        reason: error.to_string(),
    })?;
    let header = lib_header_from_path(&path).map_err(|error| match error {
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
            reason: beginning(&other.to_string()),
        },
    })?;
    let contract_version = header.version_strings().version.as_str();
    check(header).map_err(|reason| LoadError::Incompatible {
        library: contract_version.to_owned(),
        reason,
    })?;
    // SAFETY: the layout of the library's root module was just found compatible
    // with that of `ModuleRoot_Ref`.
    let root = unsafe { header.unchecked_layout::<ModuleRoot_Ref>() };
    root.map(|root| Library {
        root,
        contract_version,
    })
    .map_err(|error| LoadError::NotAModule {
        reason: error.to_string(),
    })
}

/// Checks that the library's contract and this side's are compatible: by their
/// version numbers, and by the layout of every type that crosses.
fn check(header: &LibHeader) -> Result<(), String> {
    let theirs = header.version_strings().parsed();
    let ours = ModuleRoot_Ref::VERSION_STRINGS.parsed();
    let (Ok(theirs), Ok(ours)) = (theirs, ours) else {
        return Err("its version is not a number".to_owned());
    };
    if !ours.is_loosely_compatible(theirs) {
        return Err("the versions are not compatible".to_owned());
    }
    let Some(library) = header.layout() else {
        return Err("it does not describe its layout".to_owned());
    };
    let host = ModuleRoot_Ref::LAYOUT;
    let newer_library = extends(library, host);
    let newer_host = extends(host, library);
    match (newer_library, newer_host) {
        (Ok(()), _) | (_, Ok(())) => Ok(()),
        // Both say that something is missing: the one that should not be older does.
        (Err(library_lacks), Err(host_lacks)) => Err(if is_older(theirs, ours) {
            host_lacks
        } else {
            library_lacks
        }),
    }
}

fn is_older(version: VersionNumber, than: VersionNumber) -> bool {
    (version.major, version.minor, version.patch) < (than.major, than.minor, than.patch)
}

/// Checks that `newer` begins with everything that `older` has.
fn extends(newer: &'static TypeLayout, older: &'static TypeLayout) -> Result<(), String> {
    exported_check_layout_compatibility(older, newer)
        .into_result()
        .map_err(|error| format!("the layouts differ: {}", beginning(&error.to_string())))
}

/// A layout error lists every nested type; the first lines say what differs.
fn beginning(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let shown: Vec<&str> = lines.by_ref().take(6).collect();
    let dots = if lines.next().is_some() { " …" } else { "" };
    format!("{}{dots}", shown.join(" "))
}
