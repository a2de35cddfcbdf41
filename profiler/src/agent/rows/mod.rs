//! The rows of a reading, as sums that only grow.
//!
//! The kernel half counts by slot. A reading adds to each row what is new of its slots since the last reading, whichever
//! row they belonged to then: a slot may change its row (a container that is renamed, a limit that is no longer reached)
//! and no row has less than before. A row that was shown keeps what it has until it disappears; it then counts among
//! those that are gone, and one that comes later under its labels begins at 0.
//!
//! - `seen`: what was read last
//! - `figures`: sums of a slot or a row
//! - `row`: one row
//! - `culprits`: who delayed it
//! - `feed`: gives rows what is new

mod culprits;
mod feed;
mod figures;
mod row;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

pub(super) use self::row::Row;
use crate::model::{Container, Delayer, Fixed, GroupKey, Ledger, State};
use crate::views::{self, Kept};
use culprits::Who;
use seen::Seen;

/// A row; no later one has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RowId(u64);

/// How many rows there are, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Most rows; those beyond count as `other`.
    pub(super) rows: usize,
    /// Culprits that each row names; the others are summed up.
    pub(super) culprits: usize,
    /// How long a row that ended stays, at least; it is always in one reading.
    pub(super) linger: Duration,
}

/// What the kernel half can tell apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tells {
    /// Throttled time from run-queue time.
    pub(super) throttled: bool,
    /// The reason of a sleep.
    pub(super) reasons: bool,
}

impl Tells {
    fn states(self) -> impl Iterator<Item = State> {
        State::ALL.into_iter().filter(move |state| match state {
            State::Throttled => self.throttled,
            State::OnCpuUser | State::OnCpuKernel | State::RunQueue | State::BlockedOther => true,
            _ => self.reasons,
        })
    }
}

/// What a row has come to.
#[derive(Debug)]
pub(super) struct Sums {
    pub(super) time_ns: BTreeMap<State, u64>,
    pub(super) ledger: Ledger,
    pub(super) delayed_by: Vec<(Delayer, u64)>,
}

/// All rows.
#[derive(Debug)]
pub(super) struct Rows {
    rows: BTreeMap<RowId, Row>,
    ids: HashMap<GroupKey, RowId>,
    /// How a row is called as a culprit, and whose name that is.
    names: HashMap<RowId, String>,
    owners_of_names: HashMap<String, RowId>,
    seen: Seen,
    /// What was counted for views.
    views: Vec<Box<dyn Kept>>,
    next: u64,
    limits: Limits,
    tells: Tells,
    /// Rows of each slot that is in use, as of this reading.
    slots: HashMap<u32, RowId>,
    /// When rows were settled last.
    settled: Option<Instant>,
    all_ticks: (u64, u64),
    /// Time of rows that are not there any more.
    gone_ns: BTreeMap<State, u64>,
    ended: u64,
    refused: BTreeSet<GroupKey>,
    refused_ever: u64,
    /// Rows without a member are of another grouping.
    is_regrouped: bool,
}

