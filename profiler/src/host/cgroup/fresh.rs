//! A new cgroup for a command that is recorded from its first instruction to its end.
//!
//! The cgroup is at the root of the hierarchy: no limit of the caller's own cgroup applies in it. The
//! command keeps the caller's user, so `sudo ctprof record -- ./prog` runs `./prog` as root, as `perf` does.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal};

use super::{Cgroup, Hierarchy, Version, members};
use crate::host::proc::is_gone;
use crate::{Error, Result};

/// A cgroup of our own, in every hierarchy that its figures are read from. Dropping removes it as far as
/// that is possible; [`FreshCgroup::remove`] says why when it is not.
#[derive(Debug)]
pub struct FreshCgroup {
    cgroup: Cgroup,
    /// The folder in the watched hierarchy first.
    dirs: Vec<PathBuf>,
}

impl FreshCgroup {
    /// Creates `/ctprof-<our pid>`, or `/ctprof-<our pid>-<n>` where that exists.
    ///
    /// # Errors
    /// When a cgroup cannot be created: not root, or a read-only mount.
    pub fn create(hierarchy: &Hierarchy) -> Result<Self> {
        let pid = std::process::id();
        for attempt in 0..1000 {
            let path = match attempt {
                0 => format!("/ctprof-{pid}"),
                n => format!("/ctprof-{pid}-{n}"),
            };
            if let Some(fresh) = Self::create_at(hierarchy, &path)? {
                return Ok(fresh);
            }
        }
        Err(Error::Failed(format!(
            "cannot create a cgroup: /ctprof-{pid} and 999 others exist under {}; remove them",
            hierarchy.mount_point().display()
        )))
    }

    /// `None` when the path exists in one of the hierarchies.
    fn create_at(hierarchy: &Hierarchy, path: &str) -> Result<Option<Self>> {
        let mut wanted = vec![hierarchy.dir(path)];
        if hierarchy.version() == Version::V1 {
            wanted.push(hierarchy.cpuacct_dir(path));
            wanted.push(hierarchy.unified_dir(path));
            wanted.push(hierarchy.perf_dir(path));
        }
        let mut fresh = Self {
            cgroup: Cgroup {
                id: 0,
                path: path.to_owned(),
            },
            dirs: Vec::new(),
        };
        for dir in wanted.into_iter().flatten() {
            if fresh.dirs.contains(&dir) {
                continue;
            }
            match fs::create_dir(&dir) {
                Ok(()) => fresh.dirs.push(dir),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // cpu and cpuacct mounted together under two names are one folder.
                    if !fresh.dirs.iter().any(|made| same_folder(made, &dir)) {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(creation_error(&dir, &error)),
            }
        }
        match hierarchy.lookup(path)? {
            Some(cgroup) => fresh.cgroup = cgroup,
            None => {
                return Err(Error::Failed(format!(
                    "cgroup {path} vanished right after it was created"
                )));
            }
        }
        Ok(Some(fresh))
    }

    /// The cgroup in the watched hierarchy.
    #[must_use]
    pub const fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Starts the command inside: it is a member before its program is executed.
    ///
    /// # Errors
    /// What [`Command::spawn`] fails with, or the cgroup refusing the process.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let members: Vec<File> = self
            .dirs
            .iter()
            // The watched one last: joining the others is not the command's doing.
            .rev()
            .map(|dir| File::options().write(true).open(dir.join("cgroup.procs")))
            .collect::<io::Result<_>>()?;
        let join = move || {
            for file in &members {
                // 0 stands for the writing process. The write is one system call.
                rustix::io::write(file, b"0")?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec `join` only makes `write` system calls on files that were opened
        // before the fork; it neither allocates nor takes locks.
        unsafe { command.pre_exec(join) };
        command.spawn()
    }

    /// Whether no process is in it or below.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        members::members(&self.dirs).is_empty()
    }

    /// Sends a signal to every process in it and below, but those of the process group `spared`.
    pub fn signal(&self, signal: Signal, spared: Option<Pid>) {
        members::signal(&self.dirs, signal, spared);
    }

    /// Kills every process in it and below. One that forks faster than it is killed may be left on cgroup v1: ask
    /// [`is_empty`](Self::is_empty), and kill again.
    pub fn kill(&self) {
        members::kill(&self.dirs);
    }

    /// Removes the cgroup with all cgroups that the command left in it.
    ///
    /// # Errors
    /// When processes still run in it: they and the cgroup stay.
    pub fn remove(mut self) -> Result<()> {
        let dirs = std::mem::take(&mut self.dirs);
        let mut failed = Ok(());
        for dir in &dirs {
            if let Err(error) = remove_tree(dir) {
                failed = Err(Error::Failed(format!(
                    "cannot remove cgroup {}: {error}; the command left processes in it, see {}",
                    self.cgroup.path,
                    dir.join("cgroup.procs").display()
                )));
            }
        }
        failed
    }
}

impl Drop for FreshCgroup {
    fn drop(&mut self) {
        for dir in &self.dirs {
            // Nobody is left to tell: whoever cares calls `remove`.
            let _ = remove_tree(dir);
        }
    }
}

fn creation_error(dir: &Path, error: &io::Error) -> Error {
    let message = format!("cannot create cgroup {}: {error}", dir.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => Error::Unsupported(format!("{message}; run as root")),
        io::ErrorKind::ReadOnlyFilesystem => {
            Error::Unsupported(format!("{message}; mount it read-write"))
        }
        _ => Error::Failed(message),
    }
}

fn same_folder(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Removes a cgroup's folder, children first. Only folders can be removed from a cgroup file system.
pub(super) fn remove_tree(dir: &Path) -> io::Result<()> {
    // An exited process may take a moment to leave its cgroup.
    for _ in 0..20 {
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                let mut children = false;
                for entry in fs::read_dir(dir)?.flatten() {
                    if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                        children = true;
                        remove_tree(&entry.path())?;
                    }
                }
                if !children {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
            }
            Err(error) => return Err(error),
        }
    }
    fs::remove_dir(dir)
}
