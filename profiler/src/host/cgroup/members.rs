//! The processes in some cgroups and below, and signals to them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, getpgid, pidfd_open, pidfd_send_signal};

/// Descriptors that are held at once: one a process.
const AT_ONCE: usize = 200;

/// Processes in these folders of cgroup file systems and below.
pub(super) fn members(dirs: &[PathBuf]) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    for dir in dirs {
        collect(dir, &mut found);
    }
    found
}

fn collect(dir: &Path, found: &mut BTreeSet<i32>) {
    // A cgroup that is gone has no members.
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    // 0 is a process of another PID namespace, and to a system call our own group.
    let pids = text.lines().filter_map(|line| line.parse::<i32>().ok());
    found.extend(pids.filter(|pid| *pid > 0));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), found);
        }
    }
}

/// Sends a signal to every member but those of the process group `spared`.
///
/// A number that is read may be another process' by the time it is used. So processes are held first, and then only
/// those are sent the signal whose numbers are members still.
pub(super) fn signal(dirs: &[PathBuf], signal: Signal, spared: Option<Pid>) {
    let all: Vec<i32> = members(dirs).into_iter().collect();
    for some in all.chunks(AT_ONCE) {
        let held: Vec<_> = some
            .iter()
            .filter_map(|pid| {
                let process = Pid::from_raw(*pid)?;
                Some((process, pidfd_open(process, PidfdFlags::empty()).ok()?))
            })
            .collect();
        let still = members(dirs);
        for (process, held) in held {
            let is_spared = spared.is_some() && getpgid(Some(process)).ok() == spared;
            if still.contains(&process.as_raw_nonzero().get()) && !is_spared {
                // It may have exited meanwhile.
                let _ = pidfd_send_signal(&held, signal);
            }
        }
    }
}

/// Kills every member: by the kernel where it can (cgroup v2 from 5.14 on), which no fork escapes.
pub(super) fn kill(dirs: &[PathBuf]) {
    for dir in dirs {
        // v1 has no such file.
        let _ = fs::write(dir.join("cgroup.kill"), "1");
    }
    signal(dirs, Signal::KILL, None);
}
