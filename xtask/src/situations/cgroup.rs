//! What the kernel counts of a container's cgroup, by its own files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A container's cgroup, of v1 or v2.
pub(super) struct Cgroup {
    /// As `/proc/PID/cgroup` has it.
    text: String,
}

/// Counters of a cgroup that only grow.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    pub(super) usage_ns: u64,
    pub(super) periods: u64,
    pub(super) throttled: u64,
    /// How often its memory limit was hit.
    pub(super) limit_hits: u64,
}

impl Cgroup {
    /// The one that this process is in.
    pub(super) fn of(pid: &str) -> Result<Self> {
        let file = format!("/proc/{pid}/cgroup");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        Ok(Self { text })
    }

    /// The directory of a controller, and whether it is of v1.
    fn folder(&self, controller: &str) -> Result<(PathBuf, bool)> {
        let root = Path::new("/sys/fs/cgroup");
        let mut unified = None;
        for line in self.text.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(names), Some(path)) = (parts.next(), parts.next()) else {
                continue;
            };
            let path = path.trim_start_matches('/');
            if names.split(',').any(|it| it == controller) {
                return Ok((root.join(controller).join(path), true));
            }
            if names.is_empty() {
                unified = Some(root.join(path));
            }
        }
        Ok((unified.context("the container is in no cgroup")?, false))
    }

    /// Its counters now.
    pub(super) fn counters(&self) -> Result<Counters> {
        let (cpu, of_v1) = self.folder("cpu")?;
        let stat = read(&cpu.join("cpu.stat"))?;
        let usage_ns = if of_v1 {
            let usage = self.folder("cpuacct")?.0.join("cpuacct.usage");
            read(&usage)?.trim().parse()?
        } else {
            value(&stat, "usage_usec") * 1000
        };
        let (memory, of_v1) = self.folder("memory")?;
        let limit_hits = if of_v1 {
            read(&memory.join("memory.failcnt"))?.trim().parse()?
        } else {
            value(&read(&memory.join("memory.events"))?, "max")
        };
        Ok(Counters {
            usage_ns,
            periods: value(&stat, "nr_periods"),
            throttled: value(&stat, "nr_throttled"),
            limit_hits,
        })
    }

    /// Directories in `/proc` of its threads.
    pub(super) fn threads(&self) -> Result<Vec<PathBuf>> {
        let processes = read(&self.folder("cpu")?.0.join("cgroup.procs"))?;
        let tasks = processes
            .lines()
            .filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
        Ok(tasks.flatten().flatten().map(|it| it.path()).collect())
    }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The number behind `key` in lines of keys and numbers; 0 for one that the kernel does not have.
fn value(text: &str, key: &str) -> u64 {
    let found = text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok())?
    });
    found.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_both_versions() -> Result<()> {
        let text = "4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n0::/docker/ab\n".to_owned();
        let both = Cgroup { text };
        let (folder, of_v1) = both.folder("cpuacct")?;
        assert_eq!(
            (folder.to_str(), of_v1),
            (Some("/sys/fs/cgroup/cpuacct/docker/ab"), true)
        );
        let text = "0::/system.slice/docker-ab.scope\n".to_owned();
        let (folder, of_v1) = Cgroup { text }.folder("memory")?;
        let expected = "/sys/fs/cgroup/system.slice/docker-ab.scope";
        assert_eq!((folder.to_str(), of_v1), (Some(expected), false));
        Ok(())
    }

    #[test]
    fn keys_are_whole_words() {
        let stat = "nr_periods 40\nnr_throttled 19\nmax 3\nmax_other 9\n";
        assert_eq!(value(stat, "nr_throttled"), 19);
        assert_eq!(value(stat, "max"), 3);
        assert_eq!(value(stat, "nr"), 0);
    }
}
