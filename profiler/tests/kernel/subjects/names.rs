//! Names of functions whatever processes do: the right one or none; and nothing that they do holds ctprof up.

use libtest_mimic::Trial;

use super::output;
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::folded::Folded;
use crate::harness::needs::{missing_privilege, privileged, skipping};
use crate::harness::program::Program;
use crate::harness::{Result, emulated, ensure};

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        privileged("names::of_a_process_that_execs_after_its_forks", becomes),
        privileged("names::of_a_process_without_its_first_thread", leaderless),
        privileged("names::many_mappings_hold_nothing_up", mappings),
    ];
    if cfg!(target_arch = "x86_64") {
        // Their code is machine code.
        trials.push(privileged("names::never_of_what_was_there_before", swapped));
        trials.push(skipping(
            "names::of_processes_of_a_few_milliseconds",
            brief,
            || {
                missing_privilege().or_else(|| {
                    emulated().then(|| "a program's start takes an emulated CPU longer".into())
                })
            },
        ));
        trials.push(privileged("names::of_code_that_a_fork_inherits", inherited));
    }
    trials
}

/// The on-CPU stacks of a workload, recorded from its beginning.
fn on_cpu(args: &[&str]) -> Result<Folded> {
    let arena = Cgroup::arena("names")?;
    let cgroup = arena.child("in")?;
    let (_folder, dir) = output()?;
    // Lost samples change no share, so that emulation needs no frequency as low as elsewhere.
    let hertz = if emulated() { "299" } else { "997" };
    let mut ctprof = Ctprof::record(&dir, &["--duration", "120s", "--frequency", hertz])
        .cgroup(&cgroup)
        .start()?;
    ctprof.wait_until_attached()?;
    Program::start(Some(&cgroup), args)?.end()?;
    let folded = ctprof.stop(&dir)?.folded.state("on_cpu");
    ensure!(folded.total() > 0, "no samples");
    Ok(folded)
}

/// The share of the stacks' time with a frame that `wanted` accepts.
#[allow(clippy::cast_precision_loss, reason = "times of seconds")]
fn share(folded: &Folded, wanted: impl Fn(&str) -> bool) -> f64 {
    folded.matching(wanted) as f64 / folded.total() as f64
}

/// Of which it is not even known what is there. A file may have no symbol: `[file+0xoffset]`.
fn is_unnamed(frame: &str) -> bool {
    ["unmapped", "exited", "unknown", "unreadable", "remapped"]
        .iter()
        .any(|what| frame.starts_with(&format!("[{what}+0x")))
}

fn is_burn(frame: &str) -> bool {
    frame == "alpha" || frame == "beta"
}

/// What burns is nearly all that there is: ten programs that start and end at once take some milliseconds each.
fn becomes() -> Result {
    let folded = on_cpu(&["becomes", "--ms", "3000"])?;
    let (burns, unnamed) = (share(&folded, is_burn), share(&folded, is_unnamed));
    // How much of it is left to the programs before is up to how long they take to start.
    ensure!(
        burns > 0.3,
        "{burns} in what burns, {unnamed} without names"
    );
    ensure!(unnamed < 0.01, "{unnamed} of the time without names");
    Ok(())
}

fn leaderless() -> Result {
    let folded = on_cpu(&["leaderless", "--ms", "3000"])?;
    let (burns, unnamed) = (share(&folded, is_burn), share(&folded, is_unnamed));
    let least = if emulated() { 0.5 } else { 0.9 };
    ensure!(
        burns > least,
        "{burns} in what burns, {unnamed} without names"
    );
    ensure!(unnamed < 0.01, "{unnamed} of the time without names");
    Ok(())
}

/// Nothing of them is left when ctprof gets to look at one.
fn brief() -> Result {
    let folded = on_cpu(&["brief", "--ms", "4000"])?;
    let is_theirs = |frame: &str| frame.starts_with("[spins+0x");
    let (spins, unnamed) = (share(&folded, is_theirs), share(&folded, is_unnamed));
    ensure!(
        spins > 0.3,
        "{spins} in what spins, {unnamed} without names"
    );
    ensure!(unnamed < 0.01, "{unnamed} of the time without names");
    Ok(())
}

/// Two files at one address in turn: neither's name is given to the other's time.
fn swapped() -> Result {
    let folded = on_cpu(&["swapped", "--ms", "3000"])?;
    for file in ["[first+0x", "[second+0x"] {
        let wrong = share(&folded, |frame| frame.starts_with(file));
        ensure!(wrong <= 0.55, "{wrong} of the time in {file}");
    }
    let known = share(&folded, |frame| {
        frame.starts_with("[remapped+0x10000000")
            || frame.starts_with("[first+0x")
            || frame.starts_with("[second+0x")
    });
    let least = if emulated() { 0.5 } else { 0.9 };
    ensure!(known > least, "{known} of the time where the files were");
    Ok(())
}

fn inherited() -> Result {
    let folded = on_cpu(&["inherited", "--ms", "3000"])?;
    let compiled = share(&folded, |frame| frame == "compiled_loop");
    let least = if emulated() { 0.5 } else { 0.9 };
    ensure!(
        compiled > least,
        "{compiled} of the time in what was compiled"
    );
    Ok(())
}

/// The window is as long as it was to be, and what could not be looked at is said.
fn mappings() -> Result {
    let cgroup = Cgroup::new("mappings")?;
    let mut program = Program::start(Some(&cgroup), &["mappings", "--ms", "60000"])?;
    program.next("ready_ns")?;
    let (_folder, dir) = output()?;
    let finished = Ctprof::record(&dir, &["--duration", "2s"])
        .cgroup(&cgroup)
        .run()?;
    let recording = finished.recording(&dir)?;
    program.kill()?;
    let seconds = recording.seconds()?;
    // The event loop never waits for the process: what remains is the machine's own scheduling.
    let most = if emulated() { 6.0 } else { 3.0 };
    ensure!((2.0..most).contains(&seconds), "recorded {seconds} s of 2");
    let causes = recording.summary["unnamed"].to_string();
    ensure!(
        ["process_late", "too_many_mappings"]
            .iter()
            .any(|cause| causes.contains(cause)),
        "nothing is said of the process: {causes}"
    );
    Ok(())
}
