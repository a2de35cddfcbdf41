//! Folds slots into groups, and remembers what is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

use ctprof_ebpf::abi::scope::{SLOT_HOST, SLOT_IDLE, SLOT_KERNEL};

use super::core::CorePlan;
use super::culprits::OTHER;
use super::followed::{Followed, Reported};
use super::kept::Kept;
use super::naming::{Named, Naming};
use crate::aggregate::{Owners, container_ledgers, container_syscalls};
use crate::collect::{Retirement, Settled, WatchList, add_row};
use crate::host::cgroup::{Hierarchy, ancestors};
use crate::host::containers::Containers;
use crate::model::{Container, Culprit, Delay, Group, GroupKey, Grouping, Reading, State};
use crate::recording::CALL_NAMES;

/// Slots of what is kept of groups: beyond those of the kernel half, within the 20 bits that a row of system calls has.
const FIRST_KEPT: u32 = 1 << 19;

/// Most cgroups of a row whose own figures are read: four files each, at every scrape.
const MOST_FOLLOWED: usize = 64;

/// All groups.
pub(super) struct Groups<'a> {
    hierarchy: &'a Hierarchy,
    naming: Naming<'a>,
    /// Cgroups that were born since the agent began.
    born: HashSet<String>,
    kept: BTreeMap<GroupKey, Kept>,
    /// Time of groups that do not appear any more.
    gone_ns: BTreeMap<State, u64>,
    ended: u64,
    refused: BTreeSet<GroupKey>,
    refused_ever: u64,
}

/// One row in the making.
struct Row {
    key: GroupKey,
    alive: bool,
    /// Cgroups that hold its members.
    owners: BTreeSet<String>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(plan: &CorePlan, hierarchy: &'a Hierarchy, containers: Containers) -> Self {
        Self {
            hierarchy,
            naming: Naming::new(plan.grouping, hierarchy, containers),
            born: HashSet::new(),
            kept: BTreeMap::new(),
            gone_ns: BTreeMap::new(),
            ended: 0,
            refused: BTreeSet::new(),
            refused_ever: 0,
        }
    }

    /// A cgroup was born: its runtime's files can be read now, and later perhaps not any more.
    pub(super) fn born(&mut self, path: &str) {
        self.naming.of(path);
        self.born.insert(path.to_owned());
    }

    /// Looks for names that have come or changed.
    pub(super) fn refresh(&mut self) {
        for (before, now) in self.naming.refresh() {
            if let Some(kept) = self.kept.remove(&before) {
                self.kept.entry(now).or_default().absorb(kept);
            }
        }
    }

    /// Rows are told apart in another way from now on: what was kept of those that are gone counts for the host alone.
    pub(super) fn regroup(&mut self, grouping: Grouping) {
        self.naming.regroup(grouping);
    }

    /// Takes over what the kernel half has of cgroups that are gone.
    pub(super) fn retire(&mut self, retirement: Retirement, watch: &WatchList, plan: &CorePlan) {
        let mut retired: HashMap<u32, GroupKey> = HashMap::new();
        for cgroup in retirement.cgroups.iter().filter(|it| it.figures.is_some()) {
            let key = self.naming.of(&cgroup.path).key.clone();
            retired.insert(cgroup.slot, self.admit(key, plan));
        }
        for (key, ns) in retirement.delays {
            let mut group = |slot: u32| match retired.get(&slot) {
                Some(key) => Some(key.clone()),
                None => Some(self.named(slot, watch)?.key),
            };
            let (Some(victim), culprit) = (group(key.victim), group(key.culprit)) else {
                continue;
            };
            let culprit = match culprit {
                Some(culprit) if culprit == victim => "siblings".to_owned(),
                Some(culprit) => label(&culprit),
                None if key.culprit == SLOT_IDLE => "idle".to_owned(),
                None => "host".to_owned(),
            };
            let victim = self.admit(victim, plan);
            let kept = self.kept.entry(victim).or_default();
            *kept.delays.entry(culprit).or_default() += ns;
        }
        for (key, row) in retirement.calls {
            if let Some(group) = retired.get(&key.slot()) {
                let calls = &mut self.kept.entry(group.clone()).or_default().calls;
                add_row(calls.entry(key.with_slot(0)).or_default(), row);
            }
        }
        for cgroup in retirement.cgroups {
            if let (Some(figures), Some(key)) = (&cgroup.figures, retired.get(&cgroup.slot)) {
                let kept = self.kept.entry(key.clone()).or_default();
                if kept.identity.name.is_empty() {
                    kept.identity = self.naming.of(&cgroup.path).identity.clone();
                }
                kept.keep(figures);
            }
            self.naming.forget(&cgroup.path);
            self.born.remove(&cgroup.path);
        }
    }

