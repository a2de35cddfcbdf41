//! User stacks unwound by tables: whole in every state, and no frame that is not of the chain.

mod asleep;
mod brief;
mod chains;
mod damaged;
mod deep;
mod go;
mod interpreted;
mod undescribed;

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;

use crate::harness::folded::Folded;
use crate::harness::needs::{missing_privilege, missing_program, privileged, skipping};
use crate::harness::recording::Recording;
use crate::harness::{Result, emulated, ensure};

pub(super) fn trials() -> Vec<Trial> {
    let compiled = || missing_privilege().or_else(|| missing_program("g++"));
    vec![
        privileged("unwind::deep_stacks_on_the_cpu", deep::on_cpu),
        privileged("unwind::deep_stacks_of_sleeps", deep::asleep),
        privileged("unwind::deep_stacks_of_throttled_threads", deep::throttled),
        privileged("unwind::deep_stacks_in_the_run_queue", deep::queued),
        privileged("unwind::too_deep_is_not_complete", deep::too_deep),
        privileged("unwind::asleep_on_any_kernel", asleep::on_any_kernel),
        skipping(
            "unwind::asleep_before_the_recording",
            asleep::before_the_recording,
            || missing_privilege().or_else(|| missing_program("gcc")),
        ),
        skipping(
            "unwind::asleep_before_the_tables",
            asleep::before_the_tables,
            || missing_privilege().or_else(|| missing_program("gcc")),
        ),
        skipping("unwind::brief_processes", brief::whole, || {
            missing_privilege().or_else(brief::missing)
        }),
        skipping("unwind::known_chains", chains::known, compiled),
        skipping(
            "unwind::damaged_descriptions_cost_that_file_only",
            damaged::damaged,
            || {
                missing_privilege()
                    .or_else(|| missing_program("g++"))
                    .or_else(|| missing_program("objcopy"))
            },
        ),
        skipping("unwind::undescribed_code", undescribed::whole, || {
            missing_privilege().or_else(undescribed::missing)
        }),
        skipping("unwind::go", go::without_cgo, || {
            missing_privilege().or_else(|| missing_program("go"))
        }),
        skipping("unwind::go_with_c", go::with_cgo, || {
            missing_privilege()
                .or_else(|| missing_program("go"))
                .or_else(|| missing_program("gcc"))
        }),
        skipping("unwind::python", interpreted::python, || {
            missing_privilege().or_else(|| missing_program("/usr/bin/python3"))
        }),
        skipping("unwind::node", interpreted::node, || {
            missing_privilege().or_else(|| missing_program("node"))
        }),
    ]
}

/// Compiles a C program, given its name and text, that keeps no frame pointers.
pub(super) fn compile(
    compiler: &str,
    (name, text): (&str, &str),
    folder: &Path,
    flags: &[&str],
) -> Result<PathBuf> {
    let source = folder.join(format!("{name}.c"));
    let program = folder.join(format!("{name}-{compiler}{}", flags.concat()));
    std::fs::write(&source, text)?;
    let output = Command::new(compiler)
        .args(["-fomit-frame-pointer", "-w", "-o"])
        .args([&program, &source])
        .args(flags)
        .output()?;
    ensure!(
        output.status.success(),
        "{compiler} {flags:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(program)
}

/// Causes of a cut that whoever records from before a program's start has some of.
const EARLY: [&str; 2] = ["no_table_yet", "frame_pointers"];

/// Fails if more than a share of the stacks of the container whose cgroup this is were cut for any other cause than that it
/// was early.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn not_cut(recording: &Recording, cgroup: &str, most: f64) -> Result {
    let row = recording.row(cgroup)?;
    let cut = row.value("stacks/cut");
    let cut = cut.as_object().ok_or("no stacks/cut")?;
    let others = cut
        .iter()
        .filter(|(cause, _)| !EARLY.contains(&cause.as_str()));
    let others: u64 = others.filter_map(|(_, count)| count.as_u64()).sum();
    let samples = row.number("samples")?;
    ensure!(
        others as f64 <= most * samples as f64,
        "{others} of {samples} samples cut: {}",
        row.value("stacks")
    );
    Ok(())
}

/// How long a program waits until its tables are made. They are made by a build for debugging here.
pub(super) fn settle_ms() -> u64 {
    if emulated() { 20_000 } else { 3_000 }
}

/// Fails unless at least so much of the time of these stacks is of those that are `whole`. Shows the first of the others.
#[allow(clippy::cast_precision_loss, reason = "times of minutes")]
fn mostly(what: &str, stacks: &Folded, least: f64, whole: impl Fn(&[String]) -> bool) -> Result {
    let total = stacks.total();
    ensure!(total > 0, "{what}: no stacks");
    let mut others: Vec<(u64, String)> = stacks
        .each()
        .filter(|(frames, _)| !whole(frames))
        .map(|(frames, ns)| (ns, frames.join(";")))
        .collect();
    others.sort_unstable_by(|one, other| other.cmp(one));
    let missing: u64 = others.iter().map(|(ns, _)| ns).sum();
    let share = 1.0 - missing as f64 / total as f64;
    others.truncate(8);
    ensure!(
        share >= least,
        "{what}: {:.2} % of {total} ns in whole stacks; others: {others:#?}",
        share * 100.0
    );
    Ok(())
}

/// States in which programs of known calls are looked at.
const STATES: [&str; 5] = [
    "on_cpu",
    "run_queue",
    "blocked_sleep",
    "blocked_poll",
    "blocked_lock",
];

/// Fails unless, of the functions that `own` finds in frames, each is called by the one that `calls` says in these stacks,
/// whatever others lie in between.
fn only_these_calls(
    stacks: &Folded,
    calls: &[(&str, &[&str])],
    own: impl Fn(&str) -> Option<&str>,
) -> Result {
    for (frames, ns) in stacks.each() {
        let own: Vec<&str> = frames.iter().filter_map(|frame| own(frame)).collect();
        for pair in own.windows(2) {
            let [one, other] = pair else { continue };
            let called = calls.iter().find(|(caller, _)| caller == one);
            ensure!(
                called.is_some_and(|(_, called)| called.contains(other)),
                "{one} > {other} for {ns} ns in {}",
                frames.join(";")
            );
        }
    }
    Ok(())
}
