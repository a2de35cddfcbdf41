//! More system calls than work.

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::model::{State, units};

pub(super) const RULE: Rule = Rule {
    id: "syscall-storm",
    about: "most of its CPU time goes to system calls that do little each",
    when: "it makes 100,000 calls for each second of CPU time, half of which is in the kernel",
    judge,
};

const RATE: f64 = 100_000.0;

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let calls = patient.calls()?;
    let kernel_ns = patient
        .row
        .time_ns
        .get(&State::OnCpuKernel)
        .copied()
        .unwrap_or(0);
    let runs_ns = patient.ns(Spent::Runs).max(1);
    let count = calls
        .0
        .iter()
        .fold(0_u64, |sum, it| sum.saturating_add(it.count));
    let rate = count as f64 / (runs_ns as f64 / 1e9);
    if runs_ns < patient.window_ns / 5 || rate < RATE || kernel_ns < runs_ns / 2 {
        return None;
    }
    let mut most: Vec<_> = calls.0.iter().collect();
    most.sort_by_key(|it| std::cmp::Reverse(it.count));
    let top = most.first()?;
    let seconds = patient.window_ns.max(1) as f64 / 1e9;
    let is_meant =
        |stack: &crate::model::Stack, spent| spent == Spent::Runs && stack.syscall.is_some();
    let shown = most.iter().take(3).map(|it| {
        let failed = match it.failed() {
            0 => String::new(),
            failed => format!(", {} of them failed", units::percent(failed, it.count)),
        };
        let mean = it.mean_ns().map_or(String::new(), |ns| {
            format!(", {} each", units::duration(ns))
        });
        format!(
            "{}: {} a second{mean}{failed}",
            it.label(),
            units::count((it.count as f64 / seconds) as u64)
        )
    });
    let share = patient.share(kernel_ns);
    Some(
        Finding::new(
            RULE.id,
            Severity::Warning,
            format!("It makes {} system calls a second, most of them {}.", units::count((count as f64 / seconds) as u64), top.label()),
        )
        .about(kernel_ns, share)
        .sure(Confidence::Certain)
        .shown_by([format!("{} of its CPU time is in the kernel (ledger)", units::percent(kernel_ns, runs_ns))])
        .shown_by(shown)
        .shown_by(patient.mostly(is_meant).map(|words| format!("made {words}")))
        .advising([format!(
            "fewer and larger ones: a buffer in front of {} (or writev, sendmmsg, io_uring), and no polling without a time-out",
            top.label()
        )])
        .gaining(format!("up to {:.1} times as much work for the same CPU time", 1.0 / (1.0 - kernel_ns as f64 / runs_ns as f64).max(0.05)), None),
    )
}
