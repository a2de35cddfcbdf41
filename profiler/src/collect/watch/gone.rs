//! Cgroups that are gone: their slots are kept until nothing refers to them, and given to others then.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use ctprof_ebpf::abi::scope::slot;

use super::WatchList;
use crate::Result;
use crate::bpf::ScopeMap;
use crate::host::cgroup::Cgroup;

impl WatchList {
    /// The cgroup was removed.
    pub fn gone(&mut self, id: u64) {
        self.refused.remove(&id);
        if let Some(slot) = self.ids.get(&id) {
            self.gone.entry(*slot).or_insert_with(Instant::now);
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
            .filter(move |(_, since)| since.elapsed() >= quiet)
            .map(|(slot, _)| *slot)
    }

    /// Forgets a removed cgroup, and frees its part of a share; its path.
    ///
    /// # Errors
    /// The scope map cannot be used.
    pub fn forget(&mut self, scope: &mut ScopeMap, slot: u32) -> Result<Option<String>> {
        if self.gone.remove(&slot).is_none() {
            return Ok(None);
        }
        let Some((id, path)) = self.cgroups.remove(&slot) else {
            return Ok(None);
        };
        self.ids.remove(&id);
        scope.forget(id);
        if let Some((subtree, subtree_id)) = self.shares.forget(id, &path)
            && self.id_of(subtree) == Some(subtree_id)
        {
            scope.give_back(subtree)?;
        }
        scope.clear_share(slot)?;
        Ok(Some(path))
    }

    /// Finds out which cgroups were removed without a notice, from all that there are now, and which of those that had a
    /// slot `before` that listing were even born without one.
    ///
    /// # Errors
    /// The scope map cannot be used.
    pub fn keep_only(
        &mut self,
        scope: &ScopeMap,
        before: &[(u64, u32)],
        existing: &[Cgroup],
    ) -> Result<()> {
        let existing: HashSet<u64> = existing.iter().map(|it| it.id).collect();
        for (id, value) in before {
            if !existing.contains(id) && !self.ids.contains_key(id) {
                // Its path is not known any more, but whose it was.
                let slot = slot(*value);
                let above = scope.subtree(slot)?;
                let path = self.path(above).unwrap_or("/").to_owned();
                if let Some(above_id) = self.id_of(above) {
                    self.shares.charged(*id, above, above_id);
                }
                self.enter(*id, slot, path);
            }
        }
        self.refused.retain(|id, _| existing.contains(id));
        let missing: Vec<u64> = self
            .ids
            .keys()
            .filter(|id| !existing.contains(id))
            .copied()
            .collect();
        for id in missing {
            self.gone(id);
        }
        Ok(())
    }
}
