//! What was counted in each second of a recording: the differences of readings that are taken on a fixed grid.
//!
//! A recording may be long and a host large. So there are at most [`MOST_SLICES`] slices and [`MOST_PARTS`] entries in them:
//! beyond that, each two that follow one another become one, and those that come are twice as long.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use ctprof_ebpf::abi::count_key::{Count, CountKey};
use ctprof_ebpf::abi::ledger::state;

use super::{RawLedger, RawViews, Samples};
use crate::bpf::SlotFigures;
use crate::model::ViewId;

/// An hour of seconds.
const MOST_SLICES: usize = 3_600;
/// Of 16 bytes each.
const MOST_PARTS: usize = 4 << 20;

/// A thing that a view counts one by one, in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemOf {
    /// Position of the view in [`RawSlices::views`].
    pub view: u32,
    /// The slot.
    pub slot: u32,
    /// The view's number for it.
    pub number: u64,
}

/// What was counted, and how long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawPart {
    /// How often.
    pub count: u64,
    /// How long, in ns.
    pub ns: u64,
}

impl RawPart {
    /// Adds another's.
    pub const fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.ns = self.ns.saturating_add(other.ns);
    }
}

/// What was charged to one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotSlice {
    /// Thread time by [`state`].
    pub time_ns: [u64; state::COUNT],
    /// Switches away from a thread that went to sleep or ended.
    pub voluntary: u64,
    /// Switches away from a thread that could have run on.
    pub involuntary: u64,
    /// Moves of waiting threads to another CPU.
    pub migrations: u64,
    /// Times that a thread was stopped by a quota.
    pub stops: u64,
    /// Waits for a CPU.
    pub waits: RawPart,
    /// Those by bucket; none is 0.
    pub wait_buckets: BTreeMap<usize, u64>,
}

impl SlotSlice {
    fn of(now: &SlotFigures, before: Option<&SlotFigures>) -> Self {
        let new = before.map_or_else(|| now.clone(), |before| now.since(before));
        let account = &new.account;
        let buckets = new.waits.iter().enumerate();
        Self {
            time_ns: account.time_ns,
            voluntary: account.voluntary,
            involuntary: account.involuntary,
            migrations: account.migrations,
            stops: account.stops.count,
            waits: RawPart {
                count: account.waits.count,
                ns: account.waits.sum_ns,
            },
            wait_buckets: buckets
                .filter(|(_, count)| **count > 0)
                .map(|(bucket, count)| (bucket, *count))
                .collect(),
        }
    }

    /// Adds another's figures.
    pub fn add(&mut self, other: &Self) {
        for (sum, ns) in self.time_ns.iter_mut().zip(other.time_ns) {
            *sum = sum.saturating_add(ns);
        }
        self.voluntary += other.voluntary;
        self.involuntary += other.involuntary;
        self.migrations += other.migrations;
        self.stops += other.stops;
        self.waits.add(other.waits);
        for (bucket, count) in &other.wait_buckets {
            *self.wait_buckets.entry(*bucket).or_default() += count;
        }
    }
}

/// A piece of a recording.
#[derive(Clone, Debug, Default)]
pub struct RawSlice {
    /// How long it took.
    pub length: Duration,
    /// By slot; a slot in which nothing happened is absent.
    pub slots: BTreeMap<u32, SlotSlice>,
    /// What views count one by one: how many ended, and the time that all took.
    pub items: BTreeMap<ItemOf, RawPart>,
    /// By position in [`RawSlices::keys`].
    pub counts: BTreeMap<u32, RawPart>,
}

impl RawSlice {
    fn add(&mut self, later: Self) {
        self.length += later.length;
        for (slot, figures) in later.slots {
            self.slots.entry(slot).or_default().add(&figures);
        }
        for (item, part) in later.items {
            self.items.entry(item).or_default().add(part);
        }
        for (key, part) in later.counts {
            self.counts.entry(key).or_default().add(part);
        }
    }

    fn parts(&self) -> usize {
        self.items.len() + self.counts.len()
    }
}

