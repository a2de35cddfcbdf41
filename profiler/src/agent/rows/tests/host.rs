//! A host on which anything may happen, and an agent that reads it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctprof_ebpf::abi::ledger::{Account, DelayKey, state};
use ctprof_ebpf::abi::scope::{SLOT_HOST, SLOT_IDLE, SLOT_KERNEL};
use ctprof_ebpf::histogram::{BUCKETS, bucket};
use ctprof_ebpf::views::syscalls::abi::{CallKey, CallRow};
use proptest::prelude::*;

use super::super::{Limits, Rows, Sums, Tells};
use crate::bpf::SlotFigures;
use crate::collect::{Raw, RawViews, Retired, Retirement};
use crate::grouping::Named;
use crate::model::{Container, Delayer, Fixed, GroupKey, State};
use crate::views::syscalls::{RawCalls, Syscalls};

const TELLS: Tells = Tells {
    throttled: true,
    reasons: true,
};
/// Slots that cgroups may have.
const SLOTS: std::ops::Range<u32> = 10..18;

/// What happens on the host, or to the agent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// Threads of a slot do something for so long.
    Work(u32, usize, u64),
    /// Threads of a slot wait while those of another run; how much of it the matrix explains.
    Wait(u32, u32, u64, u64),
    Calls(u32, u64),
    /// A cgroup is born in a slot, and has this name.
    Birth(u32, u8),
    Gone(u32),
    /// A cgroup that is gone is taken out of the kernel half.
    Retire(u32),
    Rename(u32, u8),
    Limit(usize, usize, u64),
    Regroup(bool),
    Read(u64),
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let cgroup = || SLOTS;
    let any_slot = || prop_oneof![4 => SLOTS, 1 => SLOT_HOST..=SLOT_KERNEL];
    let culprit = || prop_oneof![4 => any_slot(), 1 => Just(SLOT_IDLE)];
    prop_oneof![
        6 => (any_slot(), 0..state::COUNT, 1..5_000_u64).prop_map(|(a, b, c)| Event::Work(a, b, c)),
        6 => (any_slot(), culprit(), 1..5_000_u64, 0..6_000_u64)
            .prop_map(|(a, b, c, d)| Event::Wait(a, b, c, d)),
        1 => (cgroup(), 1..50_u64).prop_map(|(a, b)| Event::Calls(a, b)),
        3 => (cgroup(), 0..9_u8).prop_map(|(a, b)| Event::Birth(a, b)),
        2 => cgroup().prop_map(Event::Gone),
        2 => cgroup().prop_map(Event::Retire),
        1 => (cgroup(), 0..9_u8).prop_map(|(a, b)| Event::Rename(a, b)),
        1 => (1..9_usize, 0..4_usize, prop_oneof![Just(0), Just(300)])
            .prop_map(|(a, b, c)| Event::Limit(a, b, c)),
        1 => any::<bool>().prop_map(Event::Regroup),
        5 => prop_oneof![Just(1), Just(15), Just(200)].prop_map(Event::Read),
    ]
}

#[derive(Clone, Debug)]
struct Slot {
    name: u8,
    gone: bool,
    figures: SlotFigures,
}

/// The kernel half and the names of its cgroups.
pub(super) struct Host {
    pub(super) rows: Rows,
    pub(super) now: Instant,
    by_pairs: bool,
    slots: BTreeMap<u32, Slot>,
    delays: BTreeMap<(u32, u32), u64>,
    calls: BTreeMap<CallKey, CallRow>,
    /// Time of all threads, and calls, ever.
    truth_ns: u64,
    pub(super) truth_calls: u64,
    pub(super) last: Reading,
}

/// Series with their values.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    series: BTreeMap<(GroupKey, String), u64>,
    pub(super) calls: u64,
}

fn nothing() -> SlotFigures {
    SlotFigures {
        account: Account::default(),
        waits: [0; BUCKETS],
        stops: [0; BUCKETS],
    }
}

fn is_empty(figures: &SlotFigures) -> bool {
    figures.account == Account::default()
}

fn raw(calls: impl Iterator<Item = (CallKey, CallRow)>) -> RawViews {
    let calls: Arc<dyn Raw> = Arc::new(RawCalls {
        rows: calls.collect(),
        timed: true,
    });
    [calls].into_iter().collect()
}

