//! The maps of system calls while a session goes on.

use std::collections::HashSet;
use std::sync::Arc;

use ctprof_ebpf::views::syscalls::abi::{CallKey, SLOW_CALL, SlowCall};

use super::maps::CallMaps;
use super::raw::RawCalls;
use crate::Result;
use crate::bpf::view_maps::record;
use crate::collect::{Hooked, Notice, Raw};

/// Calls that are being counted.
#[derive(Debug)]
pub struct CallRun {
    maps: CallMaps,
    last: Arc<RawCalls>,
}

impl CallRun {
    pub(super) fn new(maps: CallMaps, timed: bool) -> Self {
        let last = RawCalls {
            timed,
            ..RawCalls::default()
        };
        Self {
            maps,
            last: Arc::new(last),
        }
    }

    /// Has these calls, which a profile would deny, sent one by one. Before the session opens.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn judge(&mut self, denied: impl IntoIterator<Item = CallKey>) -> Result<()> {
        self.maps.judge(denied)
    }

    fn read_now(&self) -> Result<RawCalls> {
        let mut now = RawCalls {
            timed: self.last.timed,
            ..RawCalls::default()
        };
        self.maps.read(|key, row| now.add(key, row))?;
        now.at_least(&self.last);
        Ok(now)
    }
}

impl Notice for SlowCall {
    fn user_stack(&self) -> u64 {
        self.user_stack
    }
}

impl Hooked for CallRun {
    fn read(&mut self) -> Result<Arc<dyn Raw>> {
        self.last = Arc::new(self.read_now()?);
        Ok(Arc::clone(&self.last) as _)
    }

    fn notice(&self, kind: u32, bytes: &[u8]) -> Option<Box<dyn Notice>> {
        let call: SlowCall = (kind == SLOW_CALL).then(|| record(bytes)).flatten()?;
        Some(Box::new(call))
    }

    fn held_back(&self) -> Result<HashSet<u32>> {
        self.maps.cached_slots()
    }

    fn take(&mut self, slots: &HashSet<u32>) -> Result<Arc<dyn Raw>> {
        let mut now = self.read_now()?;
        let is_taken = |key: &CallKey| slots.contains(&key.slot());
        let taken = RawCalls {
            rows: now.rows.extract_if(|key, _| is_taken(key)).collect(),
            timed: now.timed,
        };
        for key in taken.rows.keys() {
            self.maps.remove(*key);
        }
        self.last = Arc::new(now);
        Ok(Arc::new(taken))
    }

    /// With the calls that had not returned by then.
    fn finish(self: Box<Self>, ended_ns: u64) -> Result<Arc<dyn Raw>> {
        let mut last = self.read_now()?;
        if last.timed {
            self.maps
                .read_running(ended_ns, |key, row| last.add(key, row))?;
        }
        Ok(Arc::new(last))
    }
}
