//! Windows with stacks, taken out of a session that goes on: any number at once, each of its own targets, all by the
//! session's one set of programs. Nobody's stacks are taken while there is none.

use std::collections::HashMap;
use std::time::Instant;

use ctprof_ebpf::abi::wanted::bit;

use super::{RawLedger, Samples, WatchList};
use crate::Result;
use crate::bpf::{WantedMap, state_bits};
use crate::host::cgroup::is_at_or_below;
use crate::model::{ContainerIdentity, Losses, StateGroup};
use crate::target::{Resolved, Rule};

/// Names a take of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TakeId(u64);

/// One window in the making.
#[derive(Debug)]
pub(super) struct Take {
    id: TakeId,
    /// Cgroups that are meant with all below them; `None` for everything.
    pub(super) roots: Option<Vec<String>>,
    rules: Vec<Rule>,
    states: u32,
    pub(super) samples: Samples,
    /// What had been counted when it began.
    pub(super) before: RawLedger,
    pub(super) lost_before: Losses,
    pub(super) began: Instant,
}

impl Take {
    fn means(&self, path: Option<&str>) -> bool {
        means(self.roots.as_deref(), path)
    }
}

/// Whether these roots mean a slot with this path, if it has one.
fn means(roots: Option<&[String]>, path: Option<&str>) -> bool {
    let Some(roots) = roots else {
        return true;
    };
    path.is_some_and(|path| roots.iter().any(|root| is_at_or_below(path, root)))
}

/// The windows in the making, and whose stacks are wanted for them.
pub(super) struct Takes {
    map: WantedMap,
    running: Vec<Take>,
    /// States by slot, as the kernel half knows them.
    wanted: HashMap<u32, u32>,
    last: u64,
}

impl Takes {
    pub(super) fn new(map: WantedMap) -> Self {
        Self {
            map,
            running: Vec::new(),
            wanted: HashMap::new(),
            last: 0,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether any of them has samples of what runs.
    pub(super) fn samples(&self) -> bool {
        let on_cpu = state_bits(&[StateGroup::OnCpu]);
        self.running.iter().any(|take| take.states & on_cpu != 0)
    }

    /// One more. Stacks of what it means are wanted from `since_ns` on: of others that mean the same, everything until then
    /// has been counted.
    pub(super) fn begin(
        &mut self,
        targets: Resolved,
        states: &[StateGroup],
        (before, lost_before): (RawLedger, Losses),
        watch: &WatchList,
        since_ns: u64,
    ) -> Result<TakeId> {
        self.last += 1;
        let id = TakeId(self.last);
        let roots = targets.roots.iter().map(|root| root.cgroup.clone());
        // The kernel half has told of stacks that it still refers to: the longest of the others knows them all.
        let known = self.running.first();
        let take = Take {
            id,
            roots: (!targets.is_everything()).then(|| roots.collect()),
            rules: targets.rules,
            states: state_bits(states),
            samples: known.map_or_else(Samples::default, |other| other.samples.stacks_alone()),
            before,
            lost_before,
            began: Instant::now(),
        };
        for slot in watch.every_slot() {
            if take.means(watch.path(slot)) {
                let states = self.wanted.entry(slot).or_default();
                *states |= take.states;
                self.map.set(slot, *states, since_ns)?;
            }
        }
        self.running.push(take);
        self.map.announce_all();
        Ok(id)
    }

    /// Takes one out; what nobody else wants is not wanted any more.
    pub(super) fn end(
        &mut self,
        id: TakeId,
        watch: &WatchList,
        now_ns: u64,
    ) -> Result<Option<Take>> {
        let Some(index) = self.running.iter().position(|take| take.id == id) else {
            return Ok(None);
        };
        let take = self.running.remove(index);
        let slots: Vec<u32> = self.wanted.keys().copied().collect();
        for slot in slots {
            let left = self.of(watch.path(slot));
            if self.wanted.get(&slot) != Some(&left) {
                self.set(slot, left, now_ns)?;
            }
        }
        Ok(Some(take))
    }

    /// A cgroup was born. The kernel half has it wanted as the one above is; what is below a target of its own may be more.
    pub(super) fn born(&mut self, slot: u32, path: &str, now_ns: u64) -> Result<()> {
        let states = self.of(Some(path));
        if states != 0 || self.wanted.contains_key(&slot) {
            self.set(slot, states, now_ns)?;
        }
        Ok(())
    }

    /// A slot is nobody's any more. The kernel half may have had it wanted at its birth, without a notice of it.
    pub(super) fn forget(&mut self, slot: u32) -> Result<()> {
        self.set(slot, 0, 0)
    }

    /// Whether anybody wants stacks of this slot.
    pub(super) fn wants(&self, slot: u32) -> bool {
        self.wanted.contains_key(&slot)
    }

    /// A cgroup may be meant by the rules of some. True if stacks are wanted of more than before.
    pub(super) fn include(
        &mut self,
        path: &str,
        identity: &ContainerIdentity,
        watch: &WatchList,
        now_ns: u64,
    ) -> Result<bool> {
        let mut new = Vec::new();
        for take in &mut self.running {
            let Some(roots) = &mut take.roots else {
                continue;
            };
            for rule in &take.rules {
                if let Some(root) = rule.root(path, identity)
                    && !roots.iter().any(|known| is_at_or_below(root, known))
                {
                    roots.push(root.to_owned());
                    new.push(root.to_owned());
                }
            }
        }
        for root in &new {
            for (slot, path) in watch.iter().filter(|(_, path)| is_at_or_below(path, root)) {
                let states = self.of(Some(path));
                self.set(slot, states, now_ns)?;
            }
        }
        Ok(!new.is_empty())
    }

    /// Gives each what is its own of what was counted.
    pub(super) fn give(&mut self, new: &Samples, watch: &WatchList) {
        for take in &mut self.running {
            let (roots, states) = (take.roots.as_deref(), take.states);
            take.samples.absorb(new, |key| {
                states & bit(key.state as usize) != 0 && means(roots, watch.path(key.slot))
            });
        }
    }

    fn of(&self, path: Option<&str>) -> u32 {
        let meant = self.running.iter().filter(|take| take.means(path));
        meant.fold(0, |states, take| states | take.states)
    }

    fn set(&mut self, slot: u32, states: u32, now_ns: u64) -> Result<()> {
        if states == 0 {
            self.wanted.remove(&slot);
        } else {
            self.wanted.insert(slot, states);
        }
        self.map.set(slot, states, now_ns)
    }
}
