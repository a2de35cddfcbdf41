//! A window as bytes.

use std::io::{self, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use foldhash::{HashMap, HashMapExt as _};
use serde::Serialize;

use super::layout::{
    BucketRecord, CfsRecord, CulpritRecord, FrameRecord, Head, HistogramRecord, KindRecord,
    LedgerRecord, ModuleRecord, QualityRecord, RowRecord, StackRecord,
};
use super::{MAGIC, VERSION, limits, slices};
use crate::model::{
    Container, Culprit, Cut, FrameId, FrameKind, Histogram, Ledger, Stack, StackQuality, State,
    Window,
};
use crate::views;

/// Records are handed to the compressor in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

/// Writes the window.
///
/// # Errors
/// What the writer fails with; a window beyond what a reader accepts.
pub fn write(window: &Window, out: &mut impl Write) -> io::Result<()> {
    check(window)?;
    out.write_all(&MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    let writer = env!("CARGO_PKG_VERSION").as_bytes();
    out.write_all(&[writer.len() as u8])?;
    out.write_all(writer)?;
    // The fastest level takes a third of the time of the default for a tenth more bytes.
    let mut records = Records {
        piece: Vec::with_capacity(2 * PIECE_BYTES),
        written: 0,
        out: ZlibEncoder::new(out, Compression::fast()),
    };
    let strings = Strings::of(window);
    records.add(&head(window, &strings))?;
    for string in &strings.all {
        records.add(string)?;
    }
    for module in window.frames.modules() {
        records.add(&ModuleRecord {
            path: strings.number(&module.path),
            build_id: strings.number(&module.build_id),
        })?;
    }
    for frame in window.frames.frames() {
        let kind = match (frame.kind, frame.inlined) {
            (FrameKind::User, false) => KindRecord::User,
            (FrameKind::User, true) => KindRecord::Inlined,
            (FrameKind::Kernel, false) => KindRecord::Kernel,
            (FrameKind::Kernel, true) => KindRecord::KernelInlined,
            (FrameKind::StandIn, _) => KindRecord::StandIn,
        };
        records.add(&FrameRecord {
            function: strings.number(&frame.function),
            kind,
            module: frame.module.map(|id| id.0),
            address: frame.address,
            file: frame.file.as_ref().map(|file| strings.number(file)),
            line: frame.line,
        })?;
    }
    for row in &window.rows {
        records.add(&row_record(row)?)?;
        let places = write_stacks(&row.stacks, &strings, &mut records)?;
        for slice in &row.slices {
            records.add(&slices::record(slice, &places))?;
        }
    }
    records.finish()
}

/// What a reader refuses is not written: a recording that cannot be read must not look like one.
fn check(window: &Window) -> io::Result<()> {
    let stacks = || window.rows.iter().flat_map(|row| &row.stacks);
    let frames: usize = stacks().map(|stack| stack.frames.len()).sum();
    for (count, limit, what) in [
        (window.frames.frames().len(), limits::FRAMES, "frames"),
        (stacks().count(), limits::STACKS, "stacks"),
        (frames, limits::STACK_FRAMES, "frames of stacks"),
        (window.slices_ns.len(), limits::SLICES, "slices"),
        (
            slices::count_parts(window),
            limits::SLICE_PARTS,
            "parts of slices",
        ),
    ] {
        if count > limit {
            return Err(io::Error::other(format!(
                "{count} {what} are more than {limit}"
            )));
        }
    }
    Ok(())
}

/// Records on their way to the file.
struct Records<W: Write> {
    piece: Vec<u8>,
    written: u64,
    out: ZlibEncoder<W>,
}

impl<W: Write> Records<W> {
    fn add(&mut self, record: &impl Serialize) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        self.piece = postcard::to_extend(record, piece).map_err(io::Error::other)?;
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.written += self.piece.len() as u64;
        if self.written > limits::RECORD_BYTES {
            let limit = limits::RECORD_BYTES;
            return Err(io::Error::other(format!(
                "it needs more than {limit} bytes"
            )));
        }
        self.out.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.out.finish()?.flush()
    }
}

/// The strings of modules, frames and stacks, each once. Most are shared: they are known by where they are.
struct Strings<'a> {
    all: Vec<&'a str>,
    numbers: HashMap<&'a str, u32>,
}

