//! What `/proc/PID` says about a process.

use std::io;
use std::path::PathBuf;

use super::{Host, is_gone};

impl Host {
    /// Ids of all processes, in no particular order; empty when `/proc` cannot be read.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let Ok(entries) = std::fs::read_dir(self.at("/proc")) else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// Name of the process (at most 15 bytes, set by itself: not safe to print); `None` when it is gone.
    #[must_use]
    pub fn comm(&self, pid: u32) -> Option<String> {
        let text = self.read(format!("/proc/{pid}/comm")).ok()??;
        Some(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    /// The process that the thread with this id is of; `None` when it is gone.
    #[must_use]
    pub fn process_of_thread(&self, tid: u32) -> Option<u32> {
        let text = self.read(format!("/proc/{tid}/status")).ok()??;
        let line = text.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
        line.trim().parse().ok()
    }

    /// The processes that the threads of this one have created and that are still there; none where the kernel does not
    /// say (`CONFIG_PROC_CHILDREN`).
    #[must_use]
    pub fn children(&self, pid: u32) -> Vec<u32> {
        let Ok(threads) = std::fs::read_dir(self.at(format!("/proc/{pid}/task"))) else {
            return Vec::new();
        };
        let of = |tid: &str| self.read(format!("/proc/{pid}/task/{tid}/children"));
        threads
            .filter_map(|entry| of(entry.ok()?.file_name().to_str()?).ok()?)
            .flat_map(|text| {
                let ids = text.split_ascii_whitespace();
                ids.filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()
            })
            .collect()
    }

    /// Arguments of the process, its name first; empty when it is gone or a kernel thread.
    #[must_use]
    pub fn cmdline(&self, pid: u32) -> Vec<String> {
        let text = self
            .read(format!("/proc/{pid}/cmdline"))
            .ok()
            .flatten()
            .unwrap_or_default();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    /// Effective user id of the process in our user namespace.
    #[must_use]
    pub fn uid(&self, pid: u32) -> Option<u32> {
        let text = self.read(format!("/proc/{pid}/status")).ok()??;
        let line = text.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        line.split_ascii_whitespace().nth(1)?.parse().ok()
    }

    /// Home folder of a user, from `/etc/passwd`.
    #[must_use]
    pub fn home(&self, uid: u32) -> Option<PathBuf> {
        let passwd = self.read("/etc/passwd").ok()??;
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':').skip(2);
            if fields.next()?.parse::<u32>().ok()? != uid {
                return None;
            }
            fields.nth(2).map(PathBuf::from)
        })
    }

    /// Path of the process' cgroup in the hierarchy with this number (0 is cgroup v2), relative to our
    /// cgroup namespace; `None` when the process is gone or in no such hierarchy.
    ///
    /// # Errors
    /// Whatever else reading `/proc/PID/cgroup` fails with.
    pub fn cgroup_of(&self, pid: u32, hierarchy_id: u32) -> io::Result<Option<String>> {
        let text = match self.read(format!("/proc/{pid}/cgroup")) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(None),
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(parse_cgroup_file(&text)
            .find(|line| line.hierarchy_id == hierarchy_id)
            .map(|line| line.path.to_owned()))
    }
}

/// One line of a `/proc/PID/cgroup` file (`cgroups(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupLine<'a> {
    /// Number of the hierarchy; 0 is cgroup v2.
    pub hierarchy_id: u32,
    /// Controllers, separated by commas.
    pub controllers: &'a str,
    /// Path from the root of the reader's cgroup namespace.
    pub path: &'a str,
}

/// The lines of a `/proc/PID/cgroup` file; lines in another form are skipped.
pub fn parse_cgroup_file(text: &str) -> impl Iterator<Item = CgroupLine<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        Some(CgroupLine {
            hierarchy_id: fields.next()?.parse().ok()?,
            controllers: fields.next()?,
            path: fields
                .next()?
                // The kernel marks the cgroup of a zombie whose cgroup was removed.
                .trim_end_matches(" (deleted)"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{CgroupLine, parse_cgroup_file};
    use crate::host::proc::Host;

    #[test]
    fn cgroup_lines_keep_colons_in_paths() {
        let lines: Vec<_> =
            parse_cgroup_file("2:cpu,cpuacct:/a:b\nx\n0::/user.slice (deleted)\n").collect();
        assert_eq!(
            lines,
            [
                CgroupLine {
                    hierarchy_id: 2,
                    controllers: "cpu,cpuacct",
                    path: "/a:b"
                },
                CgroupLine {
                    hierarchy_id: 0,
                    controllers: "",
                    path: "/user.slice"
                },
            ]
        );
    }

    #[test]
    fn fuzz_cgroup_lines() {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let lines = "2:cpu,cpuacct:/a:b\n1:name=systemd:/docker/ab\n0::/user.slice (deleted)\n";
        crate::fuzz::fuzz(&[own.as_str(), lines], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            for line in parse_cgroup_file(&text) {
                assert!(!line.controllers.contains([':', '\n']), "{line:?}");
                assert!(!line.path.contains('\n'), "{line:?}");
            }
        });
    }

    #[test]
    fn this_process() {
        let host = Host::default();
        let pid = std::process::id();
        assert!(host.pids().contains(&pid));
        assert!(!host.cmdline(pid).is_empty());
        assert_eq!(host.uid(pid), Some(rustix::process::geteuid().as_raw()));
        assert_eq!(host.cgroup_of(u32::MAX, 0).unwrap(), None);
        assert_eq!(host.comm(u32::MAX), None);
    }
}
