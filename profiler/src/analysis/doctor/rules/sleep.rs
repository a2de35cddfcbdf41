//! Threads sleep on purpose between pieces of work.

use super::Rule;
use crate::analysis::doctor::finding::{Confidence, Finding, Severity};
use crate::analysis::doctor::patient::Patient;
use crate::analysis::doctor::waits::Spent;
use crate::model::units;

pub(super) const RULE: Rule = Rule {
    id: "sleep",
    about: "threads sleep on purpose again and again: a limit of the rate, a loop that waits without an event, a script with `sleep`",
    when: "for less than 400 ms each on average, and half of its active time; of a script, a quarter of the window",
    judge,
};

fn judge(patient: &Patient<'_>) -> Option<Finding> {
    let ns = patient.sleep_ns();
    let share = patient.share(ns);
    if !patient.is_notable(ns) || share < 0.5 {
        return scripted(patient);
    }
    let often: Vec<&str> = patient
        .groups
        .iter()
        .filter(|it| patient.sleeps_often(it))
        .map(|it| it.name.as_str())
        .collect();
    let is_meant = |stack: &crate::model::Stack, spent| {
        spent == Spent::Sleep
            && often.contains(&crate::analysis::threads::without_digits(&stack.thread).as_str())
    };
    let place = patient.function(is_meant);
    let groups = patient.groups.iter().filter(|it| patient.sleeps_often(it));
    let times = groups.fold(0, |sum: u64, it| {
        sum.saturating_add(it.waits[Spent::Sleep as usize])
    });
    let title = match &place {
        Some(place) => format!(
            "It sleeps on purpose for {} of its active time, in {}.",
            units::percent(ns, patient.active_ns()),
            place.function
        ),
        None => format!(
            "It sleeps on purpose for {} of its active time.",
            units::percent(ns, patient.active_ns())
        ),
    };
    let advice = match &place {
        Some(place) => format!(
            "is the sleep in {} meant? A larger limit, or waiting for the event itself, ends it",
            place.function
        ),
        None => "is the sleep meant? Waiting for the event itself ends it".to_owned(),
    };
    Some(
        // Whether it is meant, nobody but its program knows: a limit of the rate, or a worker that looks for work now and then.
        Finding::new(RULE.id, Severity::Info, title)
            .about(ns, share)
            .sure(Confidence::Likely)
            .shown_by([format!(
                "slept {} in {}, {} each (ledger)",
                units::duration(ns),
                units::counted(times, "sleep"),
                units::duration(ns / times.max(1))
            )])
            .shown_by(
                patient
                    .mostly(is_meant)
                    .map(|words| format!("called {words}")),
            )
            .advising([advice])
            .gaining(
                format!(
                    "up to {:.0} times as much work a second if nothing else limits it",
                    1.0 / (1.0 - share).max(0.01)
                ),
                None,
            ),
    )
}

/// A script that waits for `sleep`: an entrypoint that waits for something to be there, or one that does something now and then.
fn scripted(patient: &Patient<'_>) -> Option<Finding> {
    let is_sleep = |stack: &crate::model::Stack, _| {
        stack.state == crate::model::State::BlockedSleep && &*stack.thread == "sleep"
    };
    let sleeps = patient.stacks(is_sleep);
    let ns = sleeps.fold(0_u64, |sum, it| sum.saturating_add(it.time_ns));
    let shells = patient.threads(|_, spent| spent == Spent::Child);
    let shell = shells.first()?;
    if ns < patient.window_ns / 4 || patient.active_ns() > patient.window_ns / 4 {
        return None;
    }
    let name = &shell.function;
    Some(
        Finding::new(
            RULE.id,
            Severity::Info,
            format!("A script ({name}) waits for its sleep commands, and does little else."),
        )
        .about(ns, 0.5)
        .sure(Confidence::Certain)
        .shown_by([
            format!(
                "{name} waited {} for its children, and sleep slept {} (ledger)",
                units::duration(shell.ns),
                units::duration(ns)
            ),
            format!(
                "all else took {} of {}",
                units::duration(patient.active_ns()),
                units::duration(patient.window_ns)
            ),
        ])
        .advising([
            "where it is an entrypoint: wait for the thing itself (try it until it answers), and not for a time".to_owned(),
        ]),
    )
}
