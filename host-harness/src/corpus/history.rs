//! A project's history, from `git log`.

use super::Commit;
use std::{io, path::Path, process::Command};

/// Why a project has no history.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoHistory {
    /// Git finds no repository, or is not installed: the sources were not cloned.
    #[error("{0}")]
    NoRepository(String),
    /// There is a repository, and Git cannot read its history.
    #[error("`git log` failed: {0}")]
    Unreadable(String),
}

/// The commits, the newest first.
pub(super) fn commits(root: &Path) -> Result<Vec<Commit>, NoHistory> {
    let output = Command::new("git")
        .args(["log", "--format=%H%x1f%an%x1f%aI%x1f%B%x1e"])
        .current_dir(root)
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => NoHistory::NoRepository("git is not installed".to_owned()),
            _ => NoHistory::Unreadable(error.to_string()),
        })?;
    if !output.status.success() {
        // A `.git` is a directory, or a file in a work tree and in a submodule.
        let is_repository = root
            .ancestors()
            .any(|directory| directory.join(".git").exists());
        return Err(if is_repository {
            NoHistory::Unreadable(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        } else {
            NoHistory::NoRepository(format!("{} is in no Git repository", root.display()))
        });
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_directory_without_a_repository_has_no_history() {
        let directory = tempfile::tempdir().unwrap();
        let reason = commits(directory.path()).err().unwrap();
        assert!(matches!(reason, NoHistory::NoRepository(_)), "{reason}");
    }

    #[test]
    fn an_unreadable_repository_differs_from_no_repository() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(".git"), "not a repository").unwrap();
        match commits(directory.path()).err().unwrap() {
            NoHistory::Unreadable(_) => {}
            // Without Git there is no way to tell.
            NoHistory::NoRepository(reason) => assert_eq!(reason, "git is not installed"),
        }
    }
}