impl<'a> Strings<'a> {
    fn of(window: &'a Window) -> Self {
        let mut this = Self {
            all: Vec::new(),
            numbers: HashMap::new(),
        };
        for module in window.frames.modules() {
            this.add(&module.path);
            this.add(&module.build_id);
        }
        for frame in window.frames.frames() {
            this.add(&frame.function);
            if let Some(file) = &frame.file {
                this.add(file);
            }
        }
        for stack in window.rows.iter().flat_map(|row| &row.stacks) {
            this.add(&stack.thread);
            if let Some(syscall) = &stack.syscall {
                this.add(syscall);
            }
        }
        this
    }

    fn add(&mut self, string: &'a Arc<str>) {
        let number = self.all.len() as u32;
        if *self.numbers.entry(string).or_insert(number) == number {
            self.all.push(string);
        }
    }

    fn number(&self, string: &str) -> u32 {
        self.numbers.get(string).copied().unwrap_or(u32::MAX)
    }
}

fn head(window: &Window, strings: &Strings<'_>) -> Head {
    Head {
        ctprof_version: window.ctprof_version.clone(),
        kernel: window.kernel.clone(),
        start_unix_ns: window.start_unix_ns,
        duration_ns: window.duration_ns,
        frequency_hz: window.frequency_hz,
        event: window.event.clone(),
        cpus: window.cpus,
        stolen_ns: window
            .stolen
            .map(|stolen| (stolen.hypervisor_ns, stolen.interrupts_ns)),
        lost: window
            .lost
            .iter()
            .map(|(loss, count)| (loss.name().to_owned(), *count))
            .collect(),
        unavailable: window
            .unavailable
            .iter()
            .map(|it| (it.view.as_str().to_owned(), it.cause.clone()))
            .collect(),
        unnamed: window
            .unnamed
            .iter()
            .map(|it| {
                let cause = it.cause;
                (cause.id().to_owned(), it.count, cause.explain().to_owned())
            })
            .collect(),
        states: State::ALL.map(|state| state.name().to_owned()).to_vec(),
        strings: strings.all.len() as u32,
        modules: window.frames.modules().len() as u32,
        frames: window.frames.frames().len() as u32,
        rows: window.rows.len() as u32,
        slices_ns: window.slices_ns.clone(),
    }
}

/// The state's position in [`State::ALL`].
pub(super) fn state_number(state: State) -> u8 {
    let position = State::ALL.iter().position(|known| *known == state);
    position.unwrap_or_default() as u8
}

fn row_record(row: &Container) -> io::Result<RowRecord> {
    let identity = &row.identity;
    Ok(RowRecord {
        id: identity.id.clone(),
        name: identity.name.clone(),
        runtime: identity.runtime.name().to_owned(),
        image: identity.image.clone(),
        pod: identity
            .pod
            .as_ref()
            .map(|pod| (pod.namespace.clone(), pod.name.clone())),
        cgroup: identity.cgroup.clone(),
        cpu_quota_cores: row.cpu_quota_cores,
        threads: row.threads,
        time_ns: row
            .time_ns
            .iter()
            .map(|(state, ns)| (state_number(*state), *ns))
            .collect(),
        ledger: row.ledger.as_ref().map(ledger_record),
        views: views::encode(&row.measured).map_err(io::Error::other)?,
        cfs: row.cfs.map(|cfs| CfsRecord {
            usage_ns: cfs.usage_ns,
            periods: cfs.periods,
            throttled_periods: cfs.throttled_periods,
            throttled_ns: cfs.throttled_ns,
            throttled_local_ns: cfs.throttled_local_ns,
            bursts: cfs.bursts,
            burst_ns: cfs.burst_ns,
        }),
        samples: row.samples,
        quality: quality_record(&row.quality),
        wait_quality: quality_record(&row.wait_quality),
        stacks: row.stacks.len() as u32,
        slices: row.slices.len() as u32,
        items: row.items.iter().map(views::item_record).collect(),
    })
}

