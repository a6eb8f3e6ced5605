//! Hosts that a command starts: from a file, or on throw-away databases.

use super::ArtifactOptions;
use crate::{artifacts, config::HostConfig, host::Host};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// Starts the host of a configuration file. A module that was wanted and is
/// not there is an error: without it, writes would not be replicated.
pub(super) fn open(config: &Path) -> anyhow::Result<Host> {
    let config = HostConfig::load(config).with_context(|| config.display().to_string())?;
    whole(Host::start(&config)?)
}

/// The host, if all its modules are there.
pub(crate) fn whole(host: Host) -> anyhow::Result<Host> {
    for refused in host.refused() {
        tracing::warn!("{} {}", refused.path.display(), refused.reason);
    }
    match host.failures() {
        [] => Ok(host),
        failures => {
            let all: Vec<String> = failures.iter().map(ToString::to_string).collect();
            bail!("{}", all.join("\n"))
        }
    }
}

/// Ends a host; what a module could not finish is an error.
pub(crate) fn close(host: Host) -> anyhow::Result<()> {
    host.shutdown().map_err(|failures| {
        let all: Vec<String> = failures.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", all.join("\n"))
    })
}

/// The directory with the module's library: the one given, or one made under
/// `home` with a link to the library that was built.
pub(super) fn modules_dir(options: &ArtifactOptions, home: &Path) -> anyhow::Result<PathBuf> {
    if let Some(given) = &options.modules_dir {
        return given
            .canonicalize()
            .with_context(|| given.display().to_string());
    }
    let library = artifacts::plugin_library().map_err(anyhow::Error::msg)?;
    let directory = home.join("modules");
    std::fs::create_dir_all(&directory)?;
    let place = directory.join(artifacts::PLUGIN_LIBRARY);
    if place.symlink_metadata().is_err() {
        std::os::unix::fs::symlink(&library, &place)?;
    }
    Ok(directory)
}
