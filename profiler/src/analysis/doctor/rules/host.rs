//! The host has too few CPUs for all that want them, or its hypervisor takes them.

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::analysis::summary::CulpritKind;
use crate::model::units;

pub(super) const RULE: Rule = Rule {
    id: "host",
    about: "the host has fewer CPUs than all of its containers want",
    when: "it waits for a CPU for 25% of the time that it could run, the CPUs are 90% busy, and nobody has half of them",
    judge,
};

pub(super) const STOLEN: Rule = Rule {
    id: "host",
    about: "the hypervisor, or interrupts, take the host's CPUs away from all threads",
    when: "5% of the host's CPU time is stolen, or 20% of it goes to interrupts, while it runs for 5% of the window; critical from 20% stolen on",
    judge: judge_stolen,
};

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let ns = patient.ns(Spent::Queues);
    let runnable_ns = patient.runnable_ns();
    let part = ns as f64 / runnable_ns.max(1) as f64;
    let capacity_ns = patient.window_ns.saturating_mul(patient.cpus).max(1);
    let busy_ns = patient
        .all
        .iter()
        .fold(0_u64, |sum, it| sum.saturating_add(it.on_cpu_ns()));
    let delays = patient.summary.delayed_by.iter().flatten();
    let worst = delays
        .filter(|it| !matches!(it.kind, CulpritKind::Unknown | CulpritKind::Idle))
        .max_by_key(|it| it.ns)?;
    if !patient.is_notable(ns)
        || part < 0.25
        || (busy_ns as f64) < 0.9 * capacity_ns as f64
        || worst.ns > ns / 3
    {
        return None;
    }
    let names: Vec<String> = {
        let mut all: Vec<_> = patient.summary.delayed_by.iter().flatten().collect();
        all.sort_by_key(|it| std::cmp::Reverse(it.ns));
        let some = all.into_iter().take(3);
        some.map(|it| format!("{} {}", it.name, units::percent(it.ns, ns)))
            .collect()
    };
    Some(
        Finding::new(
            RULE.id,
            if part >= 0.5 {
                Severity::Critical
            } else {
                Severity::Warning
            },
            format!(
                "The host's {} CPUs are all busy, and many share them.",
                patient.cpus
            ),
        )
        .about(ns, patient.share(ns))
        .shown_by([
            format!(
                "waited {} for a CPU, {} of the time that it could run (ledger)",
                units::duration(ns),
                units::percent(ns, runnable_ns)
            ),
            format!(
                "the CPUs ran for {} of the time, while others had it: {}",
                units::percent(busy_ns, capacity_ns),
                names.join(", ")
            ),
        ])
        .shown_by(patient.pressure(|it| it.cpu, "cpu.pressure"))
        .advising(["fewer containers on this host, or more CPUs".to_owned()]),
    )
}

fn judge_stolen(patient: &Patient<'_>) -> Option<Finding> {
    let stolen = patient.stolen?;
    let capacity_ns = patient.window_ns.saturating_mul(patient.cpus).max(1);
    let part = |ns: u64| ns as f64 / capacity_ns as f64;
    let (steal, interrupts) = (part(stolen.hypervisor_ns), part(stolen.interrupts_ns));
    if patient.ns(Spent::Runs) < patient.window_ns / 20 || steal < 0.05 && interrupts < 0.2 {
        return None;
    }
    let severity = if steal >= 0.2 {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let (ns, title, advice) = if steal >= 0.05 {
        (
            stolen.hypervisor_ns,
            "The hypervisor takes {} of the host's CPU time for other machines.",
            "a machine whose CPUs are its own, or another type of instance: burstable ones are stopped when their credit is used up",
        )
    } else {
        (
            stolen.interrupts_ns,
            "Interrupts take {} of the host's CPU time.",
            "see which: /proc/interrupts, /proc/softirqs; of a network, spread them over the CPUs (RSS, RPS), or away from those of this container (smp_affinity)",
        )
    };
    let taken = units::percent(ns, capacity_ns);
    Some(
        Finding::new(RULE.id, severity, title.replace("{}", &taken))
            .about(ns, part(ns))
            .sure(Confidence::Certain)
            .shown_by([format!(
                "{} of {} of all CPUs stolen, {} in interrupts (/proc/stat); it counts as time on the CPU of whoever was there",
                units::duration(stolen.hypervisor_ns),
                units::duration(capacity_ns),
                units::duration(stolen.interrupts_ns)
            )])
            .advising([advice.to_owned()])
            .gaining(
                format!(
                    "up to {:.1} times as much work a second",
                    1.0 / (1.0 - part(ns)).max(0.05)
                ),
                None,
            ),
    )
}
