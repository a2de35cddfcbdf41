//! What a reader must know to trust a recording, in words: losses, stacks that end early, and why there is
//! nothing to see.

use crate::analysis::summary::{ContainerSummary, Summary};
use crate::model::text::printable;
use crate::model::{Loss, StackQuality, Unavailable, units};

/// A list of containers is spelt out up to this many characters.
const MAX_NAMES: usize = 48;

/// A cause is cut here.
const MAX_CAUSE: usize = 300;

/// Below this share stacks that end early are not worth a line.
const NOTABLE_PERCENT: u64 = 5;

/// What a count of a cause means to a reader.
enum Kind {
    /// Nothing: it was repaired.
    Harmless,
    /// Events were dropped.
    Dropped,
    /// Something else, which these words say of one and of several.
    Check([&'static str; 2]),
}

const fn kind(loss: Loss) -> Kind {
    match loss {
        // Repaired with the next one.
        Loss::SwitchMissed => Kind::Harmless,
        Loss::LedgerResidual => Kind::Check([
            "row has states that do not add up to its thread time",
            "rows have states that do not add up to their thread time",
        ]),
        Loss::ThreadEndMissed => Kind::Check([
            "thread had not ended 300 ms after the recording: its lifetime is what its states say",
            "threads had not ended 300 ms after the recording: their lifetimes are what their states say",
        ]),
        Loss::WakeupMissed => Kind::Check([
            "wakeup was not seen: that wait for a CPU counts as blocked",
            "wakeups were not seen: those waits for a CPU count as blocked",
        ]),
        Loss::ProgramMissed => Kind::Check([
            "event came while the CPU was handling another in the same BPF program: it is not counted",
            "events came while the CPU was handling another in the same BPF program: they are not counted",
        ]),
        Loss::MapReadAgain => Kind::Check([
            "read of a BPF map was tried again, because a CPU was writing to it: nothing is lost",
            "reads of BPF maps were tried again, because a CPU was writing to them: nothing is lost",
        ]),
        Loss::OfView(loss) => match loss.meaning {
            Some(meaning) => Kind::Check(meaning),
            None => Kind::Dropped,
        },
        Loss::AccountMissing
        | Loss::CountMapFull
        | Loss::DelayMapFull
        | Loss::EventDropped
        | Loss::KernelStackUnreadable
        | Loss::MappingDropped
        | Loss::ScopeFull
        | Loss::StackCollision
        | Loss::StackMapFull
        | Loss::SubtreeFull
        | Loss::ThreadUntracked
        | Loss::ThrottleMapFull
        | Loss::UnknownEvent
        | Loss::UnknownSlot
        | Loss::UserStackUnreadable => Kind::Dropped,
    }
}

/// Each cause of loss that has a count: `12 events lost: stack map full`.
#[must_use]
pub fn losses(summary: &Summary) -> Vec<String> {
    lost(summary)
        .filter_map(|(loss, count)| match kind(loss) {
            Kind::Harmless => None,
            Kind::Check([one, _]) if count == 1 => Some(format!("1 {one}")),
            Kind::Check([_, several]) => Some(format!("{} {several}", units::count(count))),
            Kind::Dropped => Some(format!(
                "{} lost: {}",
                units::counted(count, "event"),
                loss.name().replace('_', " ")
            )),
        })
        .collect()
}

/// Causes that have a count.
fn lost(summary: &Summary) -> impl Iterator<Item = (Loss, u64)> {
    let all = summary.lost.iter().map(|(loss, count)| (*loss, *count));
    all.filter(|(_, count)| *count > 0)
}

/// CPU time that the hypervisor took, where it is more than a hundredth of the CPUs' time.
#[must_use]
pub fn stolen(summary: &Summary) -> Option<String> {
    let stolen = summary.stolen?.hypervisor_ns;
    let cpus_ns = summary
        .window_ns
        .saturating_mul(summary.sampling.cpus.max(1));
    (stolen.saturating_mul(100) > cpus_ns).then(|| {
        format!(
            "the hypervisor took {} of the CPUs' time (steal, {}): it counts as on-CPU time of whoever ran",
            units::duration(stolen),
            units::percent(stolen, cpus_ns)
        )
    })
}

/// Each cause of frames without names: `3 × processes exited before their mappings could be read`.
#[must_use]
pub fn unnamed(summary: &Summary) -> Vec<String> {
    summary
        .unnamed
        .iter()
        .map(|it| {
            format!(
                "frames without names: {} ({})",
                it.cause.explain(),
                units::count(it.count)
            )
        })
        .collect()
}

/// All losses as one phrase; `None` if there are none.
#[must_use]
pub fn losses_in_short(summary: &Summary) -> Option<String> {
    let mut losses = losses(summary);
    if losses.len() <= 1 {
        return losses.pop();
    }
    let dropped = lost(summary)
        .filter(|(loss, _)| matches!(kind(*loss), Kind::Dropped))
        .fold(0, |sum: u64, (_, count)| sum.saturating_add(count));
    Some(match dropped {
        0 => units::counted(losses.len() as u64, "warning"),
        dropped => format!("{} lost", units::counted(dropped, "event")),
    })
}

/// The share of stacks that do not reach their thread's start; `None` if all do.
#[must_use]
pub fn incomplete_stacks<'a>(
    containers: impl Iterator<Item = &'a ContainerSummary>,
) -> Option<String> {
    let (incomplete, all) = containers.fold((0_u64, 0_u64), |(incomplete, all), container| {
        (
            incomplete.saturating_add(container.stacks.incomplete()),
            all.saturating_add(container.stacks.all()),
        )
    });
    (incomplete > 0).then(|| format!("{} of stacks end early", units::percent(incomplete, all)))
}

/// The containers whose stacks often end early, each as a line that says why: of samples, and of time that was waited.
#[must_use]
pub fn containers_with_incomplete_stacks<'a>(
    containers: impl Iterator<Item = &'a ContainerSummary>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for container in containers {
        let samples = incomplete(&container.stacks);
        let waits = incomplete(&container.wait_stacks);
        let of = |what: &str, (share, causes): (String, String)| {
            let label = &container.label;
            format!("{label}: {share} of {what} end early, their callers are missing: {causes}")
        };
        lines.extend(samples.map(|it| of("stacks", it)));
        lines.extend(waits.map(|it| of("the time waited has stacks that", it)));
    }
    lines
}

