//! Asleep, and why.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use super::record;
use crate::harness::cgroup::Cgroup;
use crate::harness::needs::{missing_privilege, privileged, skipping};
use crate::harness::program::Program;
use crate::harness::{Result, close_ns, ensure, tolerance};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("blocked::in_calls", calls),
        privileged("blocked::by_locks_and_children", locks),
        skipping("blocked::by_the_disk", disk, no_disk),
    ]
}

fn calls() -> Result {
    reasons(&[
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
    ])
}

fn locks() -> Result {
    reasons(&[
        ("futex", "blocked_lock"),
        ("mutex", "blocked_lock"),
        ("flock", "blocked_lock"),
        ("child", "blocked_child"),
        ("vfork", "blocked_child"),
        ("fault", "blocked_fault"),
    ])
}

/// One after the other: they disturb each other.
fn disk() -> Result {
    for (how, state) in [
        ("fsync", "blocked_disk"),
        ("direct-read", "blocked_disk"),
        ("file-fault", "blocked_fault"),
    ] {
        reasons(&[(how, state)])?;
    }
    Ok(())
}

/// Each way to block has its state, and for as long as the program says; the rest of what is blocked is its helpers'
/// sleep.
fn reasons(ways: &[(&str, &str)]) -> Result {
    let arena = Cgroup::arena("blocked")?;
    let mut cgroups = Vec::new();
    for (how, _) in ways {
        cgroups.push(arena.child(how)?);
    }
    let all: Vec<&Cgroup> = cgroups.iter().collect();
    let folder = disk_folder().unwrap_or_default();
    let folder = folder.to_string_lossy();
    let (recording, facts) = record(&all, || {
        let mut programs = Vec::new();
        for ((how, _), cgroup) in ways.iter().zip(&cgroups) {
            let args = [
                "block", "--how", how, "--times", "20", "--each", "50", "--folder", &folder,
            ];
            programs.push(Program::start(Some(cgroup), &args)?);
        }
        let facts: Result<Vec<_>> = programs.into_iter().map(Program::end).collect();
        facts
    })?;
    for (((how, state), cgroup), facts) in ways.iter().zip(&cgroups).zip(&facts) {
        let row = recording.row(cgroup.path())?;
        let truth = facts.get("blocked_ns")?;
        ensure!(truth > 100_000_000, "{how} blocked for {truth} ns only");
        close_ns(
            &format!("{how}: {state}"),
            row.ns(state)?,
            truth,
            tolerance(0.03, 0.06),
            3_000_000,
        )
        .map_err(|error| format!("{}; {}", error.message().unwrap_or("?"), row.describe()))?;
        let helpers = if *state == "blocked_sleep" {
            0
        } else {
            row.ns("blocked_sleep")?
        };
        let rest = row.blocked_ns() - row.ns(state)? - helpers;
        // What it takes to start a program, and to wait for helpers.
        ensure!(
            rest <= truth / 33 + 10_000_000,
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