    /// The rows of now.
    pub(super) fn read(
        &mut self,
        now: &Settled<'_>,
        watch: &WatchList,
        plan: &CorePlan,
    ) -> Reading {
        let mut rows: Vec<Row> = Vec::new();
        let mut containers: Vec<Container> = Vec::new();
        let mut index: HashMap<GroupKey, usize> = HashMap::new();
        let mut owners = Owners::default();
        let slots: Vec<u32> = [SLOT_HOST, SLOT_KERNEL]
            .into_iter()
            .chain(watch.iter().map(|(slot, _)| slot))
            .filter(|slot| now.ledger.slots.contains_key(slot) || now.threads.contains_key(slot))
            .collect();
        for slot in slots {
            let Some(named) = self.named(slot, watch) else {
                continue;
            };
            let key = self.admit(named.key, plan);
            let row = *index.entry(key.clone()).or_insert_with(|| {
                rows.push(Row {
                    key,
                    alive: false,
                    owners: BTreeSet::new(),
                });
                containers.push(Container::default());
                rows.len() - 1
            });
            owners.0.insert(slot, row);
            let alive = !watch.is_gone(slot);
            rows[row].alive |= alive;
            if alive || containers[row].identity.name.is_empty() {
                containers[row].identity = named.identity;
            }
            if alive && !named.owner.is_empty() {
                rows[row].owners.insert(named.owner);
            }
            if let Some(threads) = now.threads.get(&slot) {
                *containers[row].threads.get_or_insert_default() += u64::from(*threads);
            }
        }
        let mut ledger = now.ledger.clone();
        for (number, (key, kept)) in (FIRST_KEPT..).zip(&self.kept) {
            let row = *index.entry(key.clone()).or_insert_with(|| {
                rows.push(Row {
                    key: key.clone(),
                    alive: false,
                    owners: BTreeSet::new(),
                });
                containers.push(Container {
                    identity: kept.identity.clone(),
                    ..Container::default()
                });
                rows.len() - 1
            });
            if let Some(figures) = &kept.figures {
                ledger.slots.insert(number, figures.clone());
            }
            owners.0.insert(number, row);
        }
        container_ledgers(&ledger, &owners, |_| None, &mut containers);
        self.add_calls(now, &owners, &mut containers);
        let names: Vec<String> = rows.iter().map(|row| label(&row.key)).collect();
        let existing: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        // Containers share the folders above them.
        let mut quotas = HashMap::new();
        let mut groups = Vec::with_capacity(rows.len());
        for (row, mut figures) in rows.into_iter().zip(containers) {
            let kept = self.kept.entry(row.key.clone()).or_default();
            kept.identity = figures.identity.clone();
            kept.divide(&mut figures.time_ns);
            match (row.alive, kept.ended) {
                (true, _) => kept.ended = None,
                (false, None) => kept.ended = Some(Instant::now()),
                (false, Some(_)) => {}
            }
            kept.shown = !row.alive;
            let waited = figures.time_ns.get(&State::RunQueue).copied().unwrap_or(0);
            let ledger = figures.ledger.get_or_insert_default();
            let mut delays = kept.delays.clone();
            for Delay { culprit, ns } in ledger.delayed_by.drain(..) {
                if let Some(name) = name_of(&culprit, &names) {
                    *delays.entry(name).or_default() += ns;
                }
            }
            let delayed_by = kept
                .culprits
                .tell(&delays, waited, plan.top_culprits, |name| {
                    existing.contains(name)
                });
            let mut followed = std::mem::take(&mut kept.followed);
            self.add_cgroups(&row, &mut followed, &mut quotas, &mut figures);
            if let Some(kept) = self.kept.get_mut(&row.key) {
                kept.followed = followed;
            }
            groups.push(Group {
                key: row.key,
                alive: row.alive,
                figures,
                delayed_by,
            });
        }
        let total_ns = self.total(&groups);
        self.expire(plan, &groups);
        groups.sort_by(|a, b| a.key.cmp(&b.key));
        Reading {
            groups,
            total_ns,
            groups_ended: self.ended,
            groups_refused: self.refused_ever,
            ..Reading::default()
        }
    }

    /// The group of a slot; `None` for a slot that nobody knows.
    fn named(&mut self, slot: u32, watch: &WatchList) -> Option<Named> {
        match slot {
            SLOT_HOST => Some(self.naming.fixed("host")),
            SLOT_KERNEL => Some(self.naming.fixed("kernel")),
            _ => watch.path(slot).map(|path| self.naming.of(path).clone()),
        }
    }

