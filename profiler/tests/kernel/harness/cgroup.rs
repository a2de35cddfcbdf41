//! Cgroups of a trial's own, in the hierarchy that has the cpu controller.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Result, ensure, wait_for};

/// Where CPU time is limited and counted.
#[derive(Clone)]
pub(crate) struct Hierarchy {
    /// Mount point with the cpu controller.
    cpu: PathBuf,
    /// Mount point of v1's cpuacct controller, which counts; `None` on v2.
    accounting: Option<PathBuf>,
    /// Mount points of what else a runtime makes the cgroup in: v2 beside v1, v1's perf_event and freezer.
    beside: Vec<PathBuf>,
}

impl Hierarchy {
    /// Reads `/proc/self/mounts`.
    pub(crate) fn find() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mut v2 = None;
        let (mut cpu, mut accounting) = (None, None);
        let mut beside = Vec::new();
        for line in mounts.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [_, point, kind, options, ..] = fields[..] else {
                continue;
            };
            match kind {
                "cgroup" => {
                    for option in options.split(',') {
                        match option {
                            "cpu" => cpu = Some(PathBuf::from(point)),
                            "cpuacct" => accounting = Some(PathBuf::from(point)),
                            "perf_event" | "freezer" => beside.push(PathBuf::from(point)),
                            _ => {}
                        }
                    }
                }
                "cgroup2" => v2 = Some(PathBuf::from(point)),
                _ => {}
            }
        }
        if let (Some(cpu), Some(accounting)) = (cpu, accounting) {
            beside.extend(v2);
            return Ok(Self {
                cpu,
                accounting: Some(accounting),
                beside,
            });
        }
        let v2 = v2.ok_or("no cgroup file system is mounted")?;
        let controllers = fs::read_to_string(v2.join("cgroup.controllers"))?;
        ensure!(
            controllers.split_whitespace().any(|name| name == "cpu"),
            "the cpu controller is in neither hierarchy"
        );
        fs::write(v2.join("cgroup.subtree_control"), "+cpu")?;
        Ok(Self {
            cpu: v2,
            accounting: None,
            beside,
        })
    }
}

/// A cgroup that is emptied and removed when it is dropped, with all below it.
pub(crate) struct Cgroup {
    hierarchy: Hierarchy,
    /// Path from the root of the hierarchy, with a leading `/`.
    path: String,
}

impl Cgroup {
    /// A new cgroup directly below the root, whose name starts with `ctprof-test-`.
    pub(crate) fn new(name: &str) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = format!("/ctprof-test-{}-{number}-{name}", std::process::id());
        Self::create(Hierarchy::find()?, path)
    }

    /// A new cgroup below this one. On v2 this one must hold no process of its own.
    pub(crate) fn child(&self, name: &str) -> Result<Self> {
        if self.hierarchy.accounting.is_none() {
            fs::write(self.folder().join("cgroup.subtree_control"), "+cpu")?;
        }
        Self::create(self.hierarchy.clone(), format!("{}/{name}", self.path))
    }

    fn create(hierarchy: Hierarchy, path: String) -> Result<Self> {
        let cgroup = Self { hierarchy, path };
        for folder in cgroup.folders() {
            fs::create_dir(&folder)
                .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        }
        Ok(cgroup)
    }

    /// Path from the root of the hierarchy, with a leading `/`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Its folder in the hierarchy of the cpu controller.
    pub(crate) fn folder(&self) -> PathBuf {
        self.hierarchy.cpu.join(&self.path[1..])
    }

    fn folders(&self) -> Vec<PathBuf> {
        let mut roots = vec![&self.hierarchy.cpu];
        roots.extend(self.hierarchy.accounting.as_ref());
        roots.extend(&self.hierarchy.beside);
        roots.dedup();
        roots
            .iter()
            .map(|root| root.join(&self.path[1..]))
            .collect()
    }

    /// Makes the child that `command` will start join before it executes its first instruction.
    pub(crate) fn enclose(&self, command: &mut Command) -> Result {
        let mut files = Vec::new();
        for folder in self.folders() {
            files.push(open(&folder.join("cgroup.procs"))?);
        }
        let join = move || files.iter_mut().try_for_each(|file| file.write_all(b"0"));
        // SAFETY: between fork and exec only write(2) is called, on files that are already open; it is
        // async-signal-safe and allocates nothing.
        unsafe { command.pre_exec(join) };
        Ok(())
    }

    /// Limits it to `cores` CPUs, in periods of 100 ms.
    pub(crate) fn limit(&self, cores: f64) -> Result {
        let quota_us = cores * 100_000.0;
        if self.hierarchy.accounting.is_some() {
            fs::write(
                self.folder().join("cpu.cfs_quota_us"),
                format!("{quota_us:.0}"),
            )?;
        } else {
            fs::write(
                self.folder().join("cpu.max"),
                format!("{quota_us:.0} 100000"),
            )?;
        }
        Ok(())
    }

    /// CPU time of everything that ever ran in it or below, in ns, as the kernel has it.
    pub(crate) fn cpu_ns(&self) -> Result<u64> {
        if let Some(root) = &self.hierarchy.accounting {
            let text = fs::read_to_string(root.join(&self.path[1..]).join("cpuacct.usage"))?;
            return Ok(text.trim().parse()?);
        }
        let text = fs::read_to_string(self.folder().join("cpu.stat"))?;
        let usec = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        let usec: u64 = usec.ok_or("cpu.stat has no usage_usec")?.parse()?;
        Ok(usec * 1000)
    }

    /// Kills what is inside and removes it.
    pub(crate) fn remove(&self) -> Result {
        for folder in self.folders() {
            remove_tree(&folder)?;
        }
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What remains is named by the next trial that counts the leftovers.
        let _ = self.remove();
    }
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).open(path);
    file.map_err(|error| format!("cannot open {}: {error}", path.display()).into())
}

fn remove_tree(folder: &Path) -> Result {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    wait_for("an emptied cgroup", || {
        for pid in fs::read_to_string(folder.join("cgroup.procs"))?.lines() {
            let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                // It may have ended by itself.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        // Busy until the last thread is gone.
        Ok(fs::remove_dir(folder).is_ok().then_some(()))
    })
}