impl Host {
    pub(super) fn new(limits: Limits) -> Self {
        let slot = |slot| {
            let slot_of_ours = Slot {
                name: 0,
                gone: false,
                figures: nothing(),
            };
            (slot, slot_of_ours)
        };
        Self {
            rows: Rows::new(limits),
            now: Instant::now(),
            by_pairs: false,
            slots: [slot(SLOT_HOST), slot(SLOT_KERNEL)].into(),
            delays: BTreeMap::new(),
            calls: BTreeMap::new(),
            truth_ns: 0,
            truth_calls: 0,
            last: Reading::default(),
        }
    }

    pub(super) fn key(&self, slot: u32) -> Option<GroupKey> {
        let Slot { name, .. } = self.slots.get(&slot)?;
        Some(match slot {
            SLOT_HOST => GroupKey::fixed(Fixed::Host),
            SLOT_KERNEL => GroupKey::fixed(Fixed::Kernel),
            _ => self.key_of(*name),
        })
    }

    fn key_of(&self, name: u8) -> GroupKey {
        let mut key = GroupKey::default();
        if self.by_pairs && name < 6 {
            (key.namespace, key.pod) = ("shop".to_owned(), format!("pod-{}", name / 2));
        } else {
            key.container = format!("name-{name}");
        }
        key
    }

