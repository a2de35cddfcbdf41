//! Which cgroup has which slot.

use std::collections::{BTreeMap, HashSet};

use ctprof_ebpf::abi::scope::{SLOT_FIRST, SLOT_FIRST_BORN};

use crate::Result;
use crate::bpf::ScopeMap;
use crate::host::cgroup::Hierarchy;

/// Every watched cgroup by its slot; those that are gone stay, because samples refer to them.
#[derive(Debug, Default)]
pub struct WatchList {
    paths: BTreeMap<u32, String>,
    ids: HashSet<u64>,
    given: u32,
    unwatched: u64,
}

impl WatchList {
    /// Watches every cgroup at or below `roots`.
    ///
    /// Births have to be attached before. A child made after its parent was entered is then entered by the
    /// kernel half, one made before is in the listing that follows: so listings repeat until one brings
    /// nothing new, and no cgroup falls between the two.
    ///
    /// # Errors
    /// The hierarchy or the scope map cannot be used.
    pub fn fill(
        &mut self,
        scope: &mut ScopeMap,
        hierarchy: &Hierarchy,
        roots: &[String],
    ) -> Result<()> {
        loop {
            let before = self.ids.len();
            for root in roots {
                for cgroup in hierarchy.walk(root)? {
                    if self.ids.insert(cgroup.id) {
                        self.watch(scope, cgroup.id, cgroup.path)?;
                    }
                }
            }
            if self.ids.len() == before {
                return Ok(());
            }
        }
    }

    fn watch(&mut self, scope: &mut ScopeMap, id: u64, path: String) -> Result<()> {
        let slot = SLOT_FIRST + self.given;
        if slot >= SLOT_FIRST_BORN {
            self.unwatched += 1;
            return Ok(());
        }
        let slot_now = scope.watch(id, slot)?;
        self.given += u32::from(slot_now == slot);
        self.paths.insert(slot_now, path);
        Ok(())
    }

    /// The kernel half has entered a newborn cgroup.
    pub fn born(&mut self, id: u64, slot: u32, path: String) {
        self.ids.insert(id);
        self.paths.insert(slot, path);
    }

    /// Every slot with its cgroup's path.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.paths.iter().map(|(slot, path)| (*slot, path.as_str()))
    }

    /// Cgroups that found no free slot: what they do counts as the host's.
    #[must_use]
    pub const fn unwatched(&self) -> u64 {
        self.unwatched
    }
}
