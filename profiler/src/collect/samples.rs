//! What the kernel half counted, accumulated over the recording.

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use ctprof_ebpf::abi::count_key::{Count, CountKey};
use ctprof_ebpf::abi::ledger::state;
use ctprof_ebpf::abi::stack::{CONTINUED, PARTS, StackRecord, end};
use ctprof_ebpf::views::moments::abi::WOKEN;
use foldhash::HashMap;

use crate::Result;
use crate::bpf::SampleMaps;

/// Bytes of one address.
const ADDRESS: usize = size_of::<u64>();

/// Raw samples: counts by key, and every stack they refer to.
#[derive(Debug, Default)]
pub struct Samples {
    counts: HashMap<CountKey, Count>,
    /// Ends of waits for locks, by the stack of whoever ended them.
    wakes: HashMap<CountKey, Count>,
    /// The rows since they were last taken, where anybody takes them.
    recent: Option<HashMap<CountKey, Count>>,
    burnt: HashSet<u64>,
    on_cpu: u64,
    /// Each with how it ends before its addresses.
    stacks: HashMap<u64, Bytes>,
    /// Stacks of one drain share one buffer: an allocation a drain instead of one a stack.
    buffer: BytesMut,
}

/// One record of a stack.
#[derive(Clone, Copy)]
struct Part<'a>(&'a [u8]);

