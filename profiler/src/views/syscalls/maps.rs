//! The maps that the kernel half fills.

use std::collections::HashSet;

use aya::maps::{Array, HashMap, MapError, PerCpuArray};
use ctprof_ebpf::abi::scope;
use ctprof_ebpf::views::syscalls::abi::{
    CACHE, CachedRow, CallKey, CallRow, Running, SlowCall, kind,
};

use crate::Result;
use crate::bpf::Kernel;
use crate::bpf::view_maps::{Owned, Plain, Retries, failed, read_batch};

// SAFETY: records of the border: `#[repr(C)]` integers without padding, so every bit pattern is a value.
unsafe impl aya::Pod for Plain<CallKey> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<CallRow> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<CachedRow> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<Running> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<SlowCall> {}

/// What was counted, and what is being counted.
pub(super) struct CallMaps {
    calls: HashMap<Owned, Plain<CallKey>, Plain<CallRow>>,
    cache: PerCpuArray<Owned, Plain<CachedRow>>,
    running: PerCpuArray<Owned, Plain<Running>>,
    judged: Array<Owned, u32>,
    retries: Retries,
}

impl CallMaps {
    /// The object's maps.
    ///
    /// # Errors
    /// The object lacks one of them.
    pub(super) fn of(kernel: &mut Kernel) -> Result<Self> {
        Ok(Self {
            calls: kernel.take("CALLS")?,
            cache: kernel.take("CALL_CACHE")?,
            running: kernel.take("RUNNING")?,
            judged: kernel.take("JUDGED_CALLS")?,
            retries: kernel.retries(),
        })
    }

    /// Has these calls sent one by one.
    ///
    /// # Errors
    /// The map cannot be written.
    pub(super) fn judge(&mut self, denied: impl IntoIterator<Item = CallKey>) -> Result<()> {
        for place in denied.into_iter().filter_map(CallKey::judged) {
            self.judged
                .set(place, 1, 0)
                .map_err(|error| failed("fill in the denied system calls", &error))?;
        }
        Ok(())
    }

    /// Hands every row to `take`; the same key may come several times, and is then to be added up. While calls are
    /// counted, a row that is on its way from a CPU's cache to the shared map may be missed, until the next time.
    ///
    /// # Errors
    /// A map cannot be read.
    pub(super) fn read(&self, mut take: impl FnMut(CallKey, CallRow)) -> Result<()> {
        let cannot = |error: &MapError| failed("read the system calls", error);
        read_batch(&self.calls, &self.retries, |Plain(key), Plain(row)| {
            take(key, row);
        })
        .map_err(|error| failed("read the system calls", &error))?;
        for place in 0..CACHE {
            let cached = self.cache.get(&place, 0).map_err(|error| cannot(&error))?;
            for Plain(cached) in cached.iter().filter(|it| it.0.key.is_call()) {
                take(cached.key, cached.row);
            }
        }
        Ok(())
    }

    /// Slots that a CPU's cache has rows of, for now.
    ///
    /// # Errors
    /// The map cannot be read.
    pub(super) fn cached_slots(&self) -> Result<HashSet<u32>> {
        let mut slots = HashSet::new();
        for place in 0..CACHE {
            let cached = self
                .cache
                .get(&place, 0)
                .map_err(|error| failed("read the system calls", &error))?;
            let keys = cached.iter().map(|it| it.0.key).filter(|key| key.is_call());
            slots.extend(keys.map(CallKey::slot));
        }
        Ok(slots)
    }

    /// Removes a row.
    pub(super) fn remove(&mut self, key: CallKey) {
        // It may be gone already: then there is nothing to remove.
        let _ = self.calls.remove(&Plain(key));
    }

    /// Hands the calls that threads on a CPU are in now to `take`, as rows.
    ///
    /// # Errors
    /// The map cannot be read.
    pub(super) fn read_running(
        &self,
        now_ns: u64,
        mut take: impl FnMut(CallKey, CallRow),
    ) -> Result<()> {
        let running = self
            .running
            .get(&0, 0)
            .map_err(|error| failed("read the system calls", &error))?;
        for Plain(running) in running.iter() {
            let call = running.call;
            if !call.key.is_call() || !scope::is_recorded(running.slot) {
                continue;
            }
            let kind = if call.key.kind() == kind::BEFORE {
                kind::THROUGHOUT
            } else {
                kind::OPEN
            };
            let ns = now_ns.saturating_sub(call.start_ns);
            let row = CallRow {
                count: 1,
                sum_ns: ns,
                off_cpu_ns: call.off_cpu_ns.min(ns),
                max_ns: ns,
            };
            take(call.key.with_kind(kind), row);
        }
        Ok(())
    }
}

impl std::fmt::Debug for CallMaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallMaps").finish_non_exhaustive()
    }
}
