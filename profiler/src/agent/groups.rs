//! A reading: which row each slot belongs to, what rows have come to, and what the kernel counts for their cgroups.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use ctprof_ebpf::abi::ledger::{Account, state};
use ctprof_ebpf::abi::scope::{SLOT_HOST, SLOT_KERNEL};

use super::cgroup_files::{self, Asked, Files};
use super::core::CorePlan;
use super::followed::Followed;
use super::looks::Found;
use super::rows::{Limits, RowId, Rows, Sums, Tells};
use crate::analysis::doctor::Severity;
use crate::collect::{Retirement, Settled, WatchList};
use crate::grouping::{Named, Naming, fixed_identity};
use crate::host::cgroup::{Hierarchy, ancestors};
use crate::host::containers::Containers;
use crate::model::{Container, Fixed, Group, GroupKey, Reading, State};

/// Most cgroups of a row whose own figures are read.
const MOST_FOLLOWED: usize = 64;

/// All groups.
pub(super) struct Groups<'a> {
    hierarchy: &'a Hierarchy,
    naming: Naming,
    rows: Rows,
    followed: Followed,
    /// What the last look at containers has found.
    findings: HashMap<GroupKey, BTreeMap<&'static str, Severity>>,
    /// Cgroups that were born since the agent began.
    born: HashSet<String>,
    /// On-CPU, run-queue and other figures by slot that a cgroup only has when somebody does something in it.
    busy_ns: HashMap<u32, u64>,
}

impl From<&CorePlan> for Limits {
    fn from(plan: &CorePlan) -> Self {
        Self {
            rows: plan.max_groups,
            culprits: plan.top_culprits,
            linger: plan.linger,
        }
    }
}

impl<'a> Groups<'a> {
    pub(super) fn new(plan: &CorePlan, hierarchy: &'a Hierarchy, containers: Containers) -> Self {
        Self {
            hierarchy,
            naming: Naming::new(plan.grouping, hierarchy.clone(), containers),
            rows: Rows::new(Limits::from(plan)),
            followed: Followed::default(),
            findings: HashMap::new(),
            born: HashSet::new(),
            busy_ns: HashMap::new(),
        }
    }

    /// A cgroup was born: its runtime's files can be read now, and later perhaps not any more.
    pub(super) fn born(&mut self, path: &str) {
        self.naming.of(path);
        self.born.insert(path.to_owned());
    }

    /// A look at containers has found this, and nothing else any more.
    pub(super) fn found(&mut self, found: Vec<Found>) {
        self.findings.clear();
        for Found { cgroup, findings } in found {
            let key = self.naming.of(&cgroup).key.clone();
            let of_row = self.findings.entry(key).or_default();
            for (rule, severity) in findings {
                let known = of_row.entry(rule).or_insert(severity);
                *known = severity.max(*known);
            }
        }
    }

    /// Looks for names that have come or changed.
    pub(super) fn refresh(&mut self) {
        for (before, now) in self.naming.refresh() {
            self.rows.rename(&before, &now);
        }
    }

    /// Rows are as many, and as long, as this says, and told apart in this way.
    pub(super) fn reload(&mut self, plan: &CorePlan) {
        self.rows.limit(Limits::from(plan));
        if self.naming.regroup(plan.grouping) {
            self.rows.regroup();
            // They are of other rows.
            self.findings.clear();
        }
    }

    /// Takes over what the kernel half has of cgroups that are gone.
    pub(super) fn retire(&mut self, retirement: &Retirement, watch: &WatchList) {
        let paths: HashMap<u32, &str> = retirement
            .cgroups
            .iter()
            .map(|it| (it.slot, it.path.as_str()))
            .collect();
        let naming = &mut self.naming;
        self.rows.retire(retirement, |slot| {
            let named = match paths.get(&slot) {
                Some(path) => naming.of(path),
                None => named(naming, slot, watch)?,
            };
            Some(Arc::clone(&named))
        });
        for cgroup in &retirement.cgroups {
            self.naming.forget(&cgroup.path);
            self.born.remove(&cgroup.path);
            self.busy_ns.remove(&cgroup.slot);
        }
    }

    /// The rows of now.
    pub(super) fn read(&mut self, now: &Settled<'_>, watch: &WatchList) -> Reading {
        let at = Instant::now();
        self.rows.begin(Tells {
            throttled: now.ledger.tells_throttled,
            reasons: now.ledger.tells_reasons,
        });
        let mut active = HashSet::new();
        for slot in watch.every_slot() {
            let figures = now.ledger.slots.get(&slot);
            let threads = now.threads.get(&slot).copied();
            if figures.is_none() && threads.is_none() {
                continue;
            }
            let Some(named) = named(&mut self.naming, slot, watch) else {
                continue;
            };
            self.rows
                .bind(slot, &named, !watch.is_gone(slot), threads.map(u64::from));
            if let Some(figures) = figures {
                self.rows.figures(slot, figures);
                let busy = busy_ns(&figures.account);
                if self.busy_ns.insert(slot, busy) != Some(busy)
                    && let Some(path) = watch.path(slot)
                {
                    // Where one is known, those above it are.
                    let _ = ancestors(path).find(|path| !active.insert(*path));
                }
            }
        }
        self.rows.delays(&now.ledger.delays);
        self.rows.counted(&now.raw);
        self.rows.settle(at);
        let mut quotas = self.read_files(&active, at);
        let mut groups = self.groups(&mut quotas);
        self.add_counted(&mut groups);
        let total_ns = self.total(&groups);
        groups.sort_by(|a, b| a.key.cmp(&b.key));
        Reading {
            groups,
            total_ns,
            groups_ended: self.rows.ended(),
            groups_refused: self.rows.refused(),
            ..Reading::default()
        }
    }

