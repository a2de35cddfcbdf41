//! Typed access to the maps that say which cgroup has which slot.

use aya::maps::{Array, HashMap};
use ctprof_ebpf::abi::scope::{AUTOGROUP, RECORDED, SHARED, is_recorded, slot};

use super::loader::Owned;
use super::maps::failed;
use super::{Kernel, describe};
use crate::{Error, Result};

/// `BPF_NOEXIST` and `BPF_EXIST` in the kernel's `bpf.h`.
const ONLY_NEW: u64 = 1;
const ONLY_KNOWN: u64 = 2;

/// Cgroup id -> slot, and the slots that each subtree holds.
pub struct ScopeMap {
    slots: HashMap<Owned, u64, u32>,
    chosen: HashMap<Owned, u32, u32>,
    subtrees: Array<Owned, u32>,
    taken: Array<Owned, u32>,
    returned: Array<Owned, u32>,
}

impl ScopeMap {
    /// The object's scope.
    ///
    /// # Errors
    /// The object lacks one of the maps.
    pub fn of(kernel: &mut Kernel) -> Result<Self> {
        Ok(Self {
            slots: kernel.take("SCOPE")?,
            chosen: kernel.take("CHOSEN")?,
            subtrees: kernel.take("SUBTREES")?,
            taken: kernel.take("TAKEN")?,
            returned: kernel.take("RETURNED")?,
        })
    }

    /// Watches a cgroup under `value`, a slot and flags, unless the kernel half has already given it one: then that one.
    /// `subtree` is the slot of its subtree; `None` if it is one itself.
    ///
    /// # Errors
    /// The map is full or gone.
    pub fn watch(&mut self, cgroup_id: u64, value: u32, subtree: Option<u32>) -> Result<u32> {
        // Before its entry is there: its children look here.
        self.set_subtree(slot(value), subtree.unwrap_or(slot(value)))?;
        // The kernel half may have adopted the cgroup at its birth.
        match self.slots.insert(cgroup_id, value, ONLY_NEW) {
            Ok(()) => Ok(value),
            Err(error) => self.value(cgroup_id).ok_or_else(|| {
                Error::Failed(format!(
                    "cannot watch cgroup {cgroup_id}: {}",
                    describe(&error)
                ))
            }),
        }
    }

    /// Slot and flags of a cgroup that has a slot.
    #[must_use]
    pub fn value(&self, cgroup_id: u64) -> Option<u32> {
        self.slots.get(&cgroup_id, 0).ok()
    }

    /// Records what happens in a cgroup from now on, and in those born below it. True if it was not recorded before.
    ///
    /// # Errors
    /// The map is gone.
    pub fn record(&mut self, cgroup_id: u64) -> Result<bool> {
        let Some(value) = self.value(cgroup_id).filter(|value| !is_recorded(*value)) else {
            return Ok(false);
        };
        match self.slots.insert(cgroup_id, value | RECORDED, ONLY_KNOWN) {
            // It may be gone meanwhile: then nothing happens there any more.
            Ok(()) | Err(aya::maps::MapError::KeyNotFound) => Ok(true),
            Err(error) => Err(failed("write the scope", &error)),
        }
    }

    /// Gives the threads of a process this slot when they are entered, and the children that they have from then on.
    ///
    /// # Errors
    /// The map is full or gone.
    pub fn choose(&mut self, pid: u32, slot: u32) -> Result<()> {
        self.chosen
            .insert(pid, slot | RECORDED, 0)
            .map_err(|error| failed("choose a process", &error))
    }

    /// Threads are entered: a process that gets the id of a chosen one is not that one.
    pub fn all_chosen(&mut self) {
        let pids: Vec<u32> = self
            .chosen
            .keys()
            .filter_map(std::result::Result::ok)
            .collect();
        for pid in pids {
            let _ = self.chosen.remove(&pid);
        }
    }

    /// Says that cgroups born directly below this one are subtrees of their own.
    pub fn share(&mut self, cgroup_id: u64) {
        if let Some(value) = self.value(cgroup_id) {
            // It may be gone meanwhile: then nothing is born there any more.
            let _ = self.slots.insert(cgroup_id, value | SHARED, ONLY_KNOWN);
        }
    }

    /// Every cgroup that has a slot, with slot and flags.
    #[must_use]
    pub fn all(&self) -> Vec<(u64, u32)> {
        self.slots
            .iter()
            .flatten()
            .filter(|(id, _)| *id != AUTOGROUP)
            .collect()
    }

    /// Forgets a cgroup: what a straggler does there counts for the one above.
    pub fn forget(&mut self, cgroup_id: u64) {
        // It may be gone already: then there is nothing to forget.
        let _ = self.slots.remove(&cgroup_id);
    }

    /// The slot of the subtree that the cgroup with this slot belongs to.
    ///
    /// # Errors
    /// The map is gone.
    pub fn subtree(&self, slot: u32) -> Result<u32> {
        self.subtrees
            .get(&slot, 0)
            .map_err(|error| failed("read the subtrees", &error))
    }

    /// Makes the cgroup with this slot one of a subtree.
    ///
    /// # Errors
    /// The map is gone.
    pub fn set_subtree(&mut self, slot: u32, subtree: u32) -> Result<()> {
        self.subtrees
            .set(slot, subtree, 0)
            .map_err(|error| failed("write the subtrees", &error))
    }

    /// A subtree has one slot less that the kernel half gave it.
    ///
    /// # Errors
    /// The map is gone.
    pub fn give_back(&mut self, subtree: u32) -> Result<()> {
        let returned = self
            .returned
            .get(&subtree, 0)
            .map_err(|error| failed("read a subtree's share", &error))?;
        self.set_returned(subtree, returned.wrapping_add(1))
    }

    /// The cgroup of this slot is no subtree any more: the next one begins with nothing taken.
    ///
    /// # Errors
    /// The map is gone.
    pub fn clear_share(&mut self, slot: u32) -> Result<()> {
        let taken = self
            .taken
            .get(&slot, 0)
            .map_err(|error| failed("read a subtree's share", &error))?;
        self.set_returned(slot, taken)
    }

    fn set_returned(&mut self, subtree: u32, returned: u32) -> Result<()> {
        self.returned
            .set(subtree, returned, 0)
            .map_err(|error| failed("write a subtree's share", &error))
    }
}
