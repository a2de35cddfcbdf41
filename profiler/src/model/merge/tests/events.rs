//! Sequences of events, and the windows that measure parts of them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::model::measured::Tally;
use crate::model::{
    Bucket, CfsFigures, Container, Culprit, Delay, Frame, FrameId, FrameKind, Histogram, Item,
    Latency, LatencyBucket, Ledger, Loss, Measured, Module, Op, Problem, Runtime, Slice, SlicePart,
    Stack, State, Sums as _, Unavailable, Unnamed, ViewId, Window,
};

const ROWS: u8 = 4;

/// What happens to a row, which takes `ns`.
#[derive(Clone, Debug)]
pub(super) struct Event {
    row: u8,
    ns: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Sampled { depth: u8, burnt: bool },
    Blocked { depth: u8, call: u8 },
    Waited { culprit: u8 },
    Called,
    Born,
    Exited,
    Limited { cores: u8 },
    Lost,
}

fn event() -> impl Strategy<Value = Event> {
    let what = prop_oneof![
        (0..5_u8, any::<bool>()).prop_map(|(depth, burnt)| What::Sampled { depth, burnt }),
        (0..5_u8, 0..3_u8).prop_map(|(depth, call)| What::Blocked { depth, call }),
        (0..ROWS + 2).prop_map(|culprit| What::Waited { culprit }),
        Just(What::Called),
        Just(What::Born),
        Just(What::Exited),
        (1..4_u8).prop_map(|cores| What::Limited { cores }),
        Just(What::Lost),
    ];
    (0..ROWS, 1..2_000_u64, what).prop_map(|(row, ns, what)| Event { row, ns, what })
}

/// A sequence and where to cut it.
pub(super) fn sequence() -> impl Strategy<Value = (Vec<Event>, Vec<usize>)> {
    proptest::collection::vec(event(), 0..60).prop_flat_map(|events| {
        let cuts = proptest::collection::vec(0..=events.len(), 0..5);
        (Just(events), cuts)
    })
}

/// The window from event `from` until before event `to`, as a recording of that time would have it: rows and frames are
/// in the order in which they were met, and rows without threads or events are not there.
pub(super) fn window(events: &[Event], from: usize, to: usize) -> Window {
    let mut made = Made::default();
    let mut threads = BTreeMap::<u8, u64>::new();
    let mut quota = BTreeMap::<u8, f64>::new();
    for (at, event) in events[..to].iter().enumerate() {
        let alive = threads.entry(event.row).or_default();
        match event.what {
            What::Born => *alive += 1,
            What::Exited => *alive = alive.saturating_sub(1),
            What::Limited { cores } => {
                quota.insert(event.row, f64::from(cores));
            }
            _ => {}
        }
        if at >= from {
            made.window.duration_ns += event.ns;
            made.add(event);
            made.window.slices_ns.push(event.ns);
        } else {
            made.window.start_unix_ns += event.ns;
        }
    }
    if from < to {
        for (row, _) in threads.iter().filter(|(_, alive)| **alive > 0) {
            made.row(*row);
        }
    }
    for (row, position) in &made.positions {
        let container = &mut made.window.rows[*position];
        container.threads = Some(threads.get(row).copied().unwrap_or(0));
        container.cpu_quota_cores = quota.get(row).copied();
    }
    made.window
}

#[derive(Default)]
struct Made {
    window: Window,
    positions: BTreeMap<u8, usize>,
}

impl Made {
    fn row(&mut self, row: u8) -> usize {
        let rows = &mut self.window.rows;
        *self.positions.entry(row).or_insert_with(|| {
            let mut container = Container {
                ledger: Some(Ledger::default()),
                cfs: Some(CfsFigures::default()),
                measured: measured(Tally::default()),
                ..Container::default()
            };
            let identity = &mut container.identity;
            match row {
                0 => identity.runtime = Runtime::Kernel,
                // A container that calls itself so is not the kernel.
                1 => (identity.id, identity.name) = ("1".to_owned(), "kernel".to_owned()),
                row => identity.cgroup = format!("/{row}"),
            }
            rows.push(container);
            rows.len() - 1
        })
    }

    fn frames(&mut self, depth: u8) -> Vec<FrameId> {
        let table = &mut self.window.frames;
        (0..depth)
            .map(|address| {
                let module = table.intern_module(Module {
                    path: format!("/lib/{}", address % 2).into(),
                    build_id: "".into(),
                });
                table.intern(Frame {
                    function: format!("f{address}").into(),
                    kind: FrameKind::User,
                    module: Some(module),
                    address: u64::from(address),
                    inlined: false,
                    file: None,
                    line: 0,
                })
            })
            .collect()
    }

    fn stack(&mut self, row: usize, ns: u64, stack: &Stack) {
        let row = &mut self.window.rows[row];
        *row.time_ns.entry(stack.state).or_default() += ns;
        row.ledger.as_mut().unwrap().thread_time_ns += ns;
        match row
            .stacks
            .iter_mut()
            .find(|known| known.order(stack).is_eq())
        {
            Some(known) => {
                known.count += 1;
                known.time_ns += ns;
            }
            None => row.stacks.push(stack.clone()),
        }
        let place = row.stacks.iter().position(|it| it.order(stack).is_eq());
        let slice = Slice {
            at: self.window.slices_ns.len() as u32,
            stacks: vec![part(place.unwrap(), ns)],
            ..Slice::default()
        };
        row.slices.push(slice);
    }