    fn work(&mut self, slot: u32, state: usize, ns: u64) {
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.figures.account.time_ns[state] += ns;
            if state == state::ON_CPU {
                slot.figures.account.ticked_user_ns += ns % 3;
                slot.figures.account.ticked_kernel_ns += ns % 5;
            }
            self.truth_ns += ns;
        }
    }

    pub(super) fn wait(&mut self, victim: u32, culprit: u32, ns: u64, explained_ns: u64) {
        if !self.slots.contains_key(&victim) {
            return;
        }
        self.work(victim, state::RUN_QUEUE, ns);
        if let Some(slot) = self.slots.get_mut(&victim) {
            slot.figures.waits[bucket(ns)] += 1;
            slot.figures.account.waits.count += 1;
            slot.figures.account.waits.sum_ns += ns;
        }
        *self.delays.entry((victim, culprit)).or_default() += explained_ns;
    }

    fn retire(&mut self, number: u32) {
        let keys: BTreeMap<u32, GroupKey> = self
            .slots
            .keys()
            .filter_map(|slot| Some((*slot, self.key(*slot)?)))
            .collect();
        self.retire_as(number, |slot| keys.get(&slot).cloned());
    }

    pub(super) fn retire_as(&mut self, number: u32, key: impl Fn(u32) -> Option<GroupKey>) {
        if !self.slots.get(&number).is_some_and(|slot| slot.gone) {
            return;
        }
        let Some(slot) = self.slots.get(&number) else {
            return;
        };
        let mut retirement = Retirement {
            cgroups: vec![Retired {
                slot: number,
                path: String::new(),
                figures: (!is_empty(&slot.figures)).then(|| slot.figures.clone()),
            }],
            ..Retirement::default()
        };
        self.delays.retain(|(victim, culprit), ns| {
            let is_taken = *victim == number || *culprit == number;
            if is_taken {
                let key = DelayKey {
                    victim: *victim,
                    culprit: *culprit,
                };
                retirement.delays.push((key, *ns));
            }
            !is_taken
        });
        let calls = self.calls.extract_if(.., |key, _| key.slot() == number);
        retirement.raw = raw(calls);
        self.rows
            .retire(&retirement, |slot| Named::by_key(&key(slot)?));
        self.slots.remove(&number);
    }

    fn rename(&mut self, number: u32, name: u8) {
        let Some(before) = self.key(number) else {
            return;
        };
        if let Some(slot) = self.slots.get_mut(&number) {
            slot.name = name;
        }
        let is_used = self
            .slots
            .keys()
            .any(|it| self.key(*it).as_ref() == Some(&before));
        if !is_used {
            let now = self.key_of(name);
            self.rows.rename(&before, &now);
        }
    }

    /// Adds what is new.
    pub(super) fn add(&mut self) {
        self.rows.begin(TELLS);
        for (number, slot) in &self.slots {
            let Some(named) = self.key(*number).and_then(|key| Named::by_key(&key)) else {
                continue;
            };
            self.rows.bind(*number, &named, !slot.gone, None);
            if !is_empty(&slot.figures) {
                self.rows.figures(*number, &slot.figures);
            }
        }
        let delays: Vec<(DelayKey, u64)> = self
            .delays
            .iter()
            .flat_map(|((victim, culprit), ns)| {
                let key = DelayKey {
                    victim: *victim,
                    culprit: *culprit,
                };
                // A CPU holds a part of it back.
                [(key, ns / 3), (key, ns - ns / 3)]
            })
            .collect();
        self.rows.delays(&delays);
        let calls = self.calls.iter().map(|(key, row)| (*key, *row));
        self.rows.counted(&raw(calls));
        self.rows.settle(self.now);
    }

    pub(super) fn read(&mut self) {
        self.add();
        let mut counted: Vec<Container> = self.rows.iter().map(|_| Container::default()).collect();
        self.rows.fold(&mut counted);
        let counted = counted
            .iter()
            .filter_map(|row| row.measured.get::<Syscalls>());
        let calls = counted.flat_map(|it| &it.0).map(|call| call.count).sum();
        let mut reading = Reading {
            calls,
            ..Reading::default()
        };
        let ids: Vec<_> = self.rows.iter().map(|(id, _)| id).collect();
        let mut all_ns: u64 = self.rows.gone_ns().values().sum();
        for id in ids {
            let Some(Sums {
                time_ns,
                ledger,
                delayed_by,
            }) = self.rows.sums(id)
            else {
                panic!("a row without sums");
            };
            let key = self.rows.get_mut(id).map(|row| row.key.clone());
            let key = key.unwrap_or_default();
            let mut put = |label: String, value| {
                let before = reading.series.insert((key.clone(), label), value);
                assert!(before.is_none(), "a series twice in {key:?}");
            };
            let waited: u64 = delayed_by.iter().map(|(_, ns)| ns).sum();
            assert_eq!(waited, time_ns[&State::RunQueue], "{delayed_by:?}");
            all_ns += time_ns.values().sum::<u64>();
            for (state, ns) in time_ns {
                put(state.name().to_owned(), ns);
            }
            for (culprit, ns) in delayed_by {
                if let Delayer::Row(name) = &culprit {
                    assert_ne!(*name, key.full_name());
                }
                put(format!("by {}", culprit.label()), ns);
            }
            let latency = ledger.run_queue_latency;
            put("waits".to_owned(), latency.count);
            put("waited".to_owned(), latency.sum_ns);
            for bucket in latency.buckets {
                put(format!("from {}", bucket.from_ns), bucket.count);
            }
        }
        assert_eq!(
            all_ns, self.truth_ns,
            "time of all rows and of those that are gone"
        );
        let has_other = |reading: &Reading| {
            let mut keys = reading.series.keys();
            keys.any(|(key, _)| key.fixed == Some(Fixed::Other))
        };
        assert!(
            has_other(&reading) || !has_other(&self.last),
            "`other` is gone"
        );
        for (series, then) in &self.last.series {
            if let Some(now) = reading.series.get(series) {
                assert!(now >= then, "{series:?} fell from {then} to {now}");
            }
        }
        self.last = reading;
    }

    pub(super) fn happens(&mut self, event: Event) {
        match event {
            Event::Work(slot, state, ns) => self.work(slot, state, ns),
            Event::Wait(victim, culprit, ns, explained_ns) => {
                self.wait(victim, culprit, ns, explained_ns);
            }
            Event::Calls(slot, count) => {
                if self.slots.contains_key(&slot) {
                    self.work(slot, state::ON_CPU, 1);
                    let row = self
                        .calls
                        .entry(CallKey::of(slot, 7, 0, false))
                        .or_default();
                    row.count += count;
                    self.truth_calls += count;
                }
            }
            Event::Birth(slot, name) => {
                self.slots.entry(slot).or_insert(Slot {
                    name,
                    gone: false,
                    figures: nothing(),
                });
            }
            Event::Gone(slot) => {
                if let Some(slot) = self.slots.get_mut(&slot) {
                    slot.gone = true;
                }
            }
            Event::Retire(slot) => self.retire(slot),
            Event::Rename(slot, name) => {
                if SLOTS.contains(&slot) {
                    self.rename(slot, name);
                }
            }
            Event::Limit(rows, culprits, linger) => self.rows.limit(Limits {
                rows,
                culprits,
                linger: Duration::from_secs(linger),
            }),
            Event::Regroup(by_pairs) => {
                if std::mem::replace(&mut self.by_pairs, by_pairs) != by_pairs {
                    self.rows.regroup();
                }
            }
            Event::Read(seconds) => {
                self.now += Duration::from_secs(seconds);
                self.read();
            }
        }
    }
}
