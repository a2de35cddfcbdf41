//! Others have the CPU.

use super::Rule;
use crate::analysis::doctor::advice;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::analysis::summary::{ContainerSummary, CulpritKind, DelayedBy};
use crate::model::units;
use crate::views::limits::{Limits, Weight};

pub(super) const RULE: Rule = Rule {
    id: "neighbour",
    about: "it waits for a CPU while another container, processes of the host or kernel threads have it",
    when: "one of them has it for most of the wait, which is 10% of the time that its threads could run; a warning from 25% of that and of its active time on, where \
           waits are longer than 2 ms (p99) or a quarter of the window; critical from 50% on",
    judge,
};

/// A wait for a CPU from which on somebody notices it.
const LONG_NS: u64 = 2_000_000;

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let ns = patient.ns(Spent::Queues);
    let runnable_ns = patient.runnable_ns();
    let delays: Vec<&DelayedBy> = patient.summary.delayed_by.iter().flatten().collect();
    let others = delays.iter().filter(|it| {
        matches!(
            it.kind,
            CulpritKind::Container | CulpritKind::Host | CulpritKind::Kernel
        )
    });
    let Some(worst) = others.max_by_key(|it| it.ns) else {
        return unknown(patient, ns, &delays);
    };
    let part = worst.ns as f64 / runnable_ns.max(1) as f64;
    if !patient.is_notable(worst.ns) || part < 0.1 || worst.ns < ns / 3 {
        return None;
    }
    // Of a container that hardly has anything to run, it is hardly anything.
    let share = patient.share(worst.ns);
    // Many short waits are what sharing a CPU is: somebody notices long ones, or a large part of all time.
    let latency = patient.summary.run_queue_latency.as_ref();
    let is_long = latency.is_some_and(|it| it.p99_ns.is_some_and(|ns| ns >= LONG_NS));
    let is_felt = is_long || ns >= patient.window_ns / 4;
    let severity = match part.min(share) {
        _ if !is_felt => Severity::Info,
        0.5.. => Severity::Critical,
        0.25.. => Severity::Warning,
        _ => Severity::Info,
    };
    let who = match worst.kind {
        CulpritKind::Host => "processes of the host, in no container,".to_owned(),
        CulpritKind::Kernel => "kernel threads".to_owned(),
        _ => worst.name.clone(),
    };
    let title = format!(
        "It waits for a CPU for {} of the time that it could run, mostly while {who} {} it.",
        units::percent(ns, runnable_ns),
        if worst.kind == CulpritKind::Container {
            "has"
        } else {
            "have"
        },
    );
    let them = patient.all.iter().find(|it| it.label == worst.name);
    let mut evidence = vec![format!(
        "waited {} for a CPU, {} of it while {who} ran (ledger)",
        units::duration(ns),
        units::percent(worst.ns, ns)
    )];
    if let Some(latency) = &patient.summary.run_queue_latency
        && let (Some(p99), Some(max)) = (latency.p99_ns, latency.max_ns)
    {
        evidence.push(format!(
            "p99 of a wait {}, longest {}",
            units::duration(p99),
            units::duration(max)
        ));
    }
    let weights = [weight_of(patient.summary), them.and_then(weight_of)];
    if let [Some(own), Some(theirs)] = weights {
        evidence.push(format!(
            "weights: {} here, {} there (usual {})",
            own.value, theirs.value, own.usual
        ));
    }
    let cpus = [cpus_of(patient.summary), them.and_then(cpus_of)];
    let is_pinned = patient.cpus_allowed() < patient.cpus;
    if is_pinned && let [Some(own), Some(theirs)] = cpus {
        evidence.push(format!(
            "pinned (cpuset): CPU {own} here, CPU {theirs} there, of {} of the host",
            patient.cpus
        ));
    }
    evidence.extend(
        patient
            .mostly(|_, spent| spent == Spent::Queues)
            .map(|words| format!("held up {words}")),
    );
    let mut advice = Vec::new();
    if is_pinned {
        advice.push(advice::cpuset(patient));
    }
    match weights {
        [Some(own), Some(theirs)] if own.value * 2 <= theirs.value => {
            let times = theirs.value as f64 / own.usual.max(1) as f64;
            advice.push(advice::weight(patient, times));
        }
        _ if !is_pinned => advice.push(match worst.kind {
            CulpritKind::Container => format!("{}, or a quota for {who}", advice::weight(patient, 2.0)),
            CulpritKind::Host => "find out which processes of the host these are (ctprof record, row host), and move or nice them".to_owned(),
            _ => "see what the kernel does for whom (ctprof report, row kernel)".to_owned(),
        }),
        _ => {}
    }
    let alone = runnable_ns as f64 / (runnable_ns.saturating_sub(worst.ns)).max(1) as f64;
    // With the other's weight it has a half of what both have.
    let speedup = match weights {
        [Some(own), Some(theirs)] if own.value * 2 <= theirs.value && !is_pinned => {
            (own.value + theirs.value) as f64 / own.value.max(1) as f64 / 2.0
        }
        _ => alone,
    };
    Some(
        Finding::new(RULE.id, severity, title)
            .about(ns, patient.share(ns))
            .sure(Confidence::Certain)
            .shown_by(evidence)
            .advising(advice)
            .gaining(
                format!("work done up to {speedup:.1} times as soon"),
                Some(speedup),
            ),
    )
}

/// It waits for a CPU, and nobody is known to have had it.
fn unknown(patient: &Patient<'_>, ns: u64, delays: &[&DelayedBy]) -> Option<Finding> {
    let runnable_ns = patient.runnable_ns();
    let part = ns as f64 / runnable_ns.max(1) as f64;
    if !delays.is_empty() || !patient.is_notable(ns) || part < 0.25 {
        return None;
    }
    Some(
        Finding::new(
            RULE.id,
            Severity::Warning,
            format!(
                "It waits for a CPU for {} of the time that it could run.",
                units::percent(ns, runnable_ns)
            ),
        )
        .about(ns, patient.share(ns))
        .sure(Confidence::Possible)
        .shown_by([format!("waited {} (ledger)", units::duration(ns))])
        .advising([advice::weight(patient, 2.0)]),
    )
}

fn weight_of(container: &ContainerSummary) -> Option<Weight> {
    container.views.measured.get::<Limits>()?.cpu.weight
}

fn cpus_of(container: &ContainerSummary) -> Option<&str> {
    container
        .views
        .measured
        .get::<Limits>()?
        .cpu
        .cpus
        .as_deref()
}
