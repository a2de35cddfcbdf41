//! A cgroup for all containers of situations, which can be ahead of whatever else a host that is not quiet does.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::demo::cgroup::mounts;

/// The containers are in it, each in one of its own.
pub(super) const CONTAINERS: &str = "ctprof-situations";
/// ctprof is in it while it looks at them.
const CTPROF: &str = "ctprof-situations-asks";

/// How much more than a process of the host each of the two counts: many, so that a build with a thread for each CPU is hardly
/// felt.
const SHARES_OF_V1: &str = "131072";
const WEIGHT_OF_V2: &str = "10000";

/// Both cgroups, where they are ahead; removed when dropped.
pub(super) struct Ahead {
    folders: Vec<PathBuf>,
}

impl Ahead {
    /// Creates them.
    pub(super) fn create() -> Result<Self> {
        let mut ahead = Self {
            folders: Vec::new(),
        };
        for mount in mounts()? {
            for name in [CONTAINERS, CTPROF] {
                let folder = mount.join(name);
                fs::create_dir_all(&folder)
                    .with_context(|| format!("cannot create {}", folder.display()))?;
                let settings = [("cpu.shares", SHARES_OF_V1), ("cpu.weight", WEIGHT_OF_V2)];
                for (file, value) in settings {
                    let file = folder.join(file);
                    if file.exists() {
                        fs::write(&file, value)
                            .with_context(|| format!("cannot write {}", file.display()))?;
                    }
                }
                ahead.folders.push(folder);
            }
        }
        Ok(ahead)
    }

    /// Moves a process that is ctprof's.
    pub(super) fn enter(&self, pid: u32) -> Result<()> {
        let own = self.folders.iter().filter(|it| it.ends_with(CTPROF));
        for folder in own {
            let file = folder.join("cgroup.procs");
            fs::write(&file, pid.to_string())
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        for folder in &self.folders {
            // The last process may take a moment to be gone.
            let gone = (0..50).any(|_| {
                let gone = fs::remove_dir(folder).is_ok() || !folder.exists();
                if !gone {
                    thread::sleep(Duration::from_millis(20));
                }
                gone
            });
            if !gone {
                eprintln!("cannot remove the cgroup {}", folder.display());
            }
        }
        // Docker made the same in every other hierarchy of v1.
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
        for hierarchy in hierarchies.flatten() {
            let _ = fs::remove_dir(hierarchy.path().join(CONTAINERS));
        }
    }
}
