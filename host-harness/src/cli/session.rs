//! What a command works with: the host of a configuration file, the module's
//! library.

use super::ArtifactOptions;
use crate::{artifacts, config::HostConfig, host::Host};
use anyhow::Context;
use std::path::{Path, PathBuf};

/// Starts the host of a configuration file, with all modules that it enables.
pub(super) fn start(config: &Path) -> anyhow::Result<Host> {
    let config = HostConfig::load(config).with_context(|| config.display().to_string())?;
    Ok(Host::start_with_all_modules(&config)?)
}

/// The directory with the module's library: the given one, or a new one in `home`
/// with a link to the library that was built.
pub(super) fn modules_dir(options: &ArtifactOptions, home: &Path) -> anyhow::Result<PathBuf> {
    if let Some(given) = &options.modules_dir {
        return given
            .canonicalize()
            .with_context(|| given.display().to_string());
    }
    let library = artifacts::plugin_library().map_err(anyhow::Error::msg)?;
    let directory = home.join("modules");
    std::fs::create_dir_all(&directory)?;
    let link = directory.join(artifacts::PLUGIN_LIBRARY);
    if link.symlink_metadata().is_err() {
        std::os::unix::fs::symlink(&library, &link)?;
    }
    Ok(directory)
}
