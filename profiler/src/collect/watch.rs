//! Which cgroup has which slot.
//!
//! How many cgroups there are is up to others: whoever has been delegated one can create any number below it. So a
//! container's cgroups, or a user's, get no more slots than their share. A cgroup without a slot counts as the nearest
//! one above that has one: that is the kernel half's rule, and nothing has to be remembered of it here but its id.

mod chosen;
mod gone;

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use ctprof_ebpf::abi::scope::{
    AUTOGROUP, RECORDED, SHARED, SLOT_FIRST, SLOT_HOST, SLOT_KERNEL, slot,
};

use super::shares::{Shares, size};
use crate::Result;
use crate::bpf::{ScopeMap, Slots};
use crate::host::cgroup::{Cgroup, Hierarchy};
use crate::host::containers::ProcessPath;
use crate::host::containers::pattern::subtree;
use crate::target::Resolved;

/// How a recording goes on for as long as the host does: slots of cgroups that are gone are given to others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Endless {
    /// Slots for cgroups that are born meanwhile; `None` for as many as fit.
    pub born_slots: Option<u32>,
}

/// Why a cgroup has no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is none left.
    Full,
    /// Its subtree has its share.
    Share,
}

/// Every known cgroup by its slot; those that are gone stay, because samples refer to them.
#[derive(Clone, Debug)]
pub struct WatchList {
    roots: Option<Vec<String>>,
    slots: Slots,
    /// Id of a chosen process, and what stands for its path, by slot.
    processes: BTreeMap<u32, (u32, String)>,
    /// Id and path, by slot.
    cgroups: BTreeMap<u32, (u64, String)>,
    ids: HashMap<u64, u32>,
    shares: Shares,
    /// Cgroups without a slot.
    refused: HashMap<u64, Refused>,
    /// Cgroups that are gone, by slot, and since when.
    gone: BTreeMap<u32, Instant>,
    given: u32,
}

impl WatchList {
    /// A list for a host with these cgroups, of which the targets are recorded.
    #[must_use]
    pub fn new(cgroups: &[Cgroup], targets: &Resolved, endless: Option<Endless>) -> Self {
        let roots = targets.roots.iter().map(|root| root.cgroup.clone());
        Self {
            roots: (!targets.is_everything()).then(|| roots.collect()),
            slots: size(cgroups, targets.processes.len(), endless),
            processes: BTreeMap::new(),
            cgroups: BTreeMap::new(),
            ids: HashMap::new(),
            shares: Shares::default(),
            refused: HashMap::new(),
            gone: BTreeMap::new(),
            given: 0,
        }
    }

    /// The same cgroups, of which others are recorded.
    #[must_use]
    pub(super) fn of_roots(&self, roots: Option<Vec<String>>) -> Self {
        Self {
            roots,
            ..self.clone()
        }
    }

    /// How many slots there are.
    #[must_use]
    pub const fn slots(&self) -> Slots {
        self.slots
    }

    /// Watches every cgroup of the hierarchy: those that are not recorded may be why others wait.
    ///
    /// Births have to be attached before. A child made after its parent was entered is then entered by the
    /// kernel half, one made before is in the listing that follows: so listings repeat until one brings
    /// nothing new, and no cgroup falls between the two.
    ///
    /// # Errors
    /// The hierarchy or the scope map cannot be used.
    pub fn fill(&mut self, scope: &mut ScopeMap, hierarchy: &Hierarchy) -> Result<()> {
        while self.list(scope, &hierarchy.walk("/")?, || None)? > 0 {}
        Ok(())
    }

    /// Watches those of these cgroups that are not watched yet, as far as there are slots: unused ones, then those that
    /// `freed` hands over. How many have a slot now that had none.
    ///
    /// # Errors
    /// The scope map cannot be used.
    pub fn list(
        &mut self,
        scope: &mut ScopeMap,
        cgroups: &[Cgroup],
        mut freed: impl FnMut() -> Option<u32>,
    ) -> Result<usize> {
        let mut new = 0;
        for Cgroup { id, path } in cgroups {
            if self.ids.contains_key(id) {
                continue;
            }
            if self.watch(scope, *id, path, &mut freed)? {
                new += 1;
            }
        }
        Ok(new)
    }

