//! What the kernel itself counts for each cgroup, beside the ledger: CPU figures, stall times, perf counters.

use std::collections::{BTreeSet, HashMap};

use crate::collect::{Counted, Counters, WatchList};
use crate::grouping::Naming;
use crate::host::Host;
use crate::host::cgroup::Hierarchy;
use crate::host::cgroup::cpu::figures_between;
use crate::host::cgroup::pressure::pressure_between;
use crate::host::containers::ProcessPath;
use crate::host::stolen::{stolen, stolen_between};
use crate::model::{CfsFigures, Container, Grouping, Psi, Stolen, Unavailable};

/// CPU time that was taken from all threads between two readings.
pub(super) fn stolen_since(before: Option<Stolen>, after: Option<Stolen>) -> Option<Stolen> {
    Some(stolen_between(before?, after?))
}

/// The figures of every recorded cgroup at one moment, by path.
#[derive(Debug, Default)]
pub(super) struct Figures {
    cpu: HashMap<String, CfsFigures>,
    psi: HashMap<String, Psi>,
    threads: HashMap<String, u64>,
    pub(super) stolen: Option<Stolen>,
}

impl Figures {
    /// Reads the figures of every recorded cgroup that still exists.
    pub(super) fn read(hierarchy: &Hierarchy, watch: &WatchList) -> Self {
        let mut all = Self {
            stolen: stolen(&Host::default()),
            ..Self::default()
        };
        for (_, path) in watch.recorded() {
            if let Some(cpu) = hierarchy.cpu_figures(path) {
                all.cpu.insert(path.to_owned(), cpu);
            }
            if let Some(threads) = hierarchy.threads(path) {
                all.threads.insert(path.to_owned(), threads);
            }
            if let Some(psi) = hierarchy.pressure(path) {
                all.psi.insert(path.to_owned(), psi);
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

    /// How long `path` was stalled since `before`.
    pub(super) fn psi_since(&self, before: &Self, path: &str) -> Option<Psi> {
        let now = self.psi.get(path)?;
        Some(
            before
                .psi
                .get(path)
                .map_or(*now, |then| pressure_between(*then, *now)),
        )
    }
}

/// Whether rows of this kind are cgroups with all that is below them, which is what perf counts.
pub(super) const fn can_count(grouping: Grouping) -> bool {
    matches!(grouping, Grouping::Container | Grouping::Pod)
}

/// Opens counters for everything that will have a row of its own: chosen cgroups, containers and services.
pub(super) fn counters<'a>(
    hierarchy: &'a Hierarchy,
    watch: &WatchList,
    naming: &mut Naming,
) -> Counters<'a> {
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
    Counters::open(hierarchy, paths.iter().map(String::as_str))
}

/// Hands the counters to their containers; returns what could not be counted.
pub(super) fn give(counted: &Counted, containers: &mut [Container]) -> Vec<Unavailable> {
    for container in &mut *containers {
        if !container.identity.is_process() {
            container.counters = counted.of(&container.identity.cgroup);
        }
    }
    let paths = containers
        .iter()
        .filter(|it| !it.identity.is_process())
        .map(|it| it.identity.cgroup.as_str())
        .filter(|path| !path.is_empty());
    counted.unavailable(paths)
}
