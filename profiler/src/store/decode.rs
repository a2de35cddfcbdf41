//! A window from records. They may come from anywhere, and nothing that they say is taken for granted.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use super::layout::{
    BucketRecord, CulpritRecord, FrameRecord, Head, HistogramRecord, KindRecord, LedgerRecord,
    ModuleRecord, QualityRecord, RowRecord, StackRecord,
};
use super::{limits, slices};
use crate::model::text::printable;
use crate::model::{
    Bucket, CfsFigures, Container, ContainerIdentity, Culprit, Cut, Cuts, Delay, Frame, FrameId,
    FrameKind, Histogram, Ledger, Measured, Module, ModuleId, Pod, Runtime, Stack, StackQuality,
    State, Stolen, Unavailable, Unnamed, ViewId, Window,
};
use crate::views;

/// What is wrong, as a part of a sentence without control characters.
pub(super) type Problem = String;

pub(super) fn broken() -> Problem {
    "it is damaged".to_owned()
}

pub(super) type Decoded<T> = Result<T, Problem>;

fn quality(record: &QualityRecord) -> Decoded<StackQuality> {
    let mut cut = Cuts::default();
    for (number, count) in &record.cut {
        let cause = Cut::ALL.get(usize::from(*number)).ok_or_else(broken)?;
        cut.add(*cause, *count);
    }
    Ok(StackQuality {
        complete: record.complete,
        truncated: record.truncated,
        unreadable: record.unreadable,
        cut,
    })
}

/// Records that are still to be read.
struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    fn next<T: Deserialize<'a>>(&mut self) -> Decoded<T> {
        let (record, rest) = postcard::take_from_bytes(self.0).map_err(|_| broken())?;
        self.0 = rest;
        Ok(record)
    }

    /// `count` records, of which none is empty: more than there are bytes are not there.
    fn many<T: Deserialize<'a>>(
        &mut self,
        count: u32,
        limit: usize,
    ) -> Decoded<impl Iterator<Item = Decoded<T>>> {
        let count = count as usize;
        if count > limit || count > self.0.len() {
            return Err(broken());
        }
        Ok((0..count).map(|_| self.next()))
    }
}

/// What records refer to.
pub(super) struct Known {
    strings: Vec<Arc<str>>,
    states: Vec<State>,
    frames: Vec<FrameId>,
    rows: usize,
    /// Frames that stacks may still have.
    stack_frames: usize,
    stacks: usize,
    pub(super) slices: usize,
    pub(super) slice_parts: usize,
    /// Sum of all times of states and stacks.
    total_ns: u64,
    /// Views that rows have and this ctprof has not.
    unknown_views: BTreeSet<String>,
}

impl Known {
    fn string(&self, number: u32) -> Decoded<Arc<str>> {
        self.strings
            .get(number as usize)
            .cloned()
            .ok_or_else(broken)
    }

    pub(super) fn state(&self, number: u8) -> Decoded<State> {
        self.states
            .get(usize::from(number))
            .copied()
            .ok_or_else(broken)
    }

    pub(super) fn add_time(&mut self, ns: u64) -> Result<(), Problem> {
        self.total_ns = self
            .total_ns
            .checked_add(ns)
            .filter(|total| *total < limits::TOTAL_NS)
            .ok_or("it has more time than a recording can hold")?;
        Ok(())
    }
}

/// Ours are clean. Another's must not reach a terminal as they are.
fn clean(text: &str) -> String {
    printable(text, usize::MAX)
}