/// All pieces of a recording.
#[derive(Clone, Debug, Default)]
pub struct RawSlices {
    /// One after the other.
    pub slices: Vec<RawSlice>,
    /// Rows of samples and intervals that they refer to.
    pub keys: Vec<CountKey>,
    /// Views whose items they have.
    pub views: Vec<ViewId>,
}

/// Takes the pieces while a recording goes on.
#[derive(Debug)]
pub(super) struct Slicer {
    step: Duration,
    begun: Duration,
    /// When the present piece is to end. On a fixed grid: one that ended late makes the next one no later.
    next: Duration,
    last: RawLedger,
    last_items: HashMap<ItemOf, RawPart>,
    numbers: HashMap<CountKey, u32>,
    all: RawSlices,
    parts: usize,
}

impl Slicer {
    pub(super) fn new(step: Duration) -> Self {
        Self {
            step,
            begun: Duration::ZERO,
            next: step,
            last: RawLedger::default(),
            last_items: HashMap::new(),
            numbers: HashMap::new(),
            all: RawSlices::default(),
            parts: 0,
        }
    }

    /// The reading that the present piece began with.
    pub(super) const fn last(&self) -> &RawLedger {
        &self.last
    }

    /// Whether the present piece is over by `elapsed` after the beginning: those of a long recording are longer.
    pub(super) fn is_due(&self, elapsed: Duration) -> bool {
        // The clock of the event loop ticks in milliseconds.
        elapsed + Duration::from_millis(2) >= self.next
    }

    /// The present piece ends now, `elapsed` after the beginning.
    pub(super) fn cut(
        &mut self,
        elapsed: Duration,
        ledger: Option<RawLedger>,
        raw: &RawViews,
        samples: &mut Samples,
    ) {
        self.take(elapsed, ledger.as_ref(), raw, samples);
        if let Some(ledger) = ledger {
            self.last = ledger;
        }
        while self.next <= elapsed + self.step / 2 {
            self.next += self.step;
        }
        if self.all.slices.len() >= MOST_SLICES || self.parts > MOST_PARTS {
            self.halve();
        }
    }

    fn take(
        &mut self,
        elapsed: Duration,
        ledger: Option<&RawLedger>,
        raw: &RawViews,
        samples: &mut Samples,
    ) {
        let mut slice = RawSlice {
            length: elapsed.saturating_sub(self.begun),
            ..RawSlice::default()
        };
        for (slot, figures) in ledger.iter().flat_map(|it| &it.slots) {
            let figures = SlotSlice::of(figures, self.last.slots.get(slot));
            if figures != SlotSlice::default() {
                slice.slots.insert(*slot, figures);
            }
        }
        let now = self.items(raw);
        for (item, part) in &now {
            let before = self.last_items.get(item).copied().unwrap_or_default();
            let new = RawPart {
                count: part.count.saturating_sub(before.count),
                ns: part.ns.saturating_sub(before.ns),
            };
            if new != RawPart::default() {
                slice.items.insert(*item, new);
            }
        }
        self.last_items = now;
        for (key, Count { count, ns }) in samples.take_recent() {
            let number = *self.numbers.entry(key).or_insert_with(|| {
                self.all.keys.push(key);
                self.all.keys.len() as u32 - 1
            });
            slice
                .counts
                .entry(number)
                .or_default()
                .add(RawPart { count, ns });
        }
        self.begun = elapsed;
        self.parts += slice.parts();
        self.all.slices.push(slice);
    }

    /// What views have counted one by one so far.
    fn items(&mut self, raw: &RawViews) -> HashMap<ItemOf, RawPart> {
        let mut items = HashMap::new();
        for raw in raw.iter() {
            let id = raw.view();
            let known = self.all.views.iter().position(|it| *it == id);
            let view = known.unwrap_or_else(|| {
                self.all.views.push(id);
                self.all.views.len() - 1
            }) as u32;
            let of = |(slot, number)| ItemOf { view, slot, number };
            items.extend(raw.items().into_iter().map(|(item, part)| (of(item), part)));
        }
        items
    }

    /// Makes one of each two.
    fn halve(&mut self) {
        let slices = std::mem::take(&mut self.all.slices);
        let mut slices = slices.into_iter();
        while let Some(mut first) = slices.next() {
            if let Some(second) = slices.next() {
                first.add(second);
            }
            self.all.slices.push(first);
        }
        self.parts = self.all.slices.iter().map(RawSlice::parts).sum();
        self.next += self.step;
        self.step *= 2;
    }

