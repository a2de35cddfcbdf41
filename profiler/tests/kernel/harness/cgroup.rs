//! Cgroups of a trial's own, in every hierarchy in which a runtime would make them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{PipeReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::program::now_ns;
use super::{Result, ensure, wait_for};

/// Controllers of v1 whose hierarchies a cgroup is made in.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "freezer", "perf_event", "pids"];
/// Stands for v2 among them.
const V2: &str = "";

/// Mount points, by controller; v2 has no name.
#[derive(Clone)]
pub(crate) struct Hierarchy {
    roots: BTreeMap<&'static str, PathBuf>,
}

impl Hierarchy {
    /// Reads `/proc/self/mounts`.
    pub(crate) fn find() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mut roots = BTreeMap::new();
        for line in mounts.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [_, point, kind, options, ..] = fields[..] else {
                continue;
            };
            if kind == "cgroup2" {
                roots.insert(V2, PathBuf::from(point));
            }
            for option in options.split(',').filter(|_| kind == "cgroup") {
                if let Some(name) = CONTROLLERS.iter().find(|name| **name == option) {
                    roots.insert(name, PathBuf::from(point));
                }
            }
        }
        let this = Self { roots };
        if this.is_v1() {
            ensure!(this.roots.contains_key("cpuacct"), "no cpuacct controller");
            return Ok(this);
        }
        let v2 = this
            .roots
            .get(V2)
            .ok_or("no cgroup file system is mounted")?;
        let controllers = fs::read_to_string(v2.join("cgroup.controllers"))?;
        ensure!(
            controllers.split_whitespace().any(|name| name == "cpu"),
            "the cpu controller is in neither hierarchy"
        );
        enable_controllers(v2)?;
        Ok(this)
    }

    /// The CPU controller is in a hierarchy of v1.
    fn is_v1(&self) -> bool {
        self.roots.contains_key("cpu")
    }
}

