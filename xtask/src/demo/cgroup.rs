//! A cgroup for the demo, on cgroup v1 and v2 hosts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A cgroup in every hierarchy that accounts CPU time.
pub(super) struct Cgroup {
    path: String,
    folders: Vec<PathBuf>,
}

impl Cgroup {
    /// Creates it below the root; one that an earlier demo left is taken over.
    pub(super) fn create(name: &str) -> Result<Self> {
        let mut folders = Vec::new();
        for mount in mounts()? {
            let folder = mount.join(name);
            if !folder.is_dir() {
                fs::create_dir(&folder)
                    .with_context(|| format!("cannot create the cgroup {}", folder.display()))?;
            }
            folders.push(folder);
        }
        Ok(Self {
            path: format!("/{name}"),
            folders,
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Moves a process into it, with all its threads.
    pub(super) fn enter(&self, pid: u32) -> Result<()> {
        for folder in &self.folders {
            fs::write(folder.join("cgroup.procs"), pid.to_string())
                .with_context(|| format!("cannot move process {pid} into {}", folder.display()))?;
        }
        Ok(())
    }

    pub(super) fn remove(&self) -> Result<()> {
        for folder in &self.folders {
            fs::remove_dir(folder)
                .with_context(|| format!("cannot remove the cgroup {}", folder.display()))?;
        }
        Ok(())
    }
}

/// The v1 hierarchies of `cpu` and `cpuacct`, or the one of cgroup v2 with its cpu controller switched on.
pub(crate) fn mounts() -> Result<Vec<PathBuf>> {
    let root = Path::new("/sys/fs/cgroup");
    let v1: Vec<PathBuf> = ["cpu", "cpuacct"]
        .iter()
        .filter_map(|name| root.join(name).canonicalize().ok())
        .filter(|folder| folder.join("cgroup.procs").is_file())
        .collect();
    if let Some(first) = v1.first() {
        // Where both are one hierarchy, the two names lead to one folder.
        let rest = v1.iter().skip(1).filter(|other| *other != first);
        return Ok(std::iter::once(first).chain(rest).cloned().collect());
    }
    let control = root.join("cgroup.subtree_control");
    fs::write(&control, "+cpu").with_context(|| {
        format!(
            "no cgroup hierarchy with the cpu controller: {}",
            control.display()
        )
    })?;
    Ok(vec![root.to_path_buf()])
}
