//! One container's figures beside its causes, a line for each kind: who delayed it, what it was blocked in, what its
//! cgroup and the kernel say.

use super::{MAX_LABEL, isolation};
use crate::analysis::states::ViewState;
use crate::analysis::summary::{ContainerSummary, CulpritKind, Latency};
use crate::analysis::threads::IDLE_BELOW_PERCENT;
use crate::model::text::cut;
use crate::model::units::{count, counted, duration, percent};
use crate::views::About;

/// A residual from this share on is worth a line in a short report.
const NOTABLE_RESIDUAL: f64 = 0.005;

/// Titles and texts of the lines that have something to say. A short report leaves out what only explains.
pub(super) fn lines(
    container: &ContainerSummary,
    idle_ns: u64,
    full: bool,
) -> Vec<(&'static str, String)> {
    let most = if full { 8 } else { 3 };
    let mut lines = vec![
        ("delayed by", delayed_by(container, most)),
        ("blocked in", blocked_in(container, most)),
    ];
    lines.extend(container.views.lines(About::Threads));
    lines.extend([
        (
            "idle",
            (idle_ns > 0 && !container.is_kernel()).then(|| idle(idle_ns)),
        ),
        ("cgroup", cgroup(container, full)),
        ("isolation", isolation::tax(container, full)),
        ("calibrated", isolation::calibrated(container)),
    ]);
    lines.extend(container.views.lines(About::Cgroup));
    if full {
        lines.extend([
            ("controller", isolation::controller(container)),
            (
                "CPU waits",
                container.run_queue_latency.as_ref().and_then(latency),
            ),
            (
                "stops",
                container.throttle_duration.as_ref().and_then(latency),
            ),
            ("threads", threads(container)),
        ]);
    }
    lines.push(("residual", residual(container, full)));
    lines
        .into_iter()
        .filter_map(|(title, text)| Some((title, text?)))
        .collect()
}

/// The row of the delay matrix.
fn delayed_by(container: &ContainerSummary, most: usize) -> Option<String> {
    let all = container
        .delayed_by
        .as_ref()
        .filter(|all| !all.is_empty())?;
    let total = all
        .iter()
        .fold(0_u64, |sum, delay| sum.saturating_add(delay.ns));
    Some(list(all, most, |delay| {
        let name = match delay.kind {
            CulpritKind::Siblings => "its own threads".to_owned(),
            CulpritKind::Kernel => "kernel threads".to_owned(),
            CulpritKind::Idle => "waking CPUs".to_owned(),
            _ => cut(&delay.name, MAX_LABEL),
        };
        format!(
            "{name} {} ({})",
            duration(delay.ns),
            percent(delay.ns, total)
        )
    }))
}

fn blocked_in(container: &ContainerSummary, most: usize) -> Option<String> {
    let all = &container.blocking_syscalls;
    (!all.is_empty()).then(|| {
        list(all, most, |call| {
            let reason = ViewState::of(call.state).title();
            let sleeps = match (call.count, container.views.times(&call.name)) {
                (0, _) => "since before".to_owned(),
                (count, None) => format!("slept {}", counted(count, "time")),
                (count, Some(calls)) => {
                    let calls = counted(calls, "call");
                    format!("slept {} in {calls}", counted(count, "time"))
                }
            };
            format!(
                "{} {} ({reason}, {sleeps})",
                cut(&call.name, MAX_LABEL),
                duration(call.ns)
            )
        })
    })
}

/// What no cause counts: waits that say nothing about why something is slow.
fn idle(idle_ns: u64) -> String {
    format!(
        "{} waited by threads that were busy for less than {IDLE_BELOW_PERCENT}% of their time, or are not known",
        duration(idle_ns)
    )
}

/// The cgroup's own figures, worded so that nobody takes them for thread time.
fn cgroup(container: &ContainerSummary, full: bool) -> Option<String> {
    let cfs = container.cfs?;
    if !full && cfs.throttled_periods == 0 && cfs.bursts == 0 {
        return None;
    }
    let mut parts = Vec::new();
    if let Some(usage_ns) = cfs.usage_ns {
        parts.push(format!("used {} of CPU", duration(usage_ns)));
    }
    if cfs.periods > 0 {
        parts.push(format!(
            "throttled in {} of {} periods, for {} summed over CPUs (not thread time)",
            count(cfs.throttled_periods),
            count(cfs.periods),
            duration(cfs.throttled_ns)
        ));
    }
    if cfs.bursts > 0 {
        parts.push(format!(
            "exceeded its quota in {} periods by {} in all (burst)",
            count(cfs.bursts),
            duration(cfs.burst_ns)
        ));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn latency(latency: &Latency) -> Option<String> {
    let mut text = count(latency.count);
    for (name, value) in [
        ("p50", latency.p50_ns),
        ("p90", latency.p90_ns),
        ("p99", latency.p99_ns),
        ("max", latency.max_ns),
    ] {
        text.push_str(&format!(", {name} {}", duration(value?)));
    }
    Some(text)
}

fn threads(container: &ContainerSummary) -> Option<String> {
    let mut text = String::new();
    if let Some(threads) = container.threads {
        text.push_str(&format!("{} at the end, ", count(threads)));
    }
    text.push_str(&format!(
        "{} born or moved in, {} ended or moved out; context switches: {} voluntary, {} involuntary; moved to another \
         CPU {} while they waited for one",
        count(container.threads_born?),
        count(container.threads_exited?),
        count(container.voluntary_switches?),
        count(container.involuntary_switches?),
        counted(container.migrations?, "time"),
    ));
    Some(text)
}

/// What the states do not account for.
fn residual(container: &ContainerSummary, full: bool) -> Option<String> {
    let (residual, whole) = (container.residual_ns?, container.thread_time_ns?);
    let share = residual as f64 / whole.max(1) as f64;
    if !full && share.abs() < NOTABLE_RESIDUAL {
        return None;
    }
    let sign = if residual < 0 { "-" } else { "" };
    Some(format!(
        "{sign}{} of {} thread time ({:.3}%) is in no state",
        duration(residual.unsigned_abs()),
        duration(whole),
        100.0 * share
    ))
}

/// The first `most` as `text` has them, and how many more there are.
fn list<T>(all: &[T], most: usize, text: impl Fn(&T) -> String) -> String {
    let mut parts: Vec<String> = all.iter().take(most).map(text).collect();
    if all.len() > most {
        parts.push(format!("{} more", all.len() - most));
    }
    parts.join(", ")
}
