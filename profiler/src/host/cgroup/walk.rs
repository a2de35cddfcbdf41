//! What is in the hierarchy: every cgroup with its id, and the threads in it.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Hierarchy, Version};
use crate::host::proc::{is_gone, read_optional};
use crate::{Error, Result};

/// Most cgroups that a walk returns, nearest to the root first. A container with a delegated cgroup can
/// create as many as its memory allows.
pub const MAX_CGROUPS: usize = 262_144;

/// One cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Kernfs id: the inode number of its folder. Not reused while the cgroup lives.
    pub id: u64,
    /// Path from the root of the hierarchy, `/` first. Named by whoever created it: not safe to print.
    pub path: String,
}

impl Hierarchy {
    /// The cgroup at `path` and all below it, parents before children; empty when there is none.
    ///
    /// # Errors
    /// When the first folder cannot be read; others are left out.
    pub fn walk(&self, path: &str) -> Result<Vec<Cgroup>> {
        let mut found = Vec::new();
        let (Some(dir), Some(root)) = (self.dir(path), self.lookup(path)?) else {
            return Ok(found);
        };
        let mut queue = VecDeque::from([(dir, root)]);
        while let Some((dir, cgroup)) = queue.pop_front() {
            if found.len() + queue.len() < MAX_CGROUPS {
                match children(&dir, &cgroup.path) {
                    Ok(children) => queue.extend(children),
                    Err(error) if found.is_empty() && !is_gone(&error) => {
                        return Err(Error::io("read", &dir, &error));
                    }
                    Err(_) => {}
                }
            }
            found.push(cgroup);
        }
        Ok(found)
    }

    /// The cgroup at `path`; `None` when there is none.
    ///
    /// # Errors
    /// When its folder cannot be looked at.
    pub fn lookup(&self, path: &str) -> Result<Option<Cgroup>> {
        let Some(dir) = self.dir(path) else {
            return Ok(None);
        };
        match fs::symlink_metadata(&dir) {
            Ok(meta) if meta.is_dir() => Ok(Some(Cgroup {
                id: meta.ino(),
                path: match path.trim_end_matches('/') {
                    "" => "/".to_owned(),
                    path => path.to_owned(),
                },
            })),
            Ok(_) => Ok(None),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(Error::io("look at", &dir, &error)),
        }
    }

    /// The cgroup with this id; `None` when there is none (any more). Walks the whole tree.
    ///
    /// # Errors
    /// When the root of the hierarchy cannot be read.
    pub fn lookup_id(&self, id: u64) -> Result<Option<Cgroup>> {
        Ok(self.walk("/")?.into_iter().find(|cgroup| cgroup.id == id))
    }

    /// Threads in this cgroup itself, not below it; `None` when it is gone.
    #[must_use]
    pub fn threads(&self, path: &str) -> Option<u64> {
        let file = match self.version() {
            Version::V1 => "tasks",
            Version::V2 => "cgroup.threads",
        };
        let text = read_optional(&self.dir(path)?.join(file)).ok()??;
        Some(text.lines().count() as u64)
    }

    /// Ids of the processes with a thread in this cgroup itself; empty when it is gone. A process in a PID
    /// namespace that we cannot see has id 0 and is left out.
    #[must_use]
    pub fn processes(&self, path: &str) -> Vec<u32> {
        self.dir(path)
            .and_then(|dir| read_optional(&dir.join("cgroup.procs")).ok()?)
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.parse().ok())
            .filter(|pid| *pid != 0)
            .collect()
    }

    /// Threads in this cgroup and all below it; `None` when it is gone.
    #[must_use]
    pub fn threads_below(&self, path: &str) -> Option<u64> {
        let cgroups = self.walk(path).ok()?;
        if cgroups.is_empty() {
            return None;
        }
        Some(cgroups.iter().filter_map(|cg| self.threads(&cg.path)).sum())
    }

    pub(super) fn find_process(&self, pid: u32) -> Option<Cgroup> {
        self.walk("/")
            .ok()?
            .into_iter()
            .find(|cgroup| self.processes(&cgroup.path).contains(&pid))
    }
}

/// The folders in `dir`. Their ids come with the listing: one system call for many cgroups, not one for each.
fn children(dir: &Path, path: &str) -> std::io::Result<Vec<(PathBuf, Cgroup)>> {
    let mut found = Vec::new();
    let parent = if path == "/" { "" } else { path };
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let cgroup = Cgroup {
            id: entry.ino(),
            path: format!("{parent}/{}", entry.file_name().to_string_lossy()),
        };
        found.push((entry.path(), cgroup));
    }
    found.sort_unstable_by(|a, b| a.1.path.cmp(&b.1.path));
    Ok(found)
}
