//! Which cgroup hierarchy is watched, and how its paths map to folders.
//!
//! The one that holds the CPU controller: its cgroups are the ones the scheduler knows, with quota and
//! throttling. On a hybrid host that is a v1 hierarchy although a (controller-less) v2 one is mounted too.

use std::path::{Path, PathBuf};

use crate::host::Host;
use crate::host::proc::mounts::{CgroupMount, cgroup_mounts};
use crate::host::proc::process::parse_cgroup_file;
use crate::{Error, Result};

/// Inode number of the initial cgroup namespace (`PROC_CGROUP_INIT_INO` in the kernel's `proc_ns.h`).
const INITIAL_CGROUP_NS: &str = "cgroup:[4026531835]";

/// Version of the watched hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The CPU controller is in a cgroup v1 hierarchy (pure v1 or hybrid host).
    V1,
    /// The one hierarchy of cgroup v2.
    V2,
}

/// The watched hierarchy. Its paths start with `/`, the root of the hierarchy as far as it is mounted here.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    pub(super) host: Host,
    version: Version,
    id: u32,
    cpu: CgroupMount,
    cpuacct: Option<CgroupMount>,
    unified: Option<CgroupMount>,
    mounts: Vec<CgroupMount>,
    namespaced: bool,
}

impl Hierarchy {
    /// Finds the hierarchy through `/proc/self/cgroup` and `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// When this kernel has no cgroups, or the hierarchy is not mounted where we can see it.
    pub fn detect(host: &Host) -> Result<Self> {
        let read = |path: &str| {
            host.read(path)
                .map_err(|error| Error::io("read", &host.at(path), &error))?
                .ok_or_else(|| Error::Unsupported(format!("cannot read {path}: is /proc mounted?")))
        };
        let own = read("/proc/self/cgroup")?;
        let mounts = cgroup_mounts(&read("/proc/self/mountinfo")?);

        let v1_id = parse_cgroup_file(&own)
            .find(|line| line.controllers.split(',').any(|name| name == "cpu"))
            .map(|line| line.hierarchy_id);
        let unified = best_mount(&mounts, |mount| mount.unified);
        let (version, id, cpu) = if let Some(id) = v1_id {
            let cpu = best_mount(&mounts, |mount| has_controller(mount, "cpu"));
            (
                Version::V1,
                id,
                cpu.ok_or_else(|| {
                    Error::Unsupported(
                        "the cgroup v1 cpu hierarchy is not mounted; try: mkdir -p \
                         /sys/fs/cgroup/cpu && mount -t cgroup -o cpu cgroup /sys/fs/cgroup/cpu"
                            .to_owned(),
                    )
                })?,
            )
        } else {
            (
                Version::V2,
                0,
                unified.clone().ok_or_else(|| {
                    Error::Unsupported(
                        "no cgroup hierarchy is mounted; try: mount -t cgroup2 cgroup2 \
                         /sys/fs/cgroup"
                            .to_owned(),
                    )
                })?,
            )
        };
        let namespace = std::fs::read_link(host.at("/proc/self/ns/cgroup"));
        Ok(Self {
            host: host.clone(),
            version,
            id,
            cpu,
            cpuacct: best_mount(&mounts, |mount| has_controller(mount, "cpuacct")),
            unified,
            mounts,
            namespaced: namespace.is_ok_and(|link| link != Path::new(INITIAL_CGROUP_NS)),
        })
    }

    /// Version of the hierarchy.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Number of the hierarchy as in `/proc/PID/cgroup`; 0 is cgroup v2.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// We run in a cgroup namespace: cgroups outside it may be out of sight, and paths start at its root.
    #[must_use]
    pub const fn is_namespaced(&self) -> bool {
        self.namespaced
    }

    /// The host that it is of.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Where the hierarchy is mounted.
    #[must_use]
    pub fn mount_point(&self) -> &Path {
        &self.cpu.point
    }

    /// The folder of a cgroup; `None` for a path that is not one (no leading `/`, or `..` in it).
    #[must_use]
    pub fn dir(&self, path: &str) -> Option<PathBuf> {
        self.dir_in(&self.cpu, path)
    }

    /// The folder that has `cpuacct.usage` (v1) for the cgroup at this path.
    pub(super) fn cpuacct_dir(&self, path: &str) -> Option<PathBuf> {
        self.dir_in(self.cpuacct.as_ref()?, path)
    }

    /// The folder in the v2 hierarchy, which a hybrid host has beside the watched one.
    #[must_use]
    pub fn unified_dir(&self, path: &str) -> Option<PathBuf> {
        self.dir_in(self.unified.as_ref()?, path)
    }

    /// The folder that stands for the cgroup in perf: in v1's perf_event hierarchy, or else in v2.
    #[must_use]
    pub fn perf_dir(&self, path: &str) -> Option<PathBuf> {
        Some(self.controller_dir("perf_event", path)?.0)
    }