    /// Adds to rows what the kernel has counted for their cgroups; the quotas of these cgroups and of those above.
    fn read_files(
        &mut self,
        active: &HashSet<&str>,
        at: Instant,
    ) -> HashMap<Arc<str>, Option<f64>> {
        let mut asked: HashMap<Arc<str>, Asked> = HashMap::new();
        let mut followed: Vec<(RowId, Vec<Arc<str>>)> = Vec::new();
        for (id, row) in self.rows.iter() {
            if row.key.fixed == Some(Fixed::Other) || row.holders.len() > MOST_FOLLOWED {
                continue;
            }
            for path in &row.holders {
                let counters = self.followed.is_due(path, active.contains(&**path), at);
                asked.insert(Arc::clone(path), Asked { counters });
            }
            followed.push((id, row.holders.iter().cloned().collect()));
        }
        let files = cgroup_files::read(self.hierarchy, &self.born, asked);
        let mut increases = HashMap::new();
        let mut quotas = HashMap::new();
        for (path, Files { quota, reported }) in files {
            increases.insert(
                Arc::clone(&path),
                self.followed.advance(&path, reported, at),
            );
            quotas.insert(path, quota);
        }
        for (id, paths) in followed {
            let Some(row) = self.rows.get_mut(id) else {
                continue;
            };
            for increase in paths.iter().filter_map(|path| increases.get(path)) {
                increase.add_to(&mut row.cfs, &mut row.measured);
            }
        }
        self.followed.keep_only(|path| increases.contains_key(path));
        quotas
    }

    fn groups(&mut self, quotas: &mut HashMap<Arc<str>, Option<f64>>) -> Vec<Group> {
        let ids: Vec<RowId> = self.rows.iter().map(|(id, _)| id).collect();
        let mut groups = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(Sums {
                time_ns,
                ledger,
                delayed_by,
            }) = self.rows.sums(id)
            else {
                continue;
            };
            let Some(row) = self.rows.get_mut(id) else {
                continue;
            };
            let mut holders = row.holders.iter();
            let quota = match (holders.next(), holders.next()) {
                (Some(path), None) => quota(self.hierarchy, path, quotas),
                _ => None,
            };
            let findings = self.findings.get(&row.key).into_iter().flatten();
            groups.push(Group {
                key: row.key.clone(),
                alive: row.alive,
                figures: Container {
                    identity: match row.key.fixed {
                        Some(Fixed::Other) => fixed_identity(Fixed::Other),
                        _ => row.identity.clone(),
                    },
                    cpu_quota_cores: quota,
                    threads: row.threads,
                    time_ns,
                    ledger: Some(ledger),
                    measured: row.measured.clone(),
                    cfs: row.cfs,
                    ..Container::default()
                },
                delayed_by,
                findings: findings
                    .map(|(rule, severity)| (*rule, severity.name()))
                    .collect(),
            });
        }
        groups
    }

    /// `groups` are in the order of the rows.
    fn add_counted(&self, groups: &mut [Group]) {
        let mut containers: Vec<Container> = groups.iter().map(|_| Container::default()).collect();
        self.rows.fold(&mut containers);
        for (group, container) in groups.iter_mut().zip(containers) {
            group.figures.measured.fill_in(container.measured);
        }
    }

    fn total(&self, groups: &[Group]) -> BTreeMap<State, u64> {
        let mut total = self.rows.gone_ns().clone();
        for (state, ns) in groups.iter().flat_map(|group| &group.figures.time_ns) {
            *total.entry(*state).or_default() += ns;
        }
        total
    }
}

/// The row of a slot; `None` for a slot that nobody knows.
fn named(naming: &mut Naming, slot: u32, watch: &WatchList) -> Option<Arc<Named>> {
    match slot {
        SLOT_HOST => Some(naming.fixed(Fixed::Host)),
        SLOT_KERNEL => Some(naming.fixed(Fixed::Kernel)),
        _ => watch.path(slot).map(|path| naming.of(path)),
    }
}

/// Time in which the kernel may have counted something for the cgroup: threads ran, could have, or waited for a disk or for
/// memory. It stands still while all of them sleep, whatever for.
fn busy_ns(account: &Account) -> u64 {
    use ctprof_ebpf::abi::ledger::reason::{DISK, FAULT, OTHER};
    let blocked = [DISK, FAULT, OTHER].map(|reason| state::BLOCKED + reason as usize);
    let busy = [state::ON_CPU, state::RUN_QUEUE, state::THROTTLED];
    let states = busy.into_iter().chain(blocked);
    states.fold(0, |sum, state| sum.wrapping_add(account.time_ns[state]))
}

/// The least of the cgroup's own quota and those above it. Rows share the directories above them.
fn quota(
    hierarchy: &Hierarchy,
    path: &str,
    known: &mut HashMap<Arc<str>, Option<f64>>,
) -> Option<f64> {
    ancestors(path)
        .filter_map(|path| match known.get(path) {
            Some(known) => *known,
            None => {
                let own = hierarchy.own_quota_cores(path);
                known.insert(Arc::from(path), own);
                own
            }
        })
        .min_by(f64::total_cmp)
}
