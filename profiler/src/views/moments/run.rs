//! The maps of moments while a session goes on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aya::maps::HashMap as Map;
use ctprof_ebpf::views::moments::abi::{Longest, LongestKey};

use super::Moments;
use crate::Result;
use crate::bpf::Kernel;
use crate::bpf::view_maps::{Owned, Plain, failed};
use crate::collect::{Hooked, Raw};
use crate::model::text::printable;
use crate::model::{Figures as _, ViewId};

// SAFETY: a record of the border: `#[repr(C)]` integers without padding, so every bit pattern is a value.
unsafe impl aya::Pod for Plain<LongestKey> {}
// SAFETY: see above.
unsafe impl aya::Pod for Plain<Longest> {}

/// Longest name of a thread: the kernel keeps 15 bytes.
const NAME_CHARS: usize = 16;

/// What was seen, by slot.
#[derive(Clone, Debug, Default)]
pub(super) struct RawMoments {
    pub(super) longest: HashMap<(u32, String), Longest>,
    pub(super) oom_kills: HashMap<u32, u64>,
}

impl Raw for RawMoments {
    fn view(&self) -> ViewId {
        Moments::VIEW
    }
}

pub(super) struct Run {
    longest: Map<Owned, Plain<LongestKey>, Plain<Longest>>,
    kills: Map<Owned, u32, u64>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Run")
    }
}

impl Run {
    pub(super) fn of(kernel: &mut Kernel) -> Result<Self> {
        Ok(Self {
            longest: kernel.take("LONGEST")?,
            kills: kernel.take("OOM_KILLS")?,
        })
    }

    fn now(&self) -> Result<RawMoments> {
        let mut now = RawMoments::default();
        for entry in &self.longest {
            let (Plain(key), Plain(longest)) =
                entry.map_err(|error| failed("read the longest stretches of threads", &error))?;
            let end = key.comm.iter().position(|byte| *byte == 0);
            let name = &key.comm[..end.unwrap_or(key.comm.len())];
            let name = printable(&String::from_utf8_lossy(name), NAME_CHARS);
            let known = now.longest.entry((key.slot, name)).or_default();
            known.ran_ns = known.ran_ns.max(longest.ran_ns);
            known.waited_ns = known.waited_ns.max(longest.waited_ns);
        }
        for entry in &self.kills {
            let (slot, kills) = entry.map_err(|error| failed("read who was killed", &error))?;
            now.oom_kills.insert(slot, kills);
        }
        Ok(now)
    }
}

impl Hooked for Run {
    fn read(&mut self) -> Result<Arc<dyn Raw>> {
        // Nobody asks before the end.
        Ok(Arc::new(RawMoments::default()))
    }

    fn held_back(&self) -> Result<HashSet<u32>> {
        Ok(HashSet::new())
    }

    fn take(&mut self, slots: &HashSet<u32>) -> Result<Arc<dyn Raw>> {
        let mut now = self.now()?;
        now.longest.retain(|(slot, _), _| slots.contains(slot));
        now.oom_kills.retain(|slot, _| slots.contains(slot));
        for slot in slots {
            // It may not be there.
            let _ = self.kills.remove(slot);
        }
        Ok(Arc::new(now))
    }

    fn finish(self: Box<Self>, _: u64) -> Result<Arc<dyn Raw>> {
        Ok(Arc::new(self.now()?))
    }
}
