//! What the kernel half counted, accumulated over the recording.

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use ctprof_ebpf::abi::count_key::{Count, CountKey};
use ctprof_ebpf::abi::ledger::state;
use foldhash::HashMap;

use crate::Result;
use crate::bpf::SampleMaps;

/// Bytes of one address.
const ADDRESS: usize = size_of::<u64>();

/// Raw samples: counts by key, and every stack they refer to.
#[derive(Debug, Default)]
pub struct Samples {
    counts: HashMap<CountKey, Count>,
    burnt: HashSet<u64>,
    on_cpu: u64,
    stacks: HashMap<u64, Bytes>,
    /// Stacks of one drain share one buffer: an allocation a drain instead of one a stack.
    buffer: BytesMut,
}

impl Samples {
    /// Takes over what was counted since the last drain, while sampling goes on.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn drain(&mut self, maps: &mut SampleMaps) -> Result<()> {
        let rows = maps.switch()?;
        self.add_counts(rows);
        self.add_stacks(maps)
    }

    /// Takes over everything that is left, after sampling has stopped.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn finish(&mut self, maps: &mut SampleMaps) -> Result<()> {
        let rows = maps.finish()?;
        self.add_counts(rows);
        self.add_stacks(maps)
    }

    /// Adds rows, as the kernel half counted them.
    pub fn add_counts(&mut self, rows: impl IntoIterator<Item = (CountKey, Count)>) {
        for (key, count) in rows {
            if key.state as usize == state::ON_CPU {
                self.on_cpu += count.count;
            }
            let sum = self.counts.entry(key).or_default();
            sum.count += count.count;
            sum.ns += count.ns;
        }
    }

    /// Adds quota periods in which a thread was stopped.
    pub fn add_burnt(&mut self, periods: impl IntoIterator<Item = u64>) {
        self.burnt.extend(periods);
    }

    /// Whether a thread was stopped in this quota period: what ran in it burnt the quota.
    #[must_use]
    pub fn is_burnt(&self, period: u64) -> bool {
        self.burnt.contains(&period)
    }

    /// Adds one stack, leaf first.
    pub fn add_stack(&mut self, key: u64, addresses: &[u64]) {
        if self.stacks.contains_key(&key) {
            return;
        }
        for address in addresses {
            self.buffer.extend_from_slice(&address.to_ne_bytes());
        }
        self.stacks.insert(key, self.buffer.split().freeze());
    }

    fn add_stacks(&mut self, maps: &mut SampleMaps) -> Result<()> {
        maps.drain_stacks(|key, addresses| self.add_stack(key, addresses))
    }

    /// Every row.
    pub fn counts(&self) -> impl ExactSizeIterator<Item = (&CountKey, Count)> {
        self.counts.iter().map(|(key, count)| (key, *count))
    }

    /// The addresses of a stack, leaf first; empty for key 0 and for a stack that was lost.
    pub fn addresses(&self, key: u64) -> impl Iterator<Item = u64> + '_ {
        let bytes: &[u8] = self.stacks.get(&key).map_or(&[], |bytes| bytes);
        bytes.chunks_exact(ADDRESS).map(|chunk| {
            let mut address = [0; ADDRESS];
            address.copy_from_slice(chunk);
            u64::from_ne_bytes(address)
        })
    }

    /// The same, as they are to be looked up: the leaf is where the CPU was; all others are return addresses, which
    /// lie behind the call and, where a call is the last instruction of a function, already in the next one.
    pub fn call_sites(&self, key: u64) -> impl Iterator<Item = u64> + '_ {
        self.addresses(key).enumerate().map(|(depth, address)| {
            if depth == 0 {
                address
            } else {
                address.saturating_sub(1)
            }
        })
    }

    /// On-CPU samples in total.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.on_cpu
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn a_stack_comes_back_as_it_went_in() {
        let mut samples = Samples::default();
        samples.add_stack(7, &[3, u64::MAX, 1]);
        samples.add_stack(9, &[4]);
        samples.add_stack(7, &[8, 8]);
        assert_eq!(samples.addresses(7).collect::<Vec<_>>(), [3, u64::MAX, 1]);
        assert_eq!(samples.addresses(9).collect::<Vec<_>>(), [4]);
        assert_eq!(samples.addresses(0).count(), 0);
        assert_eq!(samples.stacks.len(), 2);
    }
}
