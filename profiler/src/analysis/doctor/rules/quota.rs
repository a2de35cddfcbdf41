//! A CPU quota stops the container.

use super::Rule;
use crate::analysis::doctor::advice;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::unnamed;
use crate::analysis::doctor::waits::Spent;
use crate::analysis::summary::CulpritKind;
use crate::model::units;
use crate::views::limits::Quota;

pub(super) const RULE: Rule = Rule {
    id: "quota",
    about: "a CPU quota, its own or of a cgroup above, stops its threads",
    when: "it stopped them for 1% of the time that they could have run; a warning where stops are 5% of stops and running together, critical from 25% on",
    judge,
};

/// Part of the quota below which something else than the quota sets the pace.
const PACED: f64 = 0.8;

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
    // Stopped in bursts, with quota left over on the whole: whether more of them come is up to who sends the work.
    let is_paced = cores.is_some_and(|cores| patient.used_cores() < cores * PACED);
    let mut advice = vec![advice::cpu_limit(patient, wanted)];
    if let Some(quota) = quota
        && quota.is_own
        && quota.burst_us == 0
        && is_paced
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
            .gaining(gain(speedup, is_paced), (!is_paced).then_some(speedup)),
    )
}

fn gain(speedup: f64, is_paced: bool) -> String {
    if is_paced {
        format!(
            "work done up to {speedup:.1} times as soon; as much of it as comes, for the quota is not used up on the whole"
        )
    } else {
        format!("up to {speedup:.1} times as much work a second, or work done that much sooner")
    }
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
    all.extend(match burnt {
        Some(words) => Some(format!("it was used up {words}")),
        None => unnamed::of(patient).map(|it| it.evidence),
    });
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
    patient.runnable_ns() as f64 / busy_ns(patient).max(1) as f64
}

/// Time in periods in which it was at work.
fn busy_ns(patient: &Patient<'_>) -> u64 {
    let period_ns = patient
        .limits()
        .and_then(|it| it.cpu.quota.as_ref())
        .map_or(100_000_000, |it| it.period_us.saturating_mul(1000));
    match patient.row.cfs {
        Some(cfs) if cfs.periods > 0 => {
            cfs.periods.saturating_mul(period_ns).min(patient.window_ns)
        }
        _ => patient.window_ns,
    }
}

/// How much sooner work is done without the stops: by as many CPUs as its threads want, and it may use, in place of those
/// that it had while it was at work. What it waited for others goes on.
fn speedup(patient: &Patient<'_>) -> f64 {
    let delays = patient.summary.delayed_by.iter().flatten();
    let own = delays.filter(|it| it.kind == CulpritKind::Siblings);
    let by_own = own.fold(0_u64, |sum, it| sum.saturating_add(it.ns));
    let queued = patient.ns(Spent::Queues);
    let by_others = queued.saturating_sub(by_own);
    let used = patient.ns(Spent::Runs).max(1) as f64;
    let wanted = patient.runnable_ns().saturating_sub(by_others) as f64;
    let at_most = (patient.cpus_allowed() * busy_ns(patient)) as f64;
    (wanted.min(at_most) / used).max(1.0)
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