    /// The group's own row, or `other` where there are too many.
    fn admit(&mut self, key: GroupKey, plan: &CorePlan) -> GroupKey {
        if self.kept.contains_key(&key) || self.kept.len() < plan.max_groups {
            self.kept.entry(key.clone()).or_default();
            return key;
        }
        if self.refused.insert(key) {
            self.refused_ever += 1;
        }
        // What was refused is remembered only to count it once.
        if self.refused.len() > plan.max_groups {
            self.refused.clear();
        }
        GroupKey {
            container: OTHER.to_owned(),
            ..GroupKey::default()
        }
    }

    fn add_calls(&self, now: &Settled<'_>, owners: &Owners, containers: &mut [Container]) {
        let Some(calls) = now.calls else {
            return;
        };
        let kept: Vec<_> = (FIRST_KEPT..)
            .zip(self.kept.values())
            .flat_map(|(slot, kept)| {
                kept.calls
                    .iter()
                    .map(move |(key, row)| (key.with_slot(slot), *row))
            })
            .collect();
        let rows = kept.iter().map(|(key, row)| (key, row)).chain(&calls.rows);
        container_syscalls(rows, calls.timed, CALL_NAMES, owners, containers);
    }

    /// The quota, where the group is one cgroup and all below it, and what the kernel counts for its cgroups.
    fn add_cgroups(
        &self,
        row: &Row,
        followed: &mut Followed,
        quotas: &mut HashMap<String, Option<f64>>,
        figures: &mut Container,
    ) {
        if let (1, Some(path)) = (row.owners.len(), row.owners.first()) {
            figures.cpu_quota_cores = ancestors(path)
                .filter_map(|path| match quotas.get(path) {
                    Some(known) => *known,
                    None => {
                        let own = self.hierarchy.own_quota_cores(path);
                        quotas.insert(path.to_owned(), own);
                        own
                    }
                })
                .min_by(f64::total_cmp);
        }
        if row.key.container != OTHER && row.owners.len() <= MOST_FOLLOWED {
            followed.follow(row.owners.iter().filter_map(|it| self.report(it)).collect());
        }
        figures.cfs = followed.cfs;
        figures.psi = followed.psi;
    }

    fn report(&self, path: &str) -> Option<Reported> {
        Some(Reported {
            id: self.hierarchy.lookup(path).ok()??.id,
            path: path.to_owned(),
            is_new: self.born.contains(path),
            cfs: self.hierarchy.cpu_figures(path),
            psi: self.hierarchy.pressure(path),
        })
    }

    fn total(&self, groups: &[Group]) -> BTreeMap<State, u64> {
        let mut total = self.gone_ns.clone();
        for (state, ns) in groups.iter().flat_map(|group| &group.figures.time_ns) {
            *total.entry(*state).or_default() += ns;
        }
        total
    }

    /// Forgets groups that have ended, have been shown since, and are of no more use.
    fn expire(&mut self, plan: &CorePlan, groups: &[Group]) {
        let figures: HashMap<&GroupKey, &Group> =
            groups.iter().map(|group| (&group.key, group)).collect();
        let over: Vec<GroupKey> = self
            .kept
            .iter()
            .filter(|(_, kept)| {
                kept.shown
                    && kept
                        .ended
                        .is_some_and(|ended| ended.elapsed() >= plan.linger)
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in over {
            self.kept.remove(&key);
            self.ended += 1;
            let times = figures.get(&key).map(|group| &group.figures.time_ns);
            for (state, ns) in times.into_iter().flatten() {
                *self.gone_ns.entry(*state).or_default() += ns;
            }
        }
    }
}

/// What a group is called where it is a culprit.
fn label(key: &GroupKey) -> String {
    let name = [&key.cgroup, &key.container, &key.pod, &key.kernel_namespace]
        .into_iter()
        .find(|name| !name.is_empty());
    name.cloned().unwrap_or_else(|| "unknown".to_owned())
}

/// The culprit's name; `None` for what the kernel half could not explain.
fn name_of(culprit: &Culprit, names: &[String]) -> Option<String> {
    Some(match culprit {
        Culprit::Siblings => "siblings".to_owned(),
        Culprit::Row(row) => names.get(*row)?.clone(),
        Culprit::Elsewhere(name) => name.clone(),
        Culprit::Host => "host".to_owned(),
        Culprit::Kernel => "kernel".to_owned(),
        Culprit::Idle => "idle".to_owned(),
        Culprit::Unknown => return None,
    })
}