impl Rows {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            rows: BTreeMap::new(),
            ids: HashMap::new(),
            names: HashMap::new(),
            owners_of_names: HashMap::new(),
            seen: Seen::default(),
            views: views::kept().collect(),
            next: 0,
            limits,
            tells: Tells::default(),
            slots: HashMap::new(),
            settled: None,
            all_ticks: (0, 0),
            gone_ns: BTreeMap::new(),
            ended: 0,
            refused: BTreeSet::new(),
            refused_ever: 0,
            is_regrouped: false,
        }
    }

    /// Other limits from now on. Rows that are there stay.
    pub(super) const fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Rows are told apart in another way from now on.
    pub(super) const fn regroup(&mut self) {
        self.is_regrouped = true;
    }

    /// A row has another key from now on. If it was in a reading it stays, and ends: its series would otherwise go on under
    /// other labels, where what they counted before looks like new.
    pub(super) fn rename(&mut self, before: &GroupKey, now: &GroupKey) {
        let Some(id) = self.ids.get(before).copied() else {
            return;
        };
        if self.rows.get(&id).is_none_or(|row| row.shown) {
            return;
        }
        let Some(row) = self.remove(id) else {
            return;
        };
        let before = id;
        let id = self.admit(now);
        if let Some(into) = self.rows.get_mut(&id) {
            into.absorb(row, self.limits.culprits);
        }
        for view in &mut self.views {
            view.merge(before.0, id.0);
        }
        self.forget_culprits();
    }

    /// The row of a key: its own, or `other` where there are too many.
    fn admit(&mut self, key: &GroupKey) -> RowId {
        if let Some(id) = self.ids.get(key) {
            return *id;
        }
        let other = GroupKey::fixed(Fixed::Other);
        let others = usize::from(self.ids.contains_key(&other));
        if self.rows.len() - others < self.limits.rows {
            return self.create(key.clone());
        }
        if self.refused.insert(key.clone()) {
            self.refused_ever += 1;
        }
        // What was refused is remembered only to count it once.
        if self.refused.len() > self.limits.rows {
            self.refused.clear();
        }
        match self.ids.get(&other) {
            Some(id) => *id,
            None => self.create(other),
        }
    }

    fn create(&mut self, key: GroupKey) -> RowId {
        let id = RowId(self.next);
        self.next += 1;
        let mut name = key.full_name().into_owned();
        if self.owners_of_names.contains_key(&name) {
            // What its parts are glued to is another's name.
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            name = format!("{name}~{:08x}", hasher.finish() as u32);
        }
        self.owners_of_names.insert(name.clone(), id);
        self.names.insert(id, name);
        self.ids.insert(key.clone(), id);
        self.rows.insert(id, Row::new(key));
        id
    }

    fn remove(&mut self, id: RowId) -> Option<Row> {
        let row = self.rows.remove(&id)?;
        self.ids.remove(&row.key);
        if let Some(name) = self.names.remove(&id)
            && self.owners_of_names.get(&name) == Some(&id)
        {
            self.owners_of_names.remove(&name);
        }
        Some(row)
    }

    fn forget_culprits(&mut self) {
        let names = &self.names;
        for row in self.rows.values_mut() {
            row.culprits.forget(|id| !names.contains_key(&id));
        }
    }

    /// All that is new has been added: rows that ended, have been shown since and are of no more use are not there any
    /// more.
    pub(super) fn settle(&mut self, now: Instant) {
        let elapsed = self.settled.map_or(Duration::ZERO, |then| now - then);
        self.settled = Some(now);
        let ticks = self.rows.values().map(Row::ticks);
        self.all_ticks = ticks.fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1));
        let is_regrouped = std::mem::take(&mut self.is_regrouped);
        let mut over = Vec::new();
        for (id, row) in &mut self.rows {
            match (row.alive, row.ended) {
                (true, _) => row.ended = None,
                (false, None) => row.ended = Some(now),
                (false, Some(_)) => {}
            }
            let lingers = row.ended.is_none_or(|it| now - it < self.limits.linger);
            let is_over = !row.occupied && !row.is_new && !lingers;
            let is_of_another_grouping = !row.occupied && is_regrouped;
            if (is_over || is_of_another_grouping) && row.key.fixed != Some(Fixed::Other) {
                over.push(*id);
            }
        }
        for id in &over {
            let Some(mut row) = self.remove(*id) else {
                continue;
            };
            for view in &mut self.views {
                view.remove(id.0);
            }
            self.ended += 1;
            for (state, ns) in row.time_ns(self.tells, self.all_ticks) {
                *self.gone_ns.entry(state).or_default() += ns;
            }
        }
        if !over.is_empty() {
            self.forget_culprits();
        }
        for row in self.rows.values_mut() {
            (row.shown, row.is_new) = (true, false);
            let waited_ns = row.waited_ns();
            row.culprits
                .settle(waited_ns, elapsed, self.limits.culprits);
        }
    }

    /// Every row, after [`settle`](Self::settle).
    pub(super) fn iter(&self) -> impl Iterator<Item = (RowId, &Row)> {
        self.rows.iter().map(|(id, row)| (*id, row))
    }

    /// A row.
    pub(super) fn get_mut(&mut self, id: RowId) -> Option<&mut Row> {
        self.rows.get_mut(&id)
    }

    /// What a row has come to.
    pub(super) fn sums(&mut self, id: RowId) -> Option<Sums> {
        let row = self.rows.get_mut(&id)?;
        let told = row.culprits.told().filter_map(|(who, ns)| {
            let delayer = match who {
                Who::Siblings => Delayer::Siblings,
                Who::Host => Delayer::Host,
                Who::Kernel => Delayer::Kernel,
                Who::Idle => Delayer::Idle,
                Who::Row(id) => Delayer::Row(self.names.get(&id)?.clone()),
                Who::Other => Delayer::Other,
                Who::Former => Delayer::Former,
            };
            Some((delayer, ns))
        });
        let mut delayed_by: Vec<(Delayer, u64)> = told.collect();
        delayed_by.sort_by(|(a, a_ns), (b, b_ns)| {
            let is_last = |it: &Delayer| matches!(it, Delayer::Other | Delayer::Former);
            (is_last(a), b_ns, a).cmp(&(is_last(b), a_ns, b))
        });
        Some(Sums {
            time_ns: row.time_ns(self.tells, self.all_ticks),
            ledger: row.ledger(),
            delayed_by,
        })
    }

    /// Gives containers what was counted for views; they are in the order of [`iter`](Self::iter).
    pub(super) fn fold(&self, containers: &mut [Container]) {
        let places = self.rows.keys().map(|id| id.0).zip(0..).collect();
        for view in &self.views {
            view.fold(&places, containers);
        }
    }

    /// Time of rows that are not there any more.
    pub(super) const fn gone_ns(&self) -> &BTreeMap<State, u64> {
        &self.gone_ns
    }

    /// Rows that are not there any more.
    pub(super) const fn ended(&self) -> u64 {
        self.ended
    }

    /// Rows that found the limit reached.
    pub(super) const fn refused(&self) -> u64 {
        self.refused_ever
    }

    /// How much is remembered, in entries of whatever kind.
    #[cfg(test)]
    fn len(&self) -> usize {
        let of_rows = self.rows.values().map(|it| it.culprits.len());
        let of_views: usize = self.views.iter().map(|it| it.entries()).sum();
        let names = self.names.len() + self.owners_of_names.len() + self.ids.len();
        let others = self.slots.len() + self.refused.len() + self.seen.len() + of_views;
        self.rows.len() + of_rows.sum::<usize>() + names + others
    }
}