    /// The pieces of a recording that is over after `window`. A last one that is short is a part of the one before it.
    pub(super) fn finish(
        mut self,
        window: Duration,
        ledger: Option<&RawLedger>,
        raw: &RawViews,
        samples: &mut Samples,
    ) -> RawSlices {
        self.take(window, ledger, raw, samples);
        let slices = &mut self.all.slices;
        if slices.len() > 1
            && let Some(last) = slices.pop_if(|last| last.length < self.step / 2)
            && let Some(before) = slices.last_mut()
        {
            before.add(last);
        }
        self.all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::sync::Arc;
    use std::time::Duration;

    use ctprof_ebpf::abi::count_key::{Count, CountKey};

    use super::{ItemOf, RawPart, Slicer};
    use crate::collect::{Raw, RawViews, Samples};
    use crate::model::ViewId;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// What two views have counted one by one: of the first, thing 5 of slot 3 so often, which took as long.
    fn counted(count: u64) -> RawViews {
        let one = Counted("one", [((3, 5), RawPart { count, ns: count })].into());
        let other = Counted("other", [((3, 5), RawPart { count: 1, ns: 0 })].into());
        let raw: [Arc<dyn Raw>; 2] = [Arc::new(one), Arc::new(other)];
        raw.into_iter().collect()
    }

    #[derive(Debug)]
    struct Counted(&'static str, HashMap<(u32, u64), RawPart>);

    impl Raw for Counted {
        fn view(&self) -> ViewId {
            ViewId::new(self.0)
        }

        fn items(&self) -> HashMap<(u32, u64), RawPart> {
            self.1.clone()
        }
    }

    #[test]
    fn what_views_count_is_in_the_piece_in_which_it_is_new() {
        let mut samples = Samples::default();
        let mut slicer = Slicer::new(second(1));
        for n in 1..=3 {
            // Nothing in the third second.
            slicer.cut(second(n), None, &counted(10 * n.min(2)), &mut samples);
        }
        let all = slicer.finish(second(4), None, &counted(27), &mut samples);
        assert_eq!(all.views, [ViewId::new("one"), ViewId::new("other")]);
        let of = |view, count, ns| {
            let (slot, number) = (3, 5);
            (ItemOf { view, slot, number }, RawPart { count, ns })
        };
        let expected = [
            BTreeMap::from([of(0, 10, 10), of(1, 1, 0)]),
            BTreeMap::from([of(0, 10, 10)]),
            BTreeMap::new(),
            BTreeMap::from([of(0, 7, 7)]),
        ];
        let items: Vec<_> = all.slices.into_iter().map(|it| it.items).collect();
        assert_eq!(items, expected);
    }

    #[test]
    fn what_was_counted_is_in_one_piece_however_long_it_goes_on() {
        let mut samples = Samples::default();
        samples.keep_recent();
        let mut slicer = Slicer::new(second(1));
        let none = RawViews::default();
        let key = CountKey::default();
        for n in 1..=4_000 {
            samples.add_counts([(key, Count { count: n, ns: 0 })]);
            if slicer.is_due(second(n)) {
                slicer.cut(second(n), None, &none, &mut samples);
            }
        }
        samples.add_counts([(key, Count { count: 7, ns: 0 })]);
        let all = slicer.finish(Duration::from_millis(4_000_500), None, &none, &mut samples);
        let lengths: Duration = all.slices.iter().map(|it| it.length).sum();
        assert_eq!(lengths, Duration::from_millis(4_000_500));
        // 3,600 became 1,800 of two seconds; 400 more seconds are 200, the last of which is half a second longer.
        assert_eq!(all.slices.len(), 2_000);
        let of = |slice: usize, count| {
            let expected = BTreeMap::from([(0, RawPart { count, ns: 0 })]);
            assert_eq!(all.slices[slice].counts, expected);
        };
        of(0, 1 + 2);
        of(1_800, 3_601 + 3_602);
        of(1_999, 3_999 + 4_000 + 7);
    }
}
