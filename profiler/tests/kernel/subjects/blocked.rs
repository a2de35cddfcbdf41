//! Asleep, and why.

use std::io::Write;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use super::record;
use crate::harness::cgroup::Cgroup;
use crate::harness::needs::{missing_privilege, privileged, skipping};
use crate::harness::program::Program;
use crate::harness::{Result, close_ns, emulated, ensure, tolerance};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("blocked::in_calls", calls),
        privileged("blocked::by_locks_and_children", locks),
        skipping("blocked::by_the_disk", disk, no_disk),
    ]
}

fn calls() -> Result {
    reasons(
        &[
            ("sleep", "blocked_sleep"),
            ("signal", "blocked_sleep"),
            ("pipe", "blocked_pipe"),
            ("message", "blocked_pipe"),
            ("poll", "blocked_poll"),
            ("select", "blocked_poll"),
            ("epoll", "blocked_poll"),
            ("recv", "blocked_net"),
            ("socket-read", "blocked_net"),
            ("accept", "blocked_net"),
        ],
        "",
    )
}

fn locks() -> Result {
    reasons(
        &[
            ("futex", "blocked_lock"),
            ("mutex", "blocked_lock"),
            ("flock", "blocked_lock"),
            ("child", "blocked_child"),
            ("vfork", "blocked_child"),
            ("fault", "blocked_fault"),
        ],
        "",
    )
}

/// One after the other: they disturb each other. The file is written here, so that they only read it.
fn disk() -> Result {
    let folder = disk_folder().ok_or("the disk is gone")?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    file.write_all(&vec![1; 32 << 20])?;
    file.as_file().sync_all()?;
    let path = file.path().to_string_lossy();
    let folder = folder.to_string_lossy();
    for (how, state, path) in [
        ("fsync", "blocked_disk", &folder),
        ("direct-read", "blocked_disk", &path),
        ("file-fault", "blocked_fault", &path),
    ] {
        reasons(&[(how, state)], path)?;
    }
    Ok(())
}

/// From when the kernel looks at its clock to when it says that the thread has been woken: it puts it on the queues
/// of all its cgroups meanwhile. What counts as waiting there is still sleep in the ledger.
const WAKE_NS: u64 = 6_000;

/// Each way to block, with this path if it needs one, has its state, and for as long as the program says; the rest of what is blocked is its helpers'
/// sleep.
fn reasons(ways: &[(&str, &str)], path: &str) -> Result {
    let arena = Cgroup::arena("blocked")?;
    let mut cgroups = Vec::new();
    for (how, _) in ways {
        cgroups.push(arena.child(how)?);
    }
    let all: Vec<&Cgroup> = cgroups.iter().collect();
    let (recording, facts) = record(&all, || {
        let mut programs = Vec::new();
        for ((how, _), cgroup) in ways.iter().zip(&cgroups) {
            let args = [
                "block", "--how", how, "--times", "20", "--each", "50", "--path", path,
            ];
            programs.push(Program::start(Some(cgroup), &args)?);
        }
        let facts: Result<Vec<_>> = programs.into_iter().map(Program::end).collect();
        facts
    })?;
    for (((how, state), cgroup), facts) in ways.iter().zip(&cgroups).zip(&facts) {
        let row = recording.row(cgroup.path())?;
        let truth = facts.get("blocked_ns")?;
        let waits = row.number("run_queue_latency/count")?;
        ensure!(truth > 100_000_000, "{how} blocked for {truth} ns only");
        close_ns(
            &format!("{how}: {state}"),
            row.ns(state)?,
            truth,
            tolerance(0.03, 0.15),
            // The program's account of its CPU time lacks what the hypervisor took, and so counts it as sleep.
            3_000_000 + waits * WAKE_NS + recording.stolen_ns,
        )
        .map_err(|error| format!("{}; {}", error.message().unwrap_or("?"), row.describe()))?;
        let helpers = if *state == "blocked_sleep" {
            0
        } else {
            row.ns("blocked_sleep")?
        };
        let rest = row.blocked_ns() - row.ns(state)? - helpers;
        // What it takes to start a program, and to wait for helpers, of which the program knows how long it took.
        ensure!(
            rest <= facts.get("rest_ns")?
                + truth / 33
                + if emulated() { 80_000_000 } else { 10_000_000 },
            "{how}: {rest} ns for other reasons: {}",
            row.describe()
        );
    }
    Ok(())
}

/// A folder that is on a disk.
fn disk_folder() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let folders = [
        std::env::temp_dir(),
        PathBuf::from("/var/tmp"),
        std::env::current_dir().ok()?,
    ];
    folders.into_iter().find(|folder| {
        let mount = mounts
            .lines()
            .filter_map(|line| Some((line.split(' ').nth(1)?, line.split(' ').nth(2)?)))
            .filter(|(point, _)| folder.starts_with(Path::new(point)))
            .max_by_key(|(point, _)| point.len());
        mount.is_some_and(|(_, kind)| ["ext4", "xfs", "btrfs", "ext3", "ext2"].contains(&kind))
    })
}

fn no_disk() -> Option<String> {
    missing_privilege().or_else(|| {
        disk_folder()
            .is_none()
            .then(|| "needs a folder on a disk".to_owned())
    })
}
