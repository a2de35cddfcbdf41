//! What happens to processes, in the order in which it happened: a dummy perf event on every CPU has the kernel write
//! down births, programs, mappings of code and ends, each with its time.
//!
//! - `record`: the records
//! - `ring`: where the kernel writes them

mod record;
mod ring;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use self::record::Record;
use self::ring::Ring;
use crate::bpf::online_cpus;
use crate::host::clock;
use crate::model::SideBand;

/// The rings of all CPUs.
#[derive(Default)]
pub(super) struct SideBands {
    rings: BTreeMap<u32, Ring>,
    /// Written after the last reading began: an earlier one of another CPU may still come.
    held_back: Vec<SideBand>,
    lost: u64,
}

impl SideBands {
    /// Opens them; why not, if that is refused.
    pub(super) fn open() -> Result<Self, String> {
        let mut all = Self::default();
        for cpu in online_cpus().map_err(|error| error.to_string())? {
            let ring = Ring::open(cpu).map_err(|error| format!("perf refuses: {error}"))?;
            all.rings.insert(cpu, ring);
        }
        Ok(all)
    }

    /// Opens a ring on each CPU that has come online, and closes those of CPUs that have gone, whose events do not come
    /// back with them. Where there are none, there are to be none.
    pub(super) fn follow_cpus(&mut self) {
        if self.rings.is_empty() {
            return;
        }
        let Ok(online) = online_cpus() else {
            return;
        };
        let (held_back, lost) = (&mut self.held_back, &mut self.lost);
        self.rings.retain(|cpu, ring| {
            let is_online = online.contains(cpu);
            if !is_online {
                *lost += take_all(ring, held_back);
            }
            is_online
        });
        for cpu in online {
            if let Entry::Vacant(place) = self.rings.entry(cpu) {
                match Ring::open(cpu) {
                    Ok(ring) => _ = place.insert(ring),
                    Err(error) => tracing::debug!("CPU {cpu} has no side-band records: {error}"),
                }
            }
        }
    }

    /// What has happened since the last call, in order, and at the end what was held back.
    pub(super) fn take(&mut self, is_end: bool) -> Vec<SideBand> {
        if self.rings.is_empty() {
            return Vec::new();
        }
        let now = clock::monotonic_ns();
        let mut all = std::mem::take(&mut self.held_back);
        for ring in self.rings.values_mut() {
            self.lost += take_all(ring, &mut all);
        }
        all.sort_by_key(|record| record.at_ns);
        if !is_end {
            let later = all.partition_point(|record| record.at_ns < now);
            self.held_back = all.split_off(later);
        }
        all
    }

    /// Records that found their ring full, so far.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }
}

/// Adds what is in a ring to `all`; how many records found it full.
fn take_all(ring: &mut Ring, all: &mut Vec<SideBand>) -> u64 {
    let mut lost = 0;
    ring.take(|record| match record {
        Record::Happened(record) => all.push(record),
        Record::Lost(count) => lost += count,
    });
    lost
}
