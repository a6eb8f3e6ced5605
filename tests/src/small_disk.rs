//! A small disk that a test can fill and make read-only.
//!
//! It is a tmpfs in a mount namespace of its own, which needs an unprivileged user
//! namespace, or root. An idle process keeps it mounted between the hosts that use
//! it.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The disk. It is unmounted when this is dropped.
pub struct SmallDisk {
    holder: Child,
    dir: PathBuf,
    user: bool,
}

impl SmallDisk {
    /// Mounts a disk of that many KiB on the directory `dir`, for programs that are
    /// started by [`SmallDisk::command`].
    ///
    /// # Panics
    /// If the system does not allow it without root.
    pub fn on(dir: &Path, kibibytes: u32) -> Self {
        fs::create_dir_all(dir).unwrap();
        let mount = format!(
            "mount -t tmpfs -o size={kibibytes}k,mode=700 tmpfs '{}' && echo mounted && exec cat",
            dir.display()
        );
        let mut said = Vec::new();
        // In a user namespace if possible, or else as root.
        for (flags, user) in [("-rm", true), ("-m", false)] {
            let mut holder = Command::new("unshare")
                .args([flags, "sh", "-c", &mount])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("unshare, of util-linux");
            let mut line = String::new();
            let mut out = BufReader::new(holder.stdout.take().unwrap());
            out.read_line(&mut line).unwrap();
            if line.trim() == "mounted" {
                return Self {
                    holder,
                    dir: dir.to_owned(),
                    user,
                };
            }
            let output = holder.wait_with_output().unwrap();
            said.push(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        panic!(
            "this test needs a small disk of its own: allow unprivileged user namespaces \
             (sysctl kernel.unprivileged_userns_clone=1, \
             kernel.apparmor_restrict_unprivileged_userns=0), or run it as root; {said:?}"
        );
    }

    /// A program that sees the disk.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.id().to_string(), "-m"]);
        if self.user {
            command.args(["-U", "--preserve-credentials"]);
        }
        command.arg(program);
        command
    }

    /// A file on it, as this process sees it.
    pub fn path(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.dir.strip_prefix("/").unwrap()).join(name)
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut file = File::create(self.path("filler")).unwrap();
        let mut step = 64 << 10;
        while step > 0 {
            match file.write_all(&vec![1; step]) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => step /= 2,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Frees what filled it.
    pub fn free(&self) {
        fs::remove_file(self.path("filler")).unwrap();
    }

    /// Makes it read-only, or writable again. No process may be writing to it.
    pub fn set_read_only(&self, read_only: bool) {
        let how = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        let status = self
            .command("mount")
            .args(["-o", how])
            .arg(&self.dir)
            .status()
            .unwrap();
        assert!(status.success(), "{how}: {status}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