    /// The folder of the cgroup at this path where this controller is: in its v1 hierarchy, or else in v2.
    #[must_use]
    pub fn controller_dir(&self, controller: &str, path: &str) -> Option<(PathBuf, Version)> {
        match best_mount(&self.mounts, |mount| has_controller(mount, controller)) {
            Some(mount) => Some((self.dir_in(&mount, path)?, Version::V1)),
            None => Some((self.unified_dir(path)?, Version::V2)),
        }
    }

    fn dir_in(&self, mount: &CgroupMount, path: &str) -> Option<PathBuf> {
        let inside = path.strip_prefix('/')?;
        if inside.split('/').any(|name| name == ".." || name == ".") {
            return None;
        }
        Some(self.host.at(&mount.point).join(inside))
    }

    /// Path in its hierarchy of a folder in *any* mounted cgroup hierarchy; `None` for other folders.
    ///
    /// Runtimes and systemd use the same path in every hierarchy, so the path is good for the watched one.
    #[must_use]
    pub fn path_of_folder(&self, folder: &Path) -> Option<String> {
        let mount = self
            .mounts
            .iter()
            .filter(|mount| folder.starts_with(&mount.point))
            .max_by_key(|mount| mount.point.as_os_str().len())?;
        let inside = folder.strip_prefix(&mount.point).ok()?;
        Some(format!("/{}", inside.to_str()?.trim_end_matches('/')))
    }

    /// The path that the kernel reports for a cgroup (from the true root of the hierarchy, whatever is mounted
    /// here) as a path of this hierarchy; `None` when only [`Hierarchy::lookup_id`] can tell.
    #[must_use]
    pub fn path_from_kernel(&self, kernel_path: &str) -> Option<String> {
        match self.cpu.root.as_str() {
            // The whole hierarchy, seen from inside a cgroup namespace.
            root if root.starts_with("/..") => Some(kernel_path.to_owned()),
            _ if self.namespaced => None,
            root => relative_to_mount(kernel_path, root),
        }
    }

    /// The cgroup of a process, as a path of this hierarchy; `None` when the process is gone.
    ///
    /// `/proc/PID/cgroup` counts from our cgroup namespace's root, the mount may start somewhere else
    /// (a part of the hierarchy, or all of it seen from inside a namespace): where the two cannot be
    /// reconciled by their text, the process is looked for in the tree.
    ///
    /// # Errors
    /// When the cgroup of the process cannot be read, or is outside the part that is mounted here.
    pub fn cgroup_of(&self, pid: u32) -> Result<Option<String>> {
        let reported = self.host.cgroup_of(pid, self.id).map_err(|error| {
            let path = format!("/proc/{pid}/cgroup");
            Error::io("read", Path::new(&path), &error)
        })?;
        let Some(reported) = reported else {
            return Ok(None);
        };
        if let Some(path) = relative_to_mount(&reported, &self.cpu.root) {
            return Ok(Some(path));
        }
        if let Some(cgroup) = self.find_process(pid) {
            return Ok(Some(cgroup.path));
        }
        Err(Error::NotFound(format!(
            "process {pid} is in cgroup {}, which is not visible under {}; run ctprof in the host's \
             cgroup namespace",
            crate::model::text::printable(&reported, 200),
            self.cpu.point.display(),
        )))
    }
}

fn has_controller(mount: &CgroupMount, name: &str) -> bool {
    mount
        .controllers
        .iter()
        .any(|controller| controller == name)
}

/// Of several mounts of one hierarchy the one that shows most of it: all of it, seen from a namespace or
/// not, before a part; the first one among equals.
fn best_mount(
    mounts: &[CgroupMount],
    wanted: impl Fn(&CgroupMount) -> bool,
) -> Option<CgroupMount> {
    mounts
        .iter()
        .filter(|mount| wanted(mount))
        .min_by_key(|mount| match mount.root.as_str() {
            root if root.starts_with("/..") => 0,
            "/" => 1,
            _ => 2,
        })
        .cloned()
}

