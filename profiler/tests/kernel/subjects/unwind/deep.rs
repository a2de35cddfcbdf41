//! Recursion of a known depth.

use super::super::output;
use super::{mostly, not_cut, settle_ms};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::folded::Folded;
use crate::harness::program::Program;
use crate::harness::recording::Recording;
use crate::harness::{Result, ensure, frequency, tolerance};

const DEPTH: usize = 300;

pub(super) fn on_cpu() -> Result {
    let cgroup = Cgroup::new("deep")?;
    let recording = record(&cgroup, &[&["--ms", "4000"]])?;
    whole(&recording, &cgroup, "on_cpu")
}

pub(super) fn asleep() -> Result {
    let cgroup = Cgroup::new("deep")?;
    let recording = record(&cgroup, &[&["--ms", "4000", "--asleep", "1"]])?;
    whole(&recording, &cgroup, "blocked_sleep")
}

pub(super) fn throttled() -> Result {
    let cgroup = Cgroup::new("deep")?;
    cgroup.limit(0.3)?;
    let recording = record(&cgroup, &[&["--ms", "4000"]])?;
    if !recording.row(cgroup.path())?.is_available("throttled") {
        return whole(&recording, &cgroup, "run_queue");
    }
    whole(&recording, &cgroup, "throttled")
}

pub(super) fn queued() -> Result {
    let cgroup = Cgroup::new("deep")?;
    let one = ["--ms", "4000", "--cpu", "0"];
    let recording = record(&cgroup, &[&one, &one])?;
    whole(&recording, &cgroup, "run_queue")
}

/// The innermost 512 frames are kept, and nobody takes them for all.
pub(super) fn too_deep() -> Result {
    let cgroup = Cgroup::new("deep")?;
    let recording = record(&cgroup, &[&["--ms", "4000", "--depth", "600"]])?;
    let row = recording.row(cgroup.path())?;
    let samples = row.number("samples")?;
    let counted = row.number("stacks/cut/too_deep")?;
    let complete = row.number("stacks/complete")?;
    ensure!(
        counted * 100 >= samples * 97 && complete * 100 <= samples * 2,
        "{counted} too deep and {complete} complete of {samples}"
    );
    let below = |frames: &[String]| depth(frames) >= 500 && depth(frames) <= 512;
    let stacks = recording.folded.container(cgroup.path()).state("on_cpu");
    mostly("too deep", &stacks, tolerance(0.97, 0.9), |frames| {
        below(frames)
            && frames.iter().any(|frame| frame == "bottom")
            && !frames.iter().any(|frame| frame == "main")
    })
}

/// Records what `workload deep` does in these ways at the same time.
fn record(cgroup: &Cgroup, ways: &[&[&str]]) -> Result<Recording> {
    let (_folder, dir) = output()?;
    let frequency = frequency().to_string();
    let args = ["--duration", "120s", "--frequency", &frequency];
    let mut ctprof = Ctprof::record(&dir, &args).cgroup(cgroup).start()?;
    ctprof.wait_until_attached()?;
    let settle = settle_ms().to_string();
    let mut programs = Vec::new();
    for way in ways {
        let args = [&["deep", "--settle", &settle], *way].concat();
        programs.push(Program::start(Some(cgroup), &args)?);
    }
    for program in programs {
        program.end()?;
    }
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    let residual = recording.lost("ledger_residual");
    ensure!(residual == 0, "a residual of {residual} ns");
    Ok(recording)
}

fn whole(recording: &Recording, cgroup: &Cgroup, state: &str) -> Result {
    let stacks = recording.folded.container(cgroup.path()).state(state);
    at_the_bottom(&stacks, state)?;
    not_cut(recording, cgroup.path(), 0.0)
}

/// What waits before it goes down is as whole, and is told apart by that.
fn at_the_bottom(stacks: &Folded, state: &str) -> Result {
    let has = |frames: &[String], name: &str| frames.iter().any(|frame| frame == name);
    let deep = stacks.with("descend");
    // Of 4 s: in some states only a part, and what was early.
    ensure!(deep > 800_000_000, "{deep} ns {state} in the recursion");
    mostly(state, stacks, tolerance(0.99, 0.97), |frames| {
        has(frames, "main") && (has(frames, "settle") || depth(frames) == DEPTH)
    })
}

fn depth(frames: &[String]) -> usize {
    frames.iter().filter(|frame| *frame == "descend").count()
}