    /// Whether the cgroup has a slot now.
    fn watch(
        &mut self,
        scope: &mut ScopeMap,
        id: u64,
        path: &str,
        freed: &mut impl FnMut() -> Option<u32>,
    ) -> Result<bool> {
        let place = match self.shares.place(path) {
            Ok(place) => place,
            Err(refused) => return self.adopted_or(scope, id, path, refused),
        };
        let unused = SLOT_FIRST + self.given;
        let is_unused = unused < self.slots.first_born;
        let Some(free) = is_unused
            .then_some(unused)
            .or_else(|| self.shares.spare.pop())
            .or_else(freed)
        else {
            return self.adopted_or(scope, id, path, Refused::Full);
        };
        let is_directory = subtree(path).is_none();
        let flags = if self.is_recorded(path) { RECORDED } else { 0 }
            | if is_directory { SHARED } else { 0 };
        let now = slot(scope.watch(id, free | flags, place)?);
        if now != free {
            // The kernel half was first.
            self.born(scope, id, now, path.to_owned())?;
            if !is_unused {
                // Not given away after all: kept for the next one.
                self.shares.spare.push(free);
            }
            return Ok(true);
        }
        if path == "/" {
            // The kernel takes a thread out of its autogroup when it exits: it is to be in the same slot still.
            scope.watch(AUTOGROUP, now | flags, None)?;
        }
        self.given += u32::from(is_unused);
        self.shares.listed(id, now, path);
        self.enter(id, now, path.to_owned());
        Ok(true)
    }

    /// The kernel half may have given it a slot, without a notice of it.
    fn adopted_or(
        &mut self,
        scope: &mut ScopeMap,
        id: u64,
        path: &str,
        refused: Refused,
    ) -> Result<bool> {
        let Some(value) = scope.value(id) else {
            self.refused.insert(id, refused);
            return Ok(false);
        };
        self.born(scope, id, slot(value), path.to_owned())?;
        Ok(true)
    }

    fn enter(&mut self, id: u64, slot: u32, path: String) {
        self.refused.remove(&id);
        self.ids.insert(id, slot);
        self.cgroups.insert(slot, (id, path));
    }

    /// The kernel half has entered a newborn cgroup.
    ///
    /// True if it is recorded only from now on: the one above was not yet when it was born.
    ///
    /// # Errors
    /// The scope map cannot be used.
    pub fn born(&mut self, scope: &mut ScopeMap, id: u64, slot: u32, path: String) -> Result<bool> {
        if self.ids.get(&id) == Some(&slot) {
            return Ok(false);
        }
        let is_late = self.is_recorded(&path) && scope.record(id)?;
        if subtree(&path).is_none() {
            scope.share(id);
        }
        let charged = scope.subtree(slot)?;
        if self
            .shares
            .born(id, slot, &path, charged, self.id_of(charged))
        {
            // The kernel half knows no names: it took a container for a part of the cgroup above.
            scope.set_subtree(slot, slot)?;
            scope.give_back(charged)?;
        }
        self.enter(id, slot, path);
        Ok(is_late)
    }

    fn id_of(&self, slot: u32) -> Option<u64> {
        self.cgroups.get(&slot).map(|(id, _)| *id)
    }

    /// The cgroup's path of a slot, or what stands for it.
    #[must_use]
    pub fn path(&self, slot: u32) -> Option<&str> {
        let cgroup = self.cgroups.get(&slot).map(|(_, path)| path);
        cgroup
            .or_else(|| self.processes.get(&slot).map(|(_, path)| path))
            .map(String::as_str)
    }

    /// Every slot with its cgroup's path, or what stands for it.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        let cgroups = self.cgroups.iter();
        let processes = self.processes.iter();
        cgroups
            .map(|(slot, (_, path))| (*slot, path.as_str()))
            .chain(processes.map(|(slot, (_, path))| (*slot, path.as_str())))
    }

    /// Every slot, those of `host` and `kernel` among them.
    pub fn every_slot(&self) -> impl Iterator<Item = u32> {
        let watched = self.iter().map(|(slot, _)| slot);
        [SLOT_HOST, SLOT_KERNEL].into_iter().chain(watched)
    }

    /// Every recorded slot with its cgroup's path, or what stands for it.
    pub fn recorded(&self) -> impl Iterator<Item = (u32, &str)> {
        self.iter()
            .filter(|(_, path)| ProcessPath::is(path) || self.is_recorded(path))
    }

    /// Known cgroups that have no slot for this reason: what they do counts for the one above.
    #[must_use]
    pub fn refused(&self, reason: Refused) -> u64 {
        self.refused.values().filter(|it| **it == reason).count() as u64
    }

    /// Whether any known cgroup has no slot.
    #[must_use]
    pub fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }
}
