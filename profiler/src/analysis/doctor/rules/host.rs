//! The host has too few CPUs for all that want them, or its hypervisor takes them.

use super::Rule;
use crate::analysis::doctor::finding::{Finding, Severity};
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
        .advising(["fewer containers on this host, or more CPUs".to_owned()]),
    )
}
