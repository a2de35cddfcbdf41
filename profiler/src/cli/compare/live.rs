//! What runs on this host, side by side: one recording, taken apart into A and B.

use std::time::Duration;

use tokio::signal::unix::SignalKind;

use super::CompareArgs;
use super::target::{Found, Live};
use crate::aggregate::retain_rows;
use crate::bpf::SamplingEvent;
use crate::cli::record::progress::Progress;
use crate::cli::record::{SLICE, listen, say};
use crate::collect::{Ended, Environment, Hooks, SessionPlan, Unwind, block_on};
use crate::compare::FREQUENCY_HZ;
use crate::host::kernel;
use crate::model::{StateGroup, Window};
use crate::recording::{Recording, raise_file_limit};
use crate::target::Resolved;
use crate::views;
use crate::{Error, Result};

/// How long what runs is recorded.
pub(super) const DURATION: Duration = Duration::from_secs(30);

/// Records all of these in one session. Returns a window of each, and what a reader has to know.
///
/// # Errors
/// A target that is not there, a missing privilege or kernel feature.
pub(super) fn record(
    specs: &[(&str, &Live)],
    args: &CompareArgs,
    log: bool,
) -> Result<(Vec<Window>, Vec<String>)> {
    block_on(record_all(specs, args, log))
}

async fn record_all(
    specs: &[(&str, &Live)],
    args: &CompareArgs,
    log: bool,
) -> Result<(Vec<Window>, Vec<String>)> {
    let env = Environment::detect("compare", None)?;
    let mut found = Vec::new();
    // One for all: it is told of processes that are meant by themselves.
    let mut containers = env.containers();
    for (name, live) in specs {
        let target = Found::look(name, live, &env, &mut containers)?;
        for note in &target.resolved.notes {
            say(note);
        }
        found.push(target);
    }
    let Some(grouping) = found.first().map(Found::grouping) else {
        return Ok((Vec::new(), Vec::new()));
    };
    if found.iter().any(|it| it.grouping() != grouping) {
        return Err(Error::Usage(
            "cannot compare a kernel namespace with something else: give two of one kind"
                .to_owned(),
        ));
    }
    if let [a, b] = found.as_slice()
        && a.overlaps(b)
    {
        return Err(Error::Usage(format!(
            "cannot compare {} with {}: one is the other, or a part of it",
            a.name, b.name
        )));
    }
    let targets = together(&found);
    // From here on Ctrl-C ends the recording, not the process.
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let views = views::asked(&env, &args.asked())?;
    let views: Vec<&dyn Hooks> = views.iter().map(|view| &**view).collect();
    let plan = SessionPlan {
        event: SamplingEvent::best(),
        frequency_hz: frequency(&env, args.frequency)?,
        stacks: &StateGroup::ALL,
        unwind: Unwind::Auto,
        views: &views,
        slices: Some(SLICE),
        log,
        ..SessionPlan::new(&env, &targets)
    };
    let recording = Recording::begin(plan, grouping, containers)?;
    raise_file_limit();
    let duration = args.duration.unwrap_or(DURATION);
    let names: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
    let progress = Progress::begin(&names.join(" and "), Some(duration));
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => Ended::Interrupted,
            _ = terminate.recv() => Ended::Terminated,
        }
    };
    let finished = recording
        .run(Some(duration), stop, |elapsed, samples| {
            progress.show(elapsed, samples);
        })
        .await?;
    progress.end(finished.ended);
    let window = finished.profile();
    split(&window, &found)
}

/// All targets as one.
fn together(found: &[Found]) -> Resolved {
    let mut all = Resolved::default();
    for target in found {
        let resolved = target.resolved.clone();
        all.roots.extend(resolved.roots);
        all.rules.extend(resolved.rules);
        all.processes.extend(resolved.processes);
    }
    all
}

/// As asked for, or as often as it takes and the kernel allows.
fn frequency(env: &Environment, asked: Option<u64>) -> Result<u64> {
    let limit = kernel::sysctl(&env.host, "kernel/perf_event_max_sample_rate");
    let limit = limit.and_then(|limit| u64::try_from(limit).ok());
    match (asked, limit) {
        (Some(asked), _) => crate::cli::record::check_frequency(&env.host, asked).map(|()| asked),
        (None, Some(limit)) => Ok(FREQUENCY_HZ.min(limit.max(1))),
        (None, None) => Ok(FREQUENCY_HZ),
    }
}

/// The part of each target. Where one ended, what came after is left out of all: there is nothing to compare it with.
fn split(window: &Window, found: &[Found]) -> Result<(Vec<Window>, Vec<String>)> {
    let mut notes = Vec::new();
    let mut ends = window.slices_ns.len();
    let mut parts = Vec::new();
    for target in found {
        let mut part = window.clone();
        retain_rows(&mut part.rows, |row| {
            target.has(&row.identity) && row.time_ns.values().any(|ns| *ns > 0)
        });
        if part.rows.is_empty() {
            return Err(Error::NotFound(format!(
                "cannot compare {}: nothing ran in it while it was recorded",
                target.name
            )));
        }
        // Containers of two pods are told apart by the pods: those of one name are one.
        for row in &mut part.rows {
            row.identity.pod = None;
        }
        if let [only] = part.rows.as_mut_slice() {
            only.identity.name.clone_from(&target.name);
        }
        let last = part
            .rows
            .iter()
            .filter_map(|row| Some(row.slices.last()?.at))
            .max();
        let seen = last.map_or(0, |last| last as usize + 1);
        if seen < window.slices_ns.len() {
            // Its last window is one in which it ended.
            let whole = seen.saturating_sub(1);
            ends = ends.min(whole);
            notes.push(format!(
                "{} ended after {whole} s: what came after is not compared",
                target.name
            ));
        }
        parts.push(part);
    }
    for part in &mut parts {
        if ends < window.slices_ns.len() {
            part.slices_ns.truncate(ends);
            part.duration_ns = part.slices_ns.iter().sum();
            for row in &mut part.rows {
                row.slices.retain(|slice| (slice.at as usize) < ends);
            }
        }
    }
    Ok((parts, notes))
}