/// The window in these records: what it holds is clean, its numbers refer to what is there, and its sums do not
/// overflow.
pub(super) fn window(records: &[u8]) -> Decoded<Window> {
    let records = &mut Records(records);
    let head: Head = records.next()?;
    let mut window = Window {
        ctprof_version: clean(&head.ctprof_version),
        kernel: clean(&head.kernel),
        start_unix_ns: head.start_unix_ns,
        duration_ns: head.duration_ns,
        frequency_hz: head.frequency_hz,
        event: clean(&head.event),
        cpus: head.cpus,
        slices_ns: head.slices_ns,
        stolen: head.stolen_ns.map(|(hypervisor_ns, interrupts_ns)| Stolen {
            hypervisor_ns,
            interrupts_ns,
        }),
        ..Window::default()
    };
    for (name, count) in &head.lost {
        let loss = views::loss(name).ok_or_else(broken)?;
        window.lost.insert(loss, *count);
    }
    window
        .unavailable
        .extend(head.unavailable.iter().map(|(view, cause)| Unavailable {
            view: ViewId::read(clean(view)),
            cause: clean(cause),
        }));
    for (cause, count, _) in &head.unnamed {
        let cause = crate::model::Problem::from_id(cause).ok_or_else(broken)?;
        window.unnamed.push(Unnamed {
            cause,
            count: *count,
        });
    }
    let states = head.states.iter().map(|name| State::from_name(name));
    let mut known = Known {
        strings: Vec::new(),
        states: states.collect::<Option<_>>().ok_or_else(broken)?,
        frames: Vec::new(),
        rows: head.rows as usize,
        stack_frames: limits::STACK_FRAMES,
        stacks: limits::STACKS,
        slices: window.slices_ns.len(),
        slice_parts: limits::SLICE_PARTS,
        total_ns: 0,
        unknown_views: BTreeSet::new(),
    };
    for string in records.many::<&str>(head.strings, usize::MAX)? {
        known.strings.push(clean(string?).into());
    }
    let mut modules = Vec::new();
    for module in records.many(head.modules, limits::FRAMES)? {
        let ModuleRecord { path, build_id } = module?;
        modules.push(window.frames.intern_module(Module {
            path: known.string(path)?,
            build_id: known.string(build_id)?,
        }));
    }
    for record in records.many(head.frames, limits::FRAMES)? {
        let frame = frame(&record?, &modules, &known)?;
        known.frames.push(window.frames.intern(frame));
    }
    slices::check(&window.slices_ns, &mut known)?;
    for _ in 0..head.rows {
        let row = row(records, &mut known)?;
        window.rows.push(row);
    }
    let unknown = known.unknown_views.into_iter().map(|id| Unavailable {
        view: ViewId::read(id),
        cause: format!(
            "this ctprof does not know it; use ctprof {}, which recorded it",
            window.ctprof_version
        ),
    });
    window.unavailable.extend(unknown);
    match records.0 {
        [] => Ok(window),
        _ => Err(broken()),
    }
}

fn frame(record: &FrameRecord, modules: &[ModuleId], known: &Known) -> Decoded<Frame> {
    let (kind, inlined) = match record.kind {
        KindRecord::User => (FrameKind::User, false),
        KindRecord::Inlined => (FrameKind::User, true),
        KindRecord::Kernel => (FrameKind::Kernel, false),
        KindRecord::KernelInlined => (FrameKind::Kernel, true),
        KindRecord::StandIn => (FrameKind::StandIn, false),
    };
    let module = |number: u32| modules.get(number as usize).copied().ok_or_else(broken);
    Ok(Frame {
        function: known.string(record.function)?,
        kind,
        module: record.module.map(module).transpose()?,
        address: record.address,
        inlined,
        file: record.file.map(|file| known.string(file)).transpose()?,
        line: record.line,
    })
}

fn row(records: &mut Records<'_>, known: &mut Known) -> Decoded<Container> {
    let record: RowRecord = records.next()?;
    let mut row = Container {
        identity: ContainerIdentity {
            id: clean(&record.id),
            name: clean(&record.name),
            runtime: Runtime::from_name(&record.runtime).ok_or_else(broken)?,
            image: clean(&record.image),
            pod: record.pod.as_ref().map(|(namespace, name)| Pod {
                namespace: clean(namespace),
                name: clean(name),
            }),
            cgroup: clean(&record.cgroup),
        },
        cpu_quota_cores: record.cpu_quota_cores,
        threads: record.threads,
        ledger: record.ledger.map(|it| ledger(it, known)).transpose()?,
        measured: measured(&record.views, known)?,
        cfs: record.cfs.map(|cfs| CfsFigures {
            usage_ns: cfs.usage_ns,
            periods: cfs.periods,
            throttled_periods: cfs.throttled_periods,
            throttled_ns: cfs.throttled_ns,
            throttled_local_ns: cfs.throttled_local_ns,
            bursts: cfs.bursts,
            burst_ns: cfs.burst_ns,
        }),
        samples: record.samples,
        quality: quality(&record.quality)?,
        wait_quality: quality(&record.wait_quality)?,
        items: record
            .items
            .iter()
            .map(|(name, variant)| views::item(clean(name), clean(variant)))
            .collect(),
        ..Container::default()
    };
    for (state, ns) in record.time_ns {
        known.add_time(ns)?;
        row.time_ns.insert(known.state(state)?, ns);
    }
    let mut before: Vec<FrameId> = Vec::new();
    for record in records.many::<StackRecord<Vec<u32>>>(record.stacks, known.stacks)? {
        row.stacks.push(stack(&record?, &mut before, known)?);
    }
    known.stacks -= row.stacks.len();
    for record in records.many(record.slices, known.slices)? {
        slices::push(&record?, &mut row, known)?;
    }
    Ok(row)
}

