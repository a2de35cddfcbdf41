//! A CPU quota stops the container.

use super::Rule;
use crate::analysis::doctor::advice;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::model::units;
use crate::views::limits::Quota;

pub(super) const RULE: Rule = Rule {
    id: "quota",
    about: "a CPU quota, its own or of a cgroup above, stops its threads",
    when: "it stopped them for 1% of the time that they could have run; a warning where stops are 5% of stops and running together, critical from 25% on",
    judge,
};

/// Room above what was wanted.
const ROOM: f64 = 1.1;

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let ns = patient.ns(Spent::Throttled);
    let runnable_ns = patient.runnable_ns();
    let part = ns as f64 / runnable_ns.max(1) as f64;
    if !patient.is_notable(ns) || part < 0.01 {
        return None;
    }
    // Against what it ran: how long its threads waited for each other besides is another matter.
    let severity = match ns as f64 / (ns + patient.ns(Spent::Runs)).max(1) as f64 {
        0.25.. => Severity::Critical,
        0.05.. => Severity::Warning,
        _ => Severity::Info,
    };
    let limited_ns = patient.summary.limited_real_time_ns.unwrap_or(0);
    if limited_ns > ns / 2 {
        return Some(real_time(ns, part, severity));
    }
    let quota = patient.limits().and_then(|it| it.cpu.quota.as_ref());
    let cores = quota.map(Quota::cores).or(patient.summary.cpu_quota_cores);
    let of = match (cores, quota) {
        (Some(cores), Some(quota)) if !quota.is_own => {
            format!(
                "The quota of {} CPU of the cgroup above ({})",
                advice::cores(cores),
                quota.cgroup
            )
        }
        (Some(cores), _) => format!("Its quota of {} CPU", advice::cores(cores)),
        (None, _) => "A quota of a cgroup below, or one that was lifted,".to_owned(),
    };
    let title = format!(
        "{of} stops it for {} of the time that it could run.",
        units::percent(ns, runnable_ns)
    );
    let wanted = wanted(patient);
    let speedup = speedup(patient);
    let mut advice = vec![advice::cpu_limit(patient, wanted)];
    if let Some(quota) = quota
        && quota.is_own
        && quota.burst_us == 0
        && cores.is_some_and(|cores| patient.used_cores() < cores * 0.7)
    {
        advice.push(format!(
            "or let it save up CPU time for its bursts: cpu.max.burst (v1: cpu.cfs_burst_us) of {} us",
            quota.quota_us
        ));
    }
    Some(
        Finding::new(RULE.id, severity, title)
            .about(ns, part)
            .sure(Confidence::Certain)
            .shown_by(evidence(patient, ns, runnable_ns))
            .advising(advice)
            .gaining(
                format!(
                    "up to {speedup:.1} times as much work a second, or work done that much sooner"
                ),
                Some(speedup),
            ),
    )
}

fn evidence(patient: &Patient<'_>, ns: u64, runnable_ns: u64) -> Vec<String> {
    let mut all = vec![format!(
        "stopped for {} of {} in which threads could run (ledger)",
        units::duration(ns),
        units::duration(runnable_ns)
    )];
    if let Some(cfs) = patient.row.cfs.filter(|it| it.throttled_periods > 0) {
        all.push(format!(
            "the quota ran out in {} of {} periods (cpu.stat)",
            units::count(cfs.throttled_periods),
            units::count(cfs.periods)
        ));
    }
    let longest = patient
        .summary
        .throttle_duration
        .as_ref()
        .and_then(|it| it.max_ns);
    all.extend(longest.map(|ns| format!("longest stop of a thread {}", units::duration(ns))));
    let burnt = patient.mostly(|stack, _| stack.burnt_quota);
    let burnt = burnt.or_else(|| patient.mostly(|_, spent| spent == Spent::Runs));
    all.extend(burnt.map(|words| format!("it was used up {words}")));
    all
}

/// CPUs' worth of time that would have done: what threads wanted while it was at work, but no more than it may use at once.
fn wanted(patient: &Patient<'_>) -> f64 {
    let wanted = (demand(patient) * ROOM).min(patient.cpus_allowed() as f64);
    // Steps of a twentieth, upwards.
    (wanted * 20.0).ceil() / 20.0
}

/// Threads that could run, on average over the periods in which it was at work.
fn demand(patient: &Patient<'_>) -> f64 {
    let period_ns = patient
        .limits()
        .and_then(|it| it.cpu.quota.as_ref())
        .map_or(100_000_000, |it| it.period_us.saturating_mul(1000));
    let busy_ns = match patient.row.cfs {
        Some(cfs) if cfs.periods > 0 => {
            cfs.periods.saturating_mul(period_ns).min(patient.window_ns)
        }
        _ => patient.window_ns,
    };
    patient.runnable_ns() as f64 / busy_ns.max(1) as f64
}

/// How much sooner work is done without the stops, if it may use the CPUs that it may run on.
fn speedup(patient: &Patient<'_>) -> f64 {
    let used = patient.ns(Spent::Runs).max(1) as f64;
    let unstopped = (patient
        .runnable_ns()
        .saturating_sub(patient.ns(Spent::Queues))) as f64
        / used;
    let demand = demand(patient).max(0.01);
    let cores = patient.cpus_allowed() as f64;
    // What it cannot have at once takes its turn.
    (unstopped * (cores / demand).min(1.0)).max(1.0)
}

fn real_time(ns: u64, part: f64, severity: Severity) -> Finding {
    Finding::new(
        RULE.id,
        severity,
        "A limit on real-time threads, or a deadline's budget, stops it.".to_owned(),
    )
    .about(ns, part)
    .sure(Confidence::Certain)
    .shown_by([format!("stopped for {} (ledger)", units::duration(ns))])
    .advising(["raise cpu.rt_runtime_us of its cgroup or kernel.sched_rt_runtime_us, or give its threads another policy (chrt --other --pid 0 PID)".to_owned()])
}