fn quality_record(quality: &StackQuality) -> QualityRecord {
    let cut = Cut::ALL.iter();
    QualityRecord {
        complete: quality.complete,
        truncated: quality.truncated,
        unreadable: quality.unreadable,
        cut: cut
            .map(|cut| (*cut as u8, quality.cut.0[*cut as usize]))
            .filter(|(_, count)| *count > 0)
            .collect(),
    }
}

fn ledger_record(ledger: &Ledger) -> LedgerRecord {
    LedgerRecord {
        thread_time_ns: ledger.thread_time_ns,
        threads_born: ledger.threads_born,
        threads_exited: ledger.threads_exited,
        voluntary_switches: ledger.voluntary_switches,
        involuntary_switches: ledger.involuntary_switches,
        migrations: ledger.migrations,
        limited_ns: ledger.limited_ns,
        run_queue_latency: histogram_record(&ledger.run_queue_latency),
        throttle_duration: histogram_record(&ledger.throttle_duration),
        delayed_by: ledger
            .delayed_by
            .iter()
            .map(|delay| {
                let culprit = match &delay.culprit {
                    Culprit::Siblings => CulpritRecord::Siblings,
                    Culprit::Row(row) => CulpritRecord::Row(*row as u32),
                    Culprit::Elsewhere(name) => CulpritRecord::Elsewhere(name.clone()),
                    Culprit::Host => CulpritRecord::Host,
                    Culprit::Kernel => CulpritRecord::Kernel,
                    Culprit::Idle => CulpritRecord::Idle,
                    Culprit::Unknown => CulpritRecord::Unknown,
                };
                (culprit, delay.ns)
            })
            .collect(),
    }
}

pub(super) fn histogram_record(histogram: &Histogram) -> HistogramRecord {
    let buckets = histogram.buckets.iter();
    HistogramRecord {
        count: histogram.count,
        sum_ns: histogram.sum_ns,
        max_ns: histogram.max_ns,
        buckets: buckets
            .map(|it| BucketRecord::new(it.from_ns, it.to_ns, it.count))
            .collect(),
    }
}

/// Writes the stacks. Returns the place in the file of each of them.
fn write_stacks<W: Write>(
    stacks: &[Stack],
    strings: &Strings<'_>,
    records: &mut Records<W>,
) -> io::Result<Vec<u32>> {
    let mut order: Vec<(usize, &Stack)> = stacks.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.frames.iter().rev().cmp(b.frames.iter().rev()));
    let mut places = vec![0; stacks.len()];
    let mut before: &[FrameId] = &[];
    let mut rest: Vec<u32> = Vec::new();
    for (written, (place, stack)) in order.into_iter().enumerate() {
        places[place] = written as u32;
        let pairs = stack.frames.iter().rev().zip(before.iter().rev());
        let shared = pairs.take_while(|(own, before)| own == before).count();
        rest.clear();
        rest.extend(stack.frames.iter().rev().skip(shared).map(|id| id.0));
        records.add(&StackRecord {
            state: state_number(stack.state),
            pid: stack.pid,
            thread: strings.number(&stack.thread),
            syscall: stack.syscall.as_ref().map(|call| strings.number(call)),
            burnt_quota: stack.burnt_quota,
            count: stack.count,
            time_ns: stack.time_ns,
            shared: shared as u32,
            frames: &rest,
        })?;
        before = &stack.frames;
    }
    Ok(places)
}
