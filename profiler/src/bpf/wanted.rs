//! Typed access to the maps that say whose stacks are wanted, and who has been announced to those that want them.

use aya::maps::{Array, HashMap};
use ctprof_ebpf::abi::ledger::state;
use ctprof_ebpf::abi::wanted::{Wanted, bit};

use super::Kernel;
use super::loader::Owned;
use super::maps::{Plain, failed};
use crate::Result;
use crate::model::StateGroup;

// SAFETY: a record of the border: `#[repr(C)]` integers without padding, so every bit pattern is a value.
unsafe impl aya::Pod for Plain<Wanted> {}

/// Slot -> of which states stacks are wanted.
pub struct WantedMap {
    wanted: Array<Owned, Plain<Wanted>>,
    announced: HashMap<Owned, u64, u8>,
}

impl WantedMap {
    /// The object's maps.
    ///
    /// # Errors
    /// The object lacks one of them.
    pub fn of(kernel: &mut Kernel) -> Result<Self> {
        Ok(Self {
            wanted: kernel.take("WANTED")?,
            announced: kernel.take("PROCESSES")?,
        })
    }

    /// From this moment of `CLOCK_MONOTONIC` on, stacks of these states are wanted of what has this slot: bits of
    /// [`bits`], 0 for none.
    ///
    /// # Errors
    /// The map is gone.
    pub fn set(&mut self, slot: u32, states: u32, since_ns: u64) -> Result<()> {
        let mut value = Wanted {
            since_ns,
            states: 0,
            padding: 0,
        };
        // The time is there before anybody looks at it.
        let mut write = |value| {
            self.wanted
                .set(slot, Plain(value), 0)
                .map_err(|error| failed("say whose stacks are wanted", &error))
        };
        write(value)?;
        value.states = states;
        write(value)
    }

    /// Every process is announced once more, when it is next seen.
    pub fn announce_all(&mut self) {
        let keys: Vec<u64> = self.announced.keys().flatten().collect();
        for key in keys {
            let _ = self.announced.remove(&key);
        }
    }
}

/// These states, as the kernel half has them.
#[must_use]
pub fn bits(groups: &[StateGroup]) -> u32 {
    groups.iter().fold(0, |bits, group| {
        let state = match group {
            StateGroup::OnCpu => state::ON_CPU,
            StateGroup::RunQueue => state::RUN_QUEUE,
            StateGroup::Throttled => state::THROTTLED,
            StateGroup::Blocked => state::BLOCKED,
        };
        bits | bit(state)
    })
}
