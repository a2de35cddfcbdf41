//! Kernel namespaces, by the inode numbers that they have in `/proc/PID/ns`.

use std::fs;

use super::Host;
use super::cgroup::Hierarchy;
use crate::host::proc::read_optional;

/// `PROC_PID_INIT_INO` and `PROC_USER_INIT_INO` in the kernel's `proc_ns.h`.
const INITIAL_PID: u64 = 0xefff_fffc;
const INITIAL_USER: u64 = 0xefff_fffd;

/// Whether this process is in the first PID namespace, whose process ids the kernel half reports; `None` where `/proc` does
/// not say (not mounted, or mounted for another PID namespace).
#[must_use]
pub fn is_initial_pid(host: &Host) -> Option<bool> {
    own(host, "pid").map(|inode| inode == INITIAL_PID)
}

/// Whether this process is in the first user namespace; `None` where `/proc` does not say.
#[must_use]
pub fn is_initial_user(host: &Host) -> Option<bool> {
    own(host, "user").map(|inode| inode == INITIAL_USER)
}

fn own(host: &Host, kind: &str) -> Option<u64> {
    let link = fs::read_link(host.at(format!("/proc/self/ns/{kind}"))).ok()?;
    parse(link.to_str()?)
}

/// The namespace of this kind (`net`, `pid`, `mnt`, ...) that a process is in; `None` when it is gone, or out of sight.
#[must_use]
pub fn of_process(pid: u32, kind: &str) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
    parse(link.to_str()?)
}

/// The namespace that processes of the host are in: of its first process, else of its first kernel thread, which the
/// first namespaces never lose. The first process may hold privileges that we do not, and be out of sight for that.
#[must_use]
pub fn of_host(kind: &str) -> Option<u64> {
    of_process(1, kind).or_else(|| of_process(2, kind))
}

/// The namespace that the first process of a cgroup is in; `None` without a process.
#[must_use]
pub fn of_cgroup(hierarchy: &Hierarchy, path: &str, kind: &str) -> Option<u64> {
    let processes = read_optional(&hierarchy.dir(path)?.join("cgroup.procs")).ok()??;
    processes
        .lines()
        .filter_map(|pid| pid.parse().ok())
        .find_map(|pid| of_process(pid, kind))
}

/// `net:[4026531840]`.
fn parse(link: &str) -> Option<u64> {
    link.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{of_process, parse};

    #[test]
    fn links_name_inodes() {
        assert_eq!(parse("net:[4026531840]"), Some(4_026_531_840));
        assert_eq!(parse("net:4026531840"), None);
        assert_eq!(parse("net:[x]"), None);
    }

    #[test]
    fn this_process_is_in_one_of_each_kind() {
        let own = std::process::id();
        for kind in ["net", "pid", "mnt"] {
            assert!(
                of_process(own, kind).is_some_and(|inode| inode > 0),
                "{kind}"
            );
        }
        assert_eq!(of_process(u32::MAX, "net"), None);
    }
}
