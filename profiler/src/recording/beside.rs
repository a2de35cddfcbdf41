//! What the kernel itself counts for each cgroup, beside the ledger, and whose cgroups views may look at.

use std::collections::{BTreeSet, HashMap};

use crate::collect::WatchList;
use crate::grouping::Naming;
use crate::host::Host;
use crate::host::cgroup::Hierarchy;
use crate::host::cgroup::cpu::figures_between;
use crate::host::containers::ProcessPath;
use crate::host::stolen::{stolen, stolen_between};
use crate::model::{CfsFigures, Grouping, Stolen};

/// CPU time that was taken from all threads between two readings.
pub(super) fn stolen_since(before: Option<Stolen>, after: Option<Stolen>) -> Option<Stolen> {
    Some(stolen_between(before?, after?))
}

/// The figures of every recorded cgroup at one moment, by path.
#[derive(Debug, Default)]
pub(super) struct Figures {
    cpu: HashMap<String, CfsFigures>,
    threads: HashMap<String, u64>,
    pub(super) stolen: Option<Stolen>,
}

impl Figures {
    /// Reads the figures of those of these cgroups that exist.
    pub(super) fn read(hierarchy: &Hierarchy, cgroups: &[&str]) -> Self {
        let mut all = Self {
            stolen: stolen(&Host::default()),
            ..Self::default()
        };
        for path in cgroups.iter().copied() {
            if let Some(cpu) = hierarchy.cpu_figures(path) {
                all.cpu.insert(path.to_owned(), cpu);
            }
            if let Some(threads) = hierarchy.threads(path) {
                all.threads.insert(path.to_owned(), threads);
            }
        }
        all
    }

    /// Threads that were in `path` itself, not below it.
    pub(super) fn threads(&self, path: &str) -> u64 {
        self.threads.get(path).copied().unwrap_or(0)
    }

    /// What `path` used since `before`; a cgroup that was not there then started from nothing.
    pub(super) fn cpu_since(&self, before: &Self, path: &str) -> Option<CfsFigures> {
        let now = self.cpu.get(path)?;
        Some(
            before
                .cpu
                .get(path)
                .map_or(*now, |then| figures_between(*then, *now)),
        )
    }
}

/// The paths of all cgroups that are recorded.
pub(super) fn recorded(watch: &WatchList) -> Vec<&str> {
    watch.recorded().map(|(_, path)| path).collect()
}

/// The cgroups of everything that will have a row of its own: chosen cgroups, containers and services.
pub(super) fn owners(watch: &WatchList, naming: &mut Naming) -> Vec<String> {
    let mut paths: Vec<String> = watch.roots().map(<[String]>::to_vec).unwrap_or_default();
    let mut seen: BTreeSet<String> = paths.iter().cloned().collect();
    for (_, path) in watch.recorded() {
        let owner = match naming.grouping() {
            Grouping::Pod => naming.of(path).holder.as_deref().map(str::to_owned),
            _ => naming.containers().owner(path),
        };
        if let Some(owner) = owner
            && !ProcessPath::is(&owner)
            && seen.insert(owner.clone())
        {
            paths.push(owner);
        }
    }
    paths
}