/// The share of what ends early, and why, if it is worth a line.
fn incomplete(quality: &StackQuality) -> Option<(String, String)> {
    let (incomplete, all) = (quality.incomplete(), quality.all());
    let is_notable =
        all > 0 && incomplete.saturating_mul(100) >= all.saturating_mul(NOTABLE_PERCENT);
    if !is_notable {
        return None;
    }
    let causes = quality.cut.sorted().into_iter().map(|(cut, count)| {
        let share = units::percent(count, all);
        format!("{share} {}", cut.explain())
    });
    let unreadable = (quality.unreadable > 0).then(|| {
        let share = units::percent(quality.unreadable, all);
        format!("{share} could not be read")
    });
    let causes: Vec<String> = causes.chain(unreadable).collect();
    Some((units::percent(incomplete, all), causes.join("; ")))
}

/// The containers that a recording with a ledger has none for, as a line.
#[must_use]
pub fn containers_without_ledger<'a>(
    containers: impl Iterator<Item = &'a ContainerSummary>,
) -> Option<String> {
    let without: Vec<&str> = containers
        .filter(|container| container.thread_time_ns.is_none())
        .map(|container| container.label.as_str())
        .collect();
    (!without.is_empty()).then(|| {
        format!(
            "sampled only, without a ledger: {}",
            printable(&without.join(", "), MAX_CAUSE)
        )
    })
}

/// Each cause for which the host could not give some views, with these views.
#[must_use]
pub fn unavailable(summary: &Summary) -> Vec<String> {
    let mut causes: Vec<(&str, Vec<String>)> = Vec::new();
    for Unavailable { view, cause } in &summary.unavailable {
        let view = printable(view.as_str(), MAX_CAUSE);
        match causes.iter_mut().find(|(known, _)| known == cause) {
            Some((_, views)) => views.push(view),
            None => causes.push((cause, vec![view])),
        }
    }
    causes
        .into_iter()
        .map(|(cause, views)| {
            let are = if views.len() == 1 { "is" } else { "are" };
            let cause = printable(cause, MAX_CAUSE);
            format!("{} {are} not available: {cause}", views.join(", "))
        })
        .collect()
}

/// Why these containers have no samples, as lines.
#[must_use]
pub fn why_empty(summary: &Summary, containers: &[usize]) -> Vec<String> {
    let mut why = vec![if containers.is_empty() {
        "No thread of the target was seen.".to_owned()
    } else if summary.sampling.cpus == 0 {
        "Stacks were not recorded.".to_owned()
    } else {
        format!(
            "No thread of {} was on a CPU when a sample was taken ({} at {} Hz): all slept, waited or were stopped.",
            who(summary, containers),
            units::duration(summary.window_ns),
            summary.sampling.frequency_hz
        )
    }];
    why.extend(losses(summary));
    why.extend(unavailable(summary));
    why
}

/// The containers by name if that is short, else their number.
#[must_use]
pub fn who(summary: &Summary, containers: &[usize]) -> String {
    let labels: Vec<&str> = containers
        .iter()
        .map(|position| summary.containers[*position].label.as_str())
        .collect();
    match labels.as_slice() {
        [] => "no container".to_owned(),
        [one] => printable(one, MAX_NAMES),
        all => {
            let joined = all.join(", ");
            if joined.chars().count() <= MAX_NAMES {
                joined
            } else {
                format!("{} containers", all.len())
            }
        }
    }
}