/// `reported`, a path from our namespace's root, as a path from the folder `mount_root` (also from there).
fn relative_to_mount(reported: &str, mount_root: &str) -> Option<String> {
    if mount_root == "/" {
        return (!reported.starts_with("/..")).then(|| reported.to_owned());
    }
    let rest = reported.strip_prefix(mount_root)?;
    match rest {
        "" => Some("/".to_owned()),
        // `/..` of a mount root above the namespace must not cut `/../..` in the middle of the climb.
        _ if rest.starts_with('/') && !rest.starts_with("/..") => Some(rest.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Hierarchy, Version, relative_to_mount};
    use crate::host::Host;

    fn host(self_cgroup: &str, mountinfo: &str) -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path().join("proc/self");
        std::fs::create_dir_all(&proc).unwrap();
        std::fs::write(proc.join("cgroup"), self_cgroup).unwrap();
        std::fs::write(proc.join("mountinfo"), mountinfo).unwrap();
        let host = Host::new(dir.path());
        (dir, host)
    }

    const HYBRID: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn hybrid_watches_the_v1_cpu_hierarchy() {
        let (dir, host) = host("4:memory:/x\n2:cpuacct:/\n1:cpu:/\n0::/\n", HYBRID);
        let hierarchy = Hierarchy::detect(&host).unwrap();
        assert_eq!(hierarchy.version(), Version::V1);
        assert_eq!(hierarchy.id(), 1);
        assert_eq!(
            hierarchy.dir("/docker/a").unwrap(),
            dir.path().join("sys/fs/cgroup/cpu/docker/a")
        );
        assert_eq!(
            hierarchy.cpuacct_dir("/").unwrap(),
            dir.path().join("sys/fs/cgroup/cpuacct/")
        );
        assert_eq!(
            hierarchy.perf_dir("/docker/a").unwrap(),
            dir.path().join("sys/fs/cgroup/unified/docker/a")
        );
        assert_eq!(hierarchy.dir("/../memory"), None);
        assert_eq!(hierarchy.dir("docker"), None);
    }

    #[test]
    fn co_mounted_v1() {
        let (_dir, host) = host(
            "3:cpu,cpuacct:/\n0::/\n",
            "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             33 31 0:30 / /sys/fs/cgroup/perf rw - cgroup cgroup rw,perf_event\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        let hierarchy = Hierarchy::detect(&host).unwrap();
        assert_eq!((hierarchy.version(), hierarchy.id()), (Version::V1, 3));
        assert_eq!(hierarchy.dir("/a"), hierarchy.cpuacct_dir("/a"));
        let perf = hierarchy.perf_dir("/a").unwrap();
        assert!(perf.ends_with("sys/fs/cgroup/perf/a"), "{perf:?}");
    }

    #[test]
    fn pure_v2() {
        let (_dir, host) = host(
            "0::/user.slice\n",
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        let hierarchy = Hierarchy::detect(&host).unwrap();
        assert_eq!((hierarchy.version(), hierarchy.id()), (Version::V2, 0));
        assert_eq!(hierarchy.mount_point(), Path::new("/sys/fs/cgroup"));
        assert_eq!(hierarchy.cpuacct_dir("/"), None);
    }

    #[test]
    fn nothing_mounted_says_what_to_do() {
        let (_dir, v2) = host("0::/\n", "");
        assert_eq!(
            Hierarchy::detect(&v2).unwrap_err().to_string(),
            "no cgroup hierarchy is mounted; try: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
        );
        let (_dir, v1) = host("1:cpu:/\n", "");
        assert_eq!(
            Hierarchy::detect(&v1).unwrap_err().to_string(),
            "the cgroup v1 cpu hierarchy is not mounted; try: mkdir -p /sys/fs/cgroup/cpu && mount \
             -t cgroup -o cpu cgroup /sys/fs/cgroup/cpu"
        );
    }

    #[test]
    fn the_host_tree_wins_over_the_namespaced_part() {
        let (_dir, host) = host(
            "0::/\n",
            "30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n\
             31 23 0:26 /../.. /host/cgroup ro - cgroup2 cgroup2 rw\n",
        );
        let hierarchy = Hierarchy::detect(&host).unwrap();
        assert_eq!(hierarchy.mount_point(), Path::new("/host/cgroup"));
        assert_eq!(
            hierarchy.path_from_kernel("/docker/a").unwrap(),
            "/docker/a"
        );
    }

    #[test]
    fn a_part_of_the_hierarchy_alone() {
        let (_dir, host) = host(
            "0::/docker/ab\n",
            "30 23 0:26 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
        );
        let hierarchy = Hierarchy::detect(&host).unwrap();
        assert_eq!(hierarchy.path_from_kernel("/docker/ab/x").unwrap(), "/x");
        assert_eq!(hierarchy.path_from_kernel("/docker/cd"), None);
    }

    #[test]
    fn folders_of_any_hierarchy_map_to_paths() {
        let (_dir, host) = host("1:cpu:/\n", HYBRID);
        let hierarchy = Hierarchy::detect(&host).unwrap();
        let path = |folder: &str| hierarchy.path_of_folder(Path::new(folder));
        assert_eq!(
            path("/sys/fs/cgroup/memory/docker/a/").unwrap(),
            "/docker/a"
        );
        assert_eq!(path("/sys/fs/cgroup/cpu").unwrap(), "/");
        assert_eq!(path("/sys/fs/cgroup/cpuset/a"), None);
        assert_eq!(path("/docker/a"), None);
    }

    #[test]
    fn namespaces_and_mount_roots() {
        let relative = |a, b| relative_to_mount(a, b);
        assert_eq!(relative("/a/b", "/").unwrap(), "/a/b");
        assert_eq!(relative("/../b", "/"), None);
        assert_eq!(relative("/docker/ab/x", "/docker/ab").unwrap(), "/x");
        assert_eq!(relative("/docker/ab", "/docker/ab").unwrap(), "/");
        assert_eq!(relative("/docker/abc", "/docker/ab"), None);
        assert_eq!(relative("/../../docker/c", "/../..").unwrap(), "/docker/c");
        assert_eq!(relative("/../../../x", "/../.."), None);
        assert_eq!(relative("/", "/../.."), None);
    }
}
