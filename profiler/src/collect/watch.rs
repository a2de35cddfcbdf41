//! Which cgroup has which slot.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use ctprof_ebpf::abi::scope::{AUTOGROUP, RECORDED, SLOT_FIRST, slot};

use crate::Result;
use crate::bpf::ScopeMap;
use crate::host::cgroup::{Hierarchy, is_at_or_below};

/// Slots for cgroups that appear between counting them and watching them, and for those whose births go unnoticed.
const SPARE: u32 = 64;
/// The same where the host's whole life is still to come: an agent may start while many containers do.
const SPARE_ENDLESS: u32 = 1_024;
/// Least slots for cgroups born while recording.
const LEAST_BORN: u32 = 2_048;
/// Most slots: 4,096 containers with a pod or inner cgroup each, and as many again that come while recording.
const MOST: u32 = 16_384;

/// How a recording goes on for as long as the host does: slots of cgroups that are gone are given to others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Endless {
    /// Slots for cgroups that are born meanwhile; `None` for as many as fit.
    pub born_slots: Option<u32>,
}

/// Every known cgroup by its slot; those that are gone stay, because samples refer to them.
#[derive(Debug, Default)]
pub struct WatchList {
    roots: Option<Vec<String>>,
    first_born: u32,
    /// Slots for cgroups born while recording, if not as many as fit.
    born: Option<u32>,
    paths: BTreeMap<u32, String>,
    /// Cgroup ids; 0 as the slot where there was none free.
    ids: HashMap<u64, u32>,
    /// Cgroups that are gone, by slot.
    gone: BTreeMap<u32, (u64, Instant)>,
    given: u32,
    unwatched: u64,
}

impl WatchList {
    /// A list for a host with so many cgroups; `roots` are recorded with all below them, `None` is everything.
    #[must_use]
    pub fn new(cgroups: usize, roots: Option<&[String]>, endless: Option<Endless>) -> Self {
        let cgroups = u32::try_from(cgroups).unwrap_or(u32::MAX);
        let spare = endless.map_or(SPARE, |_| SPARE_ENDLESS);
        Self {
            roots: roots.map(<[String]>::to_vec),
            first_born: SLOT_FIRST + cgroups.saturating_add(spare).min(MOST - LEAST_BORN),
            born: endless.and_then(|endless| endless.born_slots),
            ..Self::default()
        }
    }

    /// The first slot for a cgroup born while recording, and slots in all.
    #[must_use]
    pub fn slots(&self) -> (u32, u32) {
        let most = (MOST - self.first_born).max(LEAST_BORN);
        let fitting = self.first_born.clamp(LEAST_BORN, most);
        let born = self.born.unwrap_or(fitting).min(fitting);
        (self.first_born, self.first_born + born)
    }

    /// Whether what happens in this cgroup is recorded.
    #[must_use]
    pub fn is_recorded(&self, path: &str) -> bool {
        self.roots
            .as_ref()
            .is_none_or(|roots| roots.iter().any(|root| is_at_or_below(path, root)))
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
        loop {
            let before = self.ids.len();
            for cgroup in hierarchy.walk("/")? {
                if !self.ids.contains_key(&cgroup.id) {
                    self.watch(scope, cgroup.id, cgroup.path)?;
                }
            }
            if self.ids.len() == before {
                return Ok(());
            }
        }
    }

    fn watch(&mut self, scope: &mut ScopeMap, id: u64, path: String) -> Result<()> {
        let free = SLOT_FIRST + self.given;
        if free >= self.first_born {
            self.unwatched += 1;
            self.ids.insert(id, 0);
            return Ok(());
        }
        let flags = if self.is_recorded(&path) { RECORDED } else { 0 };
        let slot_now = slot(scope.watch(id, free | flags)?);
        if path == "/" {
            // The kernel takes a thread out of its autogroup when it exits: it is to be in the same slot still.
            scope.watch(AUTOGROUP, slot_now | flags)?;
        }
        self.given += u32::from(slot_now == free);
        self.ids.insert(id, slot_now);
        self.paths.insert(slot_now, path);
        Ok(())
    }

    /// The kernel half has entered a newborn cgroup.
    pub fn born(&mut self, id: u64, slot: u32, path: String) {
        self.ids.insert(id, slot);
        self.paths.insert(slot, path);
    }

    /// The cgroup was removed.
    pub fn gone(&mut self, id: u64) {
        if let Some(slot) = self.ids.get(&id).copied().filter(|slot| *slot != 0) {
            self.gone
                .entry(slot)
                .or_insert_with(|| (id, Instant::now()));
        }
    }

    /// Whether the cgroup of this slot was removed.
    #[must_use]
    pub fn is_gone(&self, slot: u32) -> bool {
        self.gone.contains_key(&slot)
    }

    /// Whether any cgroup was removed.
    #[must_use]
    pub fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Slots whose cgroups were removed at least this long ago.
    pub fn gone_for(&self, quiet: Duration) -> impl Iterator<Item = u32> {
        self.gone
            .iter()
            .filter(move |(_, (_, since))| since.elapsed() >= quiet)
            .map(|(slot, _)| *slot)
    }

    /// Forgets a removed cgroup: its id and path.
    pub fn forget(&mut self, slot: u32) -> Option<(u64, String)> {
        let (id, _) = self.gone.remove(&slot)?;
        self.ids.remove(&id);
        Some((id, self.paths.remove(&slot)?))
    }

    /// Finds out which cgroups were removed without a notice, from all that there are now.
    pub fn keep_only(&mut self, existing: impl IntoIterator<Item = u64>) {
        let existing: std::collections::HashSet<u64> = existing.into_iter().collect();
        let missing: Vec<u64> = self
            .ids
            .iter()
            .filter(|(id, _)| !existing.contains(id))
            .map(|(id, _)| *id)
            .collect();
        for id in missing {
            if self.ids.get(&id) == Some(&0) {
                self.ids.remove(&id);
            }
            self.gone(id);
        }
    }

    /// The cgroup's path of a slot.
    #[must_use]
    pub fn path(&self, slot: u32) -> Option<&str> {
        self.paths.get(&slot).map(String::as_str)
    }

    /// Every slot with its cgroup's path.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.paths.iter().map(|(slot, path)| (*slot, path.as_str()))
    }

    /// Every recorded slot with its cgroup's path.
    pub fn recorded(&self) -> impl Iterator<Item = (u32, &str)> {
        self.iter().filter(|(_, path)| self.is_recorded(path))
    }

    /// Cgroups that found no free slot: what they do counts as the host's.
    #[must_use]
    pub const fn unwatched(&self) -> u64 {
        self.unwatched
    }
}
