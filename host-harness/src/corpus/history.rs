//! A project's history, from `git log`.

use super::Commit;
use std::{path::Path, process::Command};

/// The commits, the newest first.
///
/// # Errors
/// A sentence: there is no git, or no repository.
pub(super) fn commits(root: &Path) -> Result<Vec<Commit>, String> {
    let output = Command::new("git")
        .args(["log", "--format=%H%x1f%an%x1f%aI%x1f%B%x1e"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("git cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let commits = text.split('\x1e').filter_map(|commit| {
        let mut fields = commit.trim().splitn(4, '\x1f').map(str::to_owned);
        Some(Commit {
            hash: fields.next()?,
            author: fields.next()?,
            date: fields.next()?,
            message: fields.next()?.trim().to_owned(),
        })
    });
    Ok(commits.collect())
}
