//! Threads wait for a disk.

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::analysis::summary::ContainerSummary;
use crate::model::units;
use crate::views::limits::Limits;
use crate::views::workload::Workload;

pub(super) const RULE: Rule = Rule {
    id: "disk",
    about: "threads wait for a disk or a file system",
    when: "they do for 10% of its active time; critical from 50% on",
    judge,
};

/// Calls that return when data is on the disk.
const SYNC: [&str; 6] = [
    "fsync",
    "fdatasync",
    "sync",
    "syncfs",
    "msync",
    "sync_file_range",
];

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let ns = patient.ns(Spent::Disk);
    let share = patient.share(ns);
    if !patient.is_notable(ns) || share < 0.1 {
        return None;
    }
    let is_meant = |_: &crate::model::Stack, spent| spent == Spent::Disk;
    let severity = if share >= 0.5 {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let sync = patient
        .stacks(|stack, spent| {
            is_meant(stack, spent)
                && stack
                    .syscall
                    .as_deref()
                    .is_some_and(|call| SYNC.contains(&call))
        })
        .fold((0_u64, 0_u64), |(ns, times), stack| {
            (
                ns.saturating_add(stack.time_ns),
                times.saturating_add(stack.count),
            )
        });
    let is_sync = sync.0 > ns / 2;
    let title = if is_sync {
        format!(
            "It waits for {} until its data is on the disk, again and again.",
            called(patient)
        )
    } else {
        "It waits for a disk.".to_owned()
    };
    let calls = patient.in_calls(is_meant);
    let calls = calls.first().map(|it| {
        format!(
            "{} of it in {}",
            units::percent(it.ns, it.of_ns),
            it.function
        )
    });
    let mut evidence = vec![format!(
        "waited {} for disks, {} of its active time (ledger)",
        units::duration(ns),
        units::percent(ns, patient.active_ns())
    )];
    evidence.extend(calls);
    if is_sync && sync.1 > 0 {
        evidence.push(format!(
            "slept {} in it, {} each",
            units::counted(sync.1, "time"),
            units::duration(sync.0 / sync.1)
        ));
    }
    let (read, written) = bytes(patient.summary);
    evidence.push(format!(
        "read {}, wrote {} (cgroup, /proc/PID/io)",
        units::bytes(read),
        units::bytes(written)
    ));
    let other = other_writer(patient);
    evidence.extend(
        other
            .as_ref()
            .map(|(name, written)| format!("meanwhile {name} wrote {}", units::bytes(*written))),
    );
    evidence.extend(
        patient
            .mostly(is_meant)
            .map(|words| format!("mostly {words}")),
    );
    let mut advice = Vec::new();
    if is_sync {
        advice.push(match patient.function(is_meant) {
            Some(place) => format!("have {} write several entries for each {} (group commit), or fewer of them durable", place.function, called(patient)),
            None => format!("several entries for each {} (group commit), or fewer of them durable", called(patient)),
        });
    } else {
        advice.push("read ahead or keep more of it in memory".to_owned());
    }
    advice.extend(other.map(|(name, _)| {
        format!(
            "a disk of its own, or less writing by {name} (docker run --device-write-bps …, io.max)"
        )
    }));
    advice.push(
        "a volume on a faster disk in place of the container's own layers (docker run -v …)"
            .to_owned(),
    );
    let speedup = 1.0 / (1.0 - share).max(0.02);
    Some(
        Finding::new(RULE.id, severity, title)
            .about(ns, share)
            .sure(Confidence::Certain)
            .shown_by(evidence)
            .shown_by(patient.pressure(|it| it.io, "io.pressure"))
            .advising(advice)
            .gaining(
                format!("up to {speedup:.1} times as much work a second without these waits"),
                None,
            ),
    )
}

fn called(patient: &Patient<'_>) -> String {
    let calls = patient.in_calls(|_, spent| spent == Spent::Disk);
    calls
        .first()
        .map_or_else(|| "the disk".to_owned(), |it| it.function.clone())
}

/// What a container read and wrote: by its cgroup, or by its processes, where that is more.
fn bytes(container: &ContainerSummary) -> (u64, u64) {
    let measured = &container.views.measured;
    let disk = measured.get::<Limits>().and_then(|it| it.disk);
    let disk = disk.unwrap_or_default();
    let (read, written) = measured
        .get::<Workload>()
        .map_or((0, 0), |it| (it.read, it.written));
    (disk.read.max(read), disk.written.max(written))
}

/// Who else wrote most, if it is more than this container did.
fn other_writer(patient: &Patient<'_>) -> Option<(String, u64)> {
    let (_, own) = bytes(patient.summary);
    let others = patient
        .all
        .iter()
        .filter(|it| it.label != patient.summary.label && !it.is_kernel());
    let written = others.map(|it| (it, bytes(it).1));
    let (other, written) = written.max_by_key(|(_, written)| *written)?;
    (written > own && written > 16 << 20).then(|| (other.label.clone(), written))
}
