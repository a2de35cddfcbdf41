//! Reads the cgroups' own files, many at once: the kernel takes its time over each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread;

use super::followed::Reported;
use crate::host::cgroup::Hierarchy;
use crate::views;

/// So many are read by one thread: starting another takes as long as some.
const A_THREAD: usize = 64;
/// Most threads.
const MOST_THREADS: usize = 4;

/// What is to be read of a cgroup beside its quota.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Its counters.
    pub(super) counters: bool,
}

/// What was read of a cgroup.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// CPUs' worth of time that its own limit allows.
    pub(super) quota: Option<f64>,
    /// Its counters; `None` where nobody asked for them, or it is gone.
    pub(super) reported: Option<Reported>,
}

/// Reads them. `born` are those that were created since the agent began.
pub(super) fn read(
    hierarchy: &Hierarchy,
    born: &HashSet<String>,
    asked: HashMap<Arc<str>, Asked>,
) -> Vec<(Arc<str>, Files)> {
    let asked: Vec<(Arc<str>, Asked)> = asked.into_iter().collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(MOST_THREADS).min(asked.len() / A_THREAD).max(1);
    let read = |asked: &[(Arc<str>, Asked)]| -> Vec<(Arc<str>, Files)> {
        let files = asked.iter().map(|(path, asked)| {
            let files = Files {
                quota: hierarchy.own_quota_cores(path),
                reported: asked
                    .counters
                    .then(|| report(hierarchy, born, path))
                    .flatten(),
            };
            (Arc::clone(path), files)
        });
        files.collect()
    };
    if threads == 1 {
        return read(&asked);
    }
    thread::scope(|scope| {
        let parts = asked.chunks(asked.len().div_ceil(threads));
        let parts: Vec<_> = parts.map(|part| scope.spawn(|| read(part))).collect();
        // A thread that panicked has read nothing.
        let read = parts.into_iter().filter_map(|part| part.join().ok());
        read.flatten().collect()
    })
}

fn report(hierarchy: &Hierarchy, born: &HashSet<String>, path: &str) -> Option<Reported> {
    Some(Reported {
        id: hierarchy.lookup(path).ok()??.id,
        is_new: born.contains(path),
        cfs: hierarchy.cpu_stat(path),
        measured: views::read(hierarchy, path),
    })
}