    fn add(&mut self, event: &Event) {
        let row = self.row(event.row);
        let ns = event.ns;
        let stack = |state, frames, call: Option<u8>, burnt_quota| Stack {
            state,
            pid: 1,
            thread: "t".into(),
            frames,
            count: 1,
            time_ns: ns,
            syscall: call.map(|call| format!("call{call}").into()),
            burnt_quota,
        };
        match event.what {
            What::Sampled { depth, burnt } => {
                let frames = self.frames(depth);
                self.window.rows[row].samples += 1;
                self.window.rows[row].quality.complete += 1;
                self.stack(row, ns, &stack(State::OnCpuUser, frames, None, burnt));
            }
            What::Blocked { depth, call } => {
                let frames = self.frames(depth);
                let stack = stack(State::BlockedNet, frames, Some(call), false);
                self.stack(row, ns, &stack);
            }
            What::Waited { culprit } => {
                let culprit = match culprit {
                    culprit if culprit == event.row => Culprit::Siblings,
                    culprit @ 0..ROWS => Culprit::Row(self.row(culprit)),
                    ROWS => Culprit::Elsewhere("far".to_owned()),
                    _ => Culprit::Idle,
                };
                let row = &mut self.window.rows[row];
                *row.time_ns.entry(State::RunQueue).or_default() += ns;
                let ledger = row.ledger.as_mut().unwrap();
                waited(&mut ledger.run_queue_latency, ns);
                match ledger
                    .delayed_by
                    .iter_mut()
                    .find(|known| known.culprit == culprit)
                {
                    Some(known) => known.ns += ns,
                    None => ledger.delayed_by.push(Delay { culprit, ns }),
                }
            }
            What::Called => {
                let row = &mut self.window.rows[row];
                row.measured.combine(&measured(called(ns)), Op::Add);
                let item = Item {
                    view: ViewId::new("tally"),
                    name: format!("call{}", ns % 3),
                    variant: String::new(),
                };
                let known = row.items.iter().position(|it| *it == item);
                let place = known.unwrap_or_else(|| {
                    row.items.push(item);
                    row.items.len() - 1
                });
                row.slices.push(Slice {
                    at: self.window.slices_ns.len() as u32,
                    items: vec![part(place, ns)],
                    ..Slice::default()
                });
            }
            What::Born => self.window.rows[row].ledger.as_mut().unwrap().threads_born += 1,
            What::Exited => {
                self.window.rows[row]
                    .ledger
                    .as_mut()
                    .unwrap()
                    .threads_exited += 1;
            }
            What::Limited { .. } => {
                let row = &mut self.window.rows[row];
                row.cfs.as_mut().unwrap().periods += 1;
                let tally = Tally {
                    sum: ns,
                    ..Tally::default()
                };
                row.measured.combine(&measured(tally), Op::Add);
            }
            What::Lost => {
                *self.window.lost.entry(Loss::StackMapFull).or_default() += 1;
                self.window.stolen.get_or_insert_default().hypervisor_ns += ns;
                let view = Unavailable {
                    view: ViewId::LEDGER,
                    cause: "none".to_owned(),
                };
                if self.window.unavailable.is_empty() {
                    self.window.unavailable.push(view);
                    self.window.unnamed.push(Unnamed {
                        cause: Problem::ProcessGone,
                        count: 0,
                    });
                }
                self.window.unnamed[0].count += 1;
            }
        }
    }
}

fn measured(tally: Tally) -> Measured {
    let mut measured = Measured::default();
    measured.insert(tally);
    measured
}

/// Each event is a slice, and has all of it.
const fn part(of: usize, ns: u64) -> SlicePart {
    SlicePart {
        of: of as u32,
        count: 1,
        ns,
    }
}

pub(super) fn waited(histogram: &mut Histogram, ns: u64) {
    histogram.count += 1;
    histogram.sum_ns += ns;
    histogram.max_ns = histogram.max_ns.max(ns);
    let from_ns = ns / 100 * 100;
    let buckets = &mut histogram.buckets;
    match buckets.binary_search_by_key(&from_ns, |bucket| bucket.from_ns) {
        Ok(at) => buckets[at].count += 1,
        Err(at) => buckets.insert(
            at,
            Bucket {
                from_ns,
                to_ns: from_ns + 100,
                count: 1,
            },
        ),
    }
}

fn called(ns: u64) -> Tally {
    let from_ns = ns / 100 * 100;
    Tally {
        latency: Latency {
            count: 1,
            sum_ns: ns,
            buckets: vec![LatencyBucket {
                from_ns,
                to_ns: from_ns + 100,
                count: 1,
                sum_ns: ns,
            }],
        },
        ..Tally::default()
    }
}