fn measured(records: &[(String, Vec<u8>)], known: &mut Known) -> Decoded<Measured> {
    let unknown = |id: &str| {
        if known.unknown_views.len() < limits::UNKNOWN_VIEWS {
            known.unknown_views.insert(clean(id));
        }
    };
    views::decode(records, clean, unknown).ok_or_else(broken)
}

/// A stack; `before` are the frames of the one before it, root first, and become its own.
fn stack(
    record: &StackRecord<Vec<u32>>,
    before: &mut Vec<FrameId>,
    known: &mut Known,
) -> Decoded<Stack> {
    if record.shared as usize > before.len() {
        return Err(broken());
    }
    before.truncate(record.shared as usize);
    for number in &record.frames {
        let id = known.frames.get(*number as usize).ok_or_else(broken)?;
        before.push(*id);
    }
    known.stack_frames = known
        .stack_frames
        .checked_sub(before.len())
        .ok_or("it has more frames than a recording can hold")?;
    known.add_time(record.time_ns)?;
    Ok(Stack {
        state: known.state(record.state)?,
        pid: record.pid,
        thread: known.string(record.thread)?,
        frames: before.iter().rev().copied().collect(),
        count: record.count,
        time_ns: record.time_ns,
        syscall: record
            .syscall
            .map(|number| known.string(number))
            .transpose()?,
        burnt_quota: record.burnt_quota,
    })
}

fn ledger(record: LedgerRecord, known: &Known) -> Decoded<Ledger> {
    let delayed_by = record.delayed_by.into_iter().map(|(culprit, ns)| {
        let culprit = match culprit {
            CulpritRecord::Siblings => Culprit::Siblings,
            CulpritRecord::Row(row) if (row as usize) < known.rows => Culprit::Row(row as usize),
            CulpritRecord::Row(_) => return Err(broken()),
            CulpritRecord::Elsewhere(name) => Culprit::Elsewhere(clean(&name)),
            CulpritRecord::Host => Culprit::Host,
            CulpritRecord::Kernel => Culprit::Kernel,
            CulpritRecord::Idle => Culprit::Idle,
            CulpritRecord::Unknown => Culprit::Unknown,
        };
        Ok(Delay { culprit, ns })
    });
    Ok(Ledger {
        thread_time_ns: record.thread_time_ns,
        threads_born: record.threads_born,
        threads_exited: record.threads_exited,
        voluntary_switches: record.voluntary_switches,
        involuntary_switches: record.involuntary_switches,
        migrations: record.migrations,
        limited_ns: record.limited_ns,
        delayed_by: delayed_by.collect::<Decoded<_>>()?,
        run_queue_latency: histogram(&record.run_queue_latency)?,
        throttle_duration: histogram(&record.throttle_duration)?,
    })
}

pub(super) fn histogram(record: &HistogramRecord) -> Decoded<Histogram> {
    let buckets = record.buckets.iter().map(|bucket| {
        let (from_ns, to_ns) = bounds(bucket)?;
        Ok(Bucket {
            from_ns,
            to_ns,
            count: bucket.count,
        })
    });
    Ok(Histogram {
        count: record.count,
        sum_ns: record.sum_ns,
        max_ns: record.max_ns,
        buckets: buckets.collect::<Decoded<_>>()?,
    })
}

fn bounds(bucket: &BucketRecord) -> Decoded<(u64, u64)> {
    let to_ns = bucket.from_ns.checked_add(bucket.width_ns);
    Ok((bucket.from_ns, to_ns.ok_or_else(broken)?))
}