impl<'a> Part<'a> {
    fn words(self) -> impl ExactSizeIterator<Item = u64> + 'a {
        self.0.chunks_exact(ADDRESS).map(|chunk| {
            let mut word = [0; ADDRESS];
            word.copy_from_slice(chunk);
            u64::from_ne_bytes(word)
        })
    }

    #[allow(clippy::cast_possible_truncation, reason = "it was 32 bits")]
    fn end(self) -> u32 {
        self.words().next().unwrap_or_default() as u32
    }

    /// The key of the record with the frames that follow.
    fn next(self) -> Option<u64> {
        (self.end() & CONTINUED != 0)
            .then(|| self.words().last())
            .flatten()
    }
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

    /// The stacks of these, without any row: for rows that are to come.
    #[must_use]
    pub(super) fn stacks_alone(&self) -> Self {
        Self {
            stacks: self.stacks.clone(),
            ..Self::default()
        }
    }

    /// Takes over those of these rows that are `meant`, and what they refer to.
    pub(super) fn absorb(&mut self, new: &Self, meant: impl Fn(&CountKey) -> bool) {
        let rows = new.counts().filter(|(key, _)| meant(key));
        self.add_counts(rows.map(|(key, count)| (*key, count)));
        self.add_burnt(new.burnt.iter().copied());
        for (key, stack) in &new.stacks {
            self.stacks.entry(*key).or_insert_with(|| stack.clone());
        }
    }

    /// Adds rows, as the kernel half counted them.
    pub fn add_counts(&mut self, rows: impl IntoIterator<Item = (CountKey, Count)>) {
        for (key, count) in rows {
            if key.state == WOKEN {
                let sum = self.wakes.entry(key).or_default();
                sum.count += count.count;
                sum.ns += count.ns;
                continue;
            }
            if key.state as usize == state::ON_CPU {
                self.on_cpu += count.count;
            }
            let kept = [Some(&mut self.counts), self.recent.as_mut()];
            for counts in kept.into_iter().flatten() {
                let sum = counts.entry(key).or_default();
                sum.count += count.count;
                sum.ns += count.ns;
            }
        }
    }

    /// From now on the rows of each piece of the recording are kept for whoever takes them.
    pub(super) fn keep_recent(&mut self) {
        self.recent = Some(HashMap::default());
    }

    /// The rows since the last call, each with what was counted since.
    pub(super) fn take_recent(&mut self) -> impl Iterator<Item = (CountKey, Count)> + use<> {
        let recent = self.recent.as_mut().map(std::mem::take);
        recent.into_iter().flatten()
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

    /// Adds one record.
    pub fn add_stack(&mut self, key: u64, record: &StackRecord) {
        if self.stacks.contains_key(&key) {
            return;
        }
        let frames = usize::try_from(record.frames).unwrap_or(usize::MAX);
        let addresses = record.addresses.get(..frames).unwrap_or(&record.addresses);
        self.buffer
            .extend_from_slice(&u64::from(record.end).to_ne_bytes());
        for address in addresses {
            self.buffer.extend_from_slice(&address.to_ne_bytes());
        }
        self.stacks.insert(key, self.buffer.split().freeze());
    }

    fn add_stacks(&mut self, maps: &mut SampleMaps) -> Result<()> {
        maps.drain_stacks(|key, record| self.add_stack(key, record))
    }

    /// Every row.
    pub fn counts(&self) -> impl ExactSizeIterator<Item = (&CountKey, Count)> {
        self.counts.iter().map(|(key, count)| (key, *count))
    }

    /// Ends of waits for locks: no rows, but by the stack of whoever ended them.
    pub fn wakes(&self) -> impl Iterator<Item = (&CountKey, Count)> {
        self.wakes.iter().map(|(key, count)| (key, *count))
    }

    /// The records that a stack consists of, the innermost first.
    fn parts(&self, key: u64) -> impl Iterator<Item = Part<'_>> {
        let part = |key| Some(Part(self.stacks.get(&key)?));
        std::iter::successors(part(key), move |before: &Part<'_>| part(before.next()?)).take(PARTS)
    }

    /// The addresses of a stack, leaf first; empty for key 0 and for a stack that was lost.
    pub fn addresses(&self, key: u64) -> impl Iterator<Item = u64> + '_ {
        self.parts(key).flat_map(|part| {
            let words = part.words();
            let end = words.len() - usize::from(part.end() & CONTINUED != 0);
            words.take(end).skip(1)
        })
    }

    /// How a user stack ends: one of [`end`](ctprof_ebpf::abi::stack::end). One whose outermost part was lost is too deep.
    #[must_use]
    pub fn end(&self, key: u64) -> u32 {
        let last = self.parts(key).last();
        last.map_or(end::BY_FRAME_POINTER, |part| match part.end() {
            end if end & CONTINUED == 0 => end,
            _ => end::TOO_DEEP,
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
pub(crate) mod tests {
    use ctprof_ebpf::abi::stack::{CONTINUED, MAX_FRAMES, StackRecord, end};

    use super::Samples;

    /// A record of these addresses.
    pub(crate) fn record(addresses: &[u64], end: u32) -> StackRecord {
        let mut all = [0; MAX_FRAMES];
        all[..addresses.len()].copy_from_slice(addresses);
        StackRecord {
            frames: addresses.len() as u32,
            end,
            addresses: all,
        }
    }

    #[test]
    fn a_stack_comes_back_as_it_went_in() {
        let mut samples = Samples::default();
        samples.add_stack(7, &record(&[3, u64::MAX, 1], end::ROOT));
        samples.add_stack(9, &record(&[4], 0));
        samples.add_stack(7, &record(&[8, 8], 0));
        assert_eq!(samples.addresses(7).collect::<Vec<_>>(), [3, u64::MAX, 1]);
        assert_eq!(samples.end(7), end::ROOT);
        assert_eq!(samples.addresses(9).collect::<Vec<_>>(), [4]);
        assert_eq!(samples.addresses(0).count(), 0);
        assert_eq!(samples.stacks.len(), 2);
    }

    #[test]
    fn parts_are_one_stack() {
        let mut samples = Samples::default();
        samples.add_stack(1, &record(&[10, 11, 2], end::ROOT | CONTINUED));
        samples.add_stack(2, &record(&[12, 3], end::ROOT | CONTINUED));
        assert_eq!(samples.addresses(1).collect::<Vec<_>>(), [10, 11, 12]);
        assert_eq!(samples.end(1), end::TOO_DEEP, "its last part is missing");
        samples.add_stack(3, &record(&[13], end::ROOT));
        assert_eq!(samples.addresses(1).collect::<Vec<_>>(), [10, 11, 12, 13]);
        assert_eq!(samples.end(1), end::ROOT);
    }

    #[test]
    fn a_circle_of_parts_ends() {
        let mut samples = Samples::default();
        samples.add_stack(1, &record(&[10, 1], CONTINUED));
        assert!(samples.addresses(1).count() < 10);
        samples.add_stack(2, &record(&[], CONTINUED));
        assert_eq!(samples.addresses(2).count(), 0);
    }
}
