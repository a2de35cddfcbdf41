//! Most of the CPU time collects garbage.

use super::Rule;
use crate::analysis::doctor::advice;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::group::Group;
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::model::units;
use crate::views::workload::{Language, Program};

pub(super) const RULE: Rule = Rule {
    id: "garbage",
    about: "a runtime collects garbage all the time (`memory-limit` where a limit makes it)",
    when: "it takes 25% of the time on the CPU; critical from 50% on",
    judge,
};

/// What a collector takes that has room.
const USUAL: f64 = 0.1;

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let sum = |of: fn(&Group) -> u64| patient.groups.iter().map(of).fold(0, u64::saturating_add);
    let ns = sum(|it| it.collects_ns);
    let runs_ns = patient.ns(Spent::Runs).max(1);
    let part = ns as f64 / runs_ns as f64;
    if !patient.is_notable(ns) || part < 0.25 {
        return None;
    }
    let severity = if part >= 0.5 {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let programs = patient.programs();
    let program = programs.iter().find(|it| it.language != Language::Native);
    let limit = program.and_then(own_limit);
    let memory = patient.limits().and_then(|it| it.memory.as_ref());
    let is_tight = limit.is_some()
        || memory.is_some_and(|it| {
            it.limit
                .is_some_and(|limit| it.used.saturating_sub(it.files) > limit / 10 * 8)
        });
    let id = if is_tight {
        super::memory::RULE.id
    } else {
        RULE.id
    };
    let title = format!(
        "{} of its CPU time collects garbage{}.",
        units::percent(ns, runs_ns),
        match &limit {
            Some((name, value)) => format!(": its heap is held below {name}={value}"),
            None if is_tight => ": its heap is as large as the memory limit allows".to_owned(),
            None => String::new(),
        }
    );
    let mut advice = Vec::new();
    if let Some((name, value)) = &limit {
        advice.push(match doubled(value) {
            Some(twice) => advice::variable(patient, name, &twice),
            None => format!("raise {name}={value}"),
        });
    }
    if let Some(limit) = memory.and_then(|it| it.limit) {
        advice.push(advice::memory_limit(patient, limit.saturating_mul(2)));
    }
    if program.is_some_and(|it| it.language == Language::Go) {
        advice.push(format!(
            "or {}, which doubles what it may leave uncollected",
            advice::variable(patient, "GOGC", "200")
        ));
    }
    let speedup = 1.0 / (1.0 - part + USUAL).clamp(0.1, 1.0);
    Some(
        Finding::new(id, severity, title)
            .about(ns, patient.share(ns))
            .sure(Confidence::Certain)
            .shown_by([format!(
                "{} of {} on the CPU in the collector (samples)",
                units::duration(ns),
                units::duration(runs_ns)
            )])
            .shown_by(memory.map(|it| {
                format!(
                    "memory in use {}{}, {} of it pages of files",
                    units::bytes(it.used),
                    it.limit.map_or(String::new(), |limit| format!(
                        " of {}",
                        units::bytes(limit)
                    )),
                    units::bytes(it.files)
                )
            }))
            .shown_by(
                patient
                    .mostly(|stack, spent| spent == Spent::Runs && !patient.collects(stack))
                    .map(|words| format!("its own work {words}")),
            )
            .advising(advice)
            .gaining(
                format!("up to {speedup:.1} times as much work for the same CPU time"),
                Some(speedup),
            ),
    )
}

/// The limit that the runtime was given for its heap.
fn own_limit(program: &Program) -> Option<(String, String)> {
    match program.language {
        Language::Go => {
            let value = program.setting("GOMEMLIMIT").filter(|it| *it != "off")?;
            Some(("GOMEMLIMIT".to_owned(), value.to_owned()))
        }
        Language::Java => program.settings.iter().find_map(|(_, value)| {
            let word = value
                .split(' ')
                .find_map(|word| word.strip_prefix("-Xmx"))?;
            Some(("-Xmx".to_owned(), word.to_owned()))
        }),
        Language::Node => program.settings.iter().find_map(|(_, value)| {
            let mut words = value.split(' ');
            let word = words.find_map(|word| word.strip_prefix("--max-old-space-size="))?;
            Some(("--max-old-space-size".to_owned(), word.to_owned()))
        }),
        _ => None,
    }
}

/// `64MiB` as `128MiB`.
fn doubled(value: &str) -> Option<String> {
    let end = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let number: u64 = value.get(..end)?.parse().ok()?;
    Some(format!("{}{}", number.checked_mul(2)?, value.get(end..)?))
}