/// Folders of the cgroup that the ctprof with this process id made for a command, in whatever hierarchy.
pub(crate) fn left_by(ctprof: u32) -> Result<Vec<PathBuf>> {
    let roots = Hierarchy::find()?.roots.into_values();
    let folders = roots.map(|root| root.join(format!("ctprof-{ctprof}")));
    Ok(folders.filter(|folder| folder.exists()).collect())
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

    /// A new cgroup directly below the root that gets the CPU before whatever else the machine does: what its
    /// children wait for is what they do to each other.
    pub(crate) fn arena(name: &str) -> Result<Self> {
        let arena = Self::new(name)?;
        arena.weight(10_000)?;
        Ok(arena)
    }

    /// A new cgroup below this one. On v2 this one must hold no process of its own.
    pub(crate) fn child(&self, name: &str) -> Result<Self> {
        if !self.hierarchy.is_v1() {
            enable_controllers(&self.folder())?;
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
        self.folder_of("cpu").unwrap_or_default()
    }

    /// Its folder in the hierarchy of a controller.
    fn folder_of(&self, controller: &str) -> Option<PathBuf> {
        let roots = &self.hierarchy.roots;
        let root = roots.get(controller).or_else(|| roots.get(V2))?;
        Some(root.join(&self.path[1..]))
    }

    /// One for each hierarchy, the one with the CPU controller last: whoever has joined that one has joined. Two
    /// controllers may share one.
    fn folders(&self) -> Vec<PathBuf> {
        let watched = self.folder();
        let roots: BTreeSet<&PathBuf> = self.hierarchy.roots.values().collect();
        let folders = roots.iter().map(|root| root.join(&self.path[1..]));
        let others = folders.filter(|folder| *folder != watched);
        others.chain([watched.clone()]).collect()
    }

    /// Writes a setting of a controller: under the first name on v1, under the second on v2.
    fn set(&self, controller: &str, names: (&str, &str), values: (String, String)) -> Result {
        let folder = self.folder_of(controller).ok_or("no such hierarchy")?;
        let (name, value) = if self.hierarchy.roots.contains_key(controller) {
            (names.0, values.0)
        } else {
            (names.1, values.1)
        };
        fs::write(folder.join(name), &value)
            .map_err(|error| format!("cannot write {value} to {name}: {error}").into())
    }

    /// Makes the child that `command` will start join before it executes its first instruction. The result can be
    /// read then: when it had joined, in ns of the monotonic clock.
    pub(crate) fn enclose(&self, command: &mut Command) -> Result<PipeReader> {
        let mut files = Vec::new();
        for folder in self.folders() {
            files.push(open(&folder.join("cgroup.procs"))?);
        }
        let (reader, mut writer) = std::io::pipe()?;
        let join = move || {
            files.iter_mut().try_for_each(|file| file.write_all(b"0"))?;
            writer.write_all(&now_ns().to_ne_bytes())
        };
        // SAFETY: between fork and exec only write(2) and clock_gettime(2) are called, on files that are already open;
        // they are async-signal-safe and allocate nothing.
        unsafe { command.pre_exec(join) };
        Ok(reader)
    }

    /// Moves a process here.
    pub(crate) fn adopt(&self, pid: u32) -> Result {
        for folder in self.folders() {
            fs::write(folder.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(())
    }

    /// Moves one thread of a process here, as far as the CPU is concerned. On v2 the cgroups are to be
    /// [`threaded`](Self::threaded).
    pub(crate) fn adopt_thread(&self, tid: u64) -> Result {
        let names = ("tasks", "cgroup.threads");
        for controller in ["cpuacct", "cpu"] {
            self.set(controller, names, (tid.to_string(), tid.to_string()))?;
        }
        Ok(())
    }

    /// Makes it a cgroup that may hold a part of a process, beside others of the same parent. v1's all are.
    pub(crate) fn threaded(self) -> Result<Self> {
        if !self.hierarchy.is_v1() {
            fs::write(self.folder().join("cgroup.type"), "threaded")?;
        }
        Ok(self)
    }

    /// Limits it to `cores` CPUs, in periods of 100 ms.
    pub(crate) fn limit(&self, cores: f64) -> Result {
        let quota_us = format!("{:.0}", cores * 100_000.0);
        let v2 = format!("{quota_us} 100000");
        self.set("cpu", ("cpu.cfs_quota_us", "cpu.max"), (quota_us, v2))
    }

    /// Limits it to `cores` CPUs in periods of 100 ms, of which it may save up `burst` for one period.
    pub(crate) fn limit_with_burst(&self, cores: f64, burst: f64) -> Result {
        self.limit(cores)?;
        let us = format!("{:.0}", burst * 100_000.0);
        self.set(
            "cpu",
            ("cpu.cfs_burst_us", "cpu.max.burst"),
            (us.clone(), us),
        )
    }

    /// Limits it to `cores` CPUs, in periods of a second.
    pub(crate) fn limit_by_the_second(&self, cores: f64) -> Result {
        let quota_us = format!("{:.0}", cores * 1_000_000.0);
        if self.hierarchy.is_v1() {
            fs::write(self.folder().join("cpu.cfs_period_us"), "1000000")?;
        }
        let v2 = format!("{quota_us} 1000000");
        self.set("cpu", ("cpu.cfs_quota_us", "cpu.max"), (quota_us, v2))
    }

    /// Lets real-time threads have `cores` of each CPU, in periods of a second; false where groups have no such limit.
    pub(crate) fn limit_real_time(&self, cores: f64) -> Result<bool> {
        let file = self.folder().join("cpu.rt_runtime_us");
        if !file.exists() {
            return Ok(false);
        }
        fs::write(file, format!("{:.0}", cores * 1_000_000.0))?;
        Ok(true)
    }

    /// Its share of the CPU beside its siblings, 100 unless set.
    pub(crate) fn weight(&self, weight: u64) -> Result {
        let shares = (weight * 1024 / 100).to_string();
        self.set(
            "cpu",
            ("cpu.shares", "cpu.weight"),
            (shares, weight.to_string()),
        )
    }

    /// How many threads it may hold.
    pub(crate) fn limit_threads(&self, most: u64) -> Result {
        let most = most.to_string();
        self.set("pids", ("pids.max", "pids.max"), (most.clone(), most))
    }

    /// Stops everything in it by v2's freezer, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) -> Result {
        let folder = self.folder_of(V2).ok_or("no cgroup v2")?;
        fs::write(folder.join("cgroup.freeze"), u8::from(frozen).to_string())?;
        Ok(())
    }

    /// The same by v1's freezer; false where there is none.
    pub(crate) fn freeze_by_v1(&self, frozen: bool) -> Result<bool> {
        if !self.hierarchy.roots.contains_key("freezer") {
            return Ok(false);
        }
        let state = if frozen { "FROZEN" } else { "THAWED" };
        let folder = self.folder_of("freezer").ok_or("no freezer")?;
        fs::write(folder.join("freezer.state"), state)?;
        Ok(true)
    }

    /// CPU time of everything that ever ran in it or below, in ns, as the kernel has it.
    pub(crate) fn cpu_ns(&self) -> Result<u64> {
        if self.hierarchy.is_v1() {
            let folder = self.folder_of("cpuacct").ok_or("no cpuacct")?;
            let text = fs::read_to_string(folder.join("cpuacct.usage"))?;
            return Ok(text.trim().parse()?);
        }
        let text = fs::read_to_string(self.folder().join("cpu.stat"))?;
        let usec = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        let usec: u64 = usec.ok_or("cpu.stat has no usage_usec")?.parse()?;
        Ok(usec * 1000)
    }

    /// Leaves its removal to its parent.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
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

/// Lets the children of a cgroup of v2 have controllers.
fn enable_controllers(folder: &Path) -> Result {
    let file = folder.join("cgroup.subtree_control");
    fs::write(&file, "+cpu")?;
    // Whoever needs it fails without.
    let _ = fs::write(&file, "+pids");
    Ok(())
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
        for pid in fs::read_to_string(folder.join("cgroup.procs"))
            .unwrap_or_default()
            .lines()
        {
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
