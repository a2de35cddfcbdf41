//! How recordings end, and what they leave.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use super::{burnt, output, truth, workload};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::privileged;
use crate::harness::{
    Result, close, emulated, ensure, frequency, patience, sample_tolerance, this_program, wait_for,
};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("lifecycle::two_at_a_time", two_at_a_time),
        privileged("lifecycle::interrupt_writes_everything", interrupt),
        privileged("lifecycle::ends_after_its_duration", duration),
        privileged("lifecycle::a_cgroup_that_vanishes", vanishing),
        privileged("lifecycle::no_samples_says_why", no_samples),
        privileged("lifecycle::nothing_stays_in_the_kernel", nothing_left),
    ]
}

/// Neither disturbs the other.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn two_at_a_time() -> Result {
    let cgroup = Cgroup::new("two")?;
    let hertz = frequency().to_string();
    let args = ["--duration", "120s", "--frequency", &hertz];
    let outputs = [output()?, output()?];
    let mut running = Vec::new();
    for (_, dir) in &outputs {
        let mut ctprof = Ctprof::record(dir, &args).cgroup(&cgroup).start()?;
        ctprof.wait_until_attached()?;
        running.push(ctprof);
    }
    let burnt = burnt(workload(
        Some(&cgroup),
        &["burn", "--threads", "2", "--ms", "4000"],
    )?)?;
    let truth = truth(frequency(), &cgroup, &[burnt])?;
    for (ctprof, (_, dir)) in running.into_iter().zip(&outputs) {
        let samples = ctprof.stop(dir)?.samples_below(cgroup.path());
        close("samples", samples as f64, truth, sample_tolerance())?;
    }
    Ok(())
}

/// Ctrl-C ends early, with exit code 0 and every file.
fn interrupt() -> Result {
    let cgroup = Cgroup::new("interrupt")?;
    let (_folder, dir) = output()?;
    let mut ctprof = Ctprof::record(&dir, &["--duration", "600s"])
        .cgroup(&cgroup)
        .start()?;
    ctprof.wait_until_attached()?;
    burnt(workload(Some(&cgroup), &["burn", "--ms", "1000"])?)?;
    let recording = ctprof.stop(&dir)?;
    ensure!(recording.samples() > 0, "no samples");
    let seconds = recording.seconds()?;
    ensure!(
        seconds >= 1.0 && seconds < patience().as_secs_f64(),
        "recorded {seconds} s"
    );
    Ok(())
}

/// `--duration 2s` is a window of two seconds.
fn duration() -> Result {
    let cgroup = Cgroup::new("duration")?;
    let child = workload(Some(&cgroup), &["burn", "--ms", "60000"])?;
    let (_folder, dir) = output()?;
    let recording = Ctprof::record(&dir, &["--duration", "2s"])
        .cgroup(&cgroup)
        .run()?
        .recording(&dir)?;
    cgroup.remove()?;
    let mut child = child;
    child.wait()?;
    // The window ends when the timer has woken ctprof up, which takes long while two threads burn the
    // emulated CPUs.
    let tolerance = if emulated() { 0.5 } else { 0.03 };
    close("seconds", recording.seconds()?, 2.0, tolerance)
}

/// The target is removed while it is recorded: its samples stay.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn vanishing() -> Result {
    let cgroup = Cgroup::new("vanishing")?;
    let (_folder, dir) = output()?;
    let hertz = frequency().to_string();
    let mut ctprof = Ctprof::record(&dir, &["--duration", "120s", "--frequency", &hertz])
        .cgroup(&cgroup)
        .start()?;
    ctprof.wait_until_attached()?;
    let burnt = burnt(workload(
        Some(&cgroup),
        &["burn", "--threads", "2", "--ms", "3000"],
    )?)?;
    let truth = truth(frequency(), &cgroup, &[burnt])?;
    cgroup.remove()?;
    std::thread::sleep(Duration::from_millis(300));
    let samples = ctprof.stop(&dir)?.samples_below(cgroup.path());
    close("samples", samples as f64, truth, sample_tolerance())
}

/// An idle target: still a recording, and one line that says why it is empty.
fn no_samples() -> Result {
    let cgroup = Cgroup::new("idle")?;
    let (_folder, dir) = output()?;
    let finished = Ctprof::record(&dir, &["--duration", "1s"])
        .cgroup(&cgroup)
        .run()?;
    let recording = finished.recording(&dir)?;
    ensure!(recording.samples() == 0, "samples of an empty cgroup");
    let said = format!("{}{}", finished.stdout, finished.stderr).to_lowercase();
    ensure!(said.contains("no samples"), "it does not say so: {said}");
    Ok(())
}

/// Programs, maps and the cgroup of a command are gone soon after the end.
fn nothing_left() -> Result {
    let (_folder, dir) = output()?;
    let before = in_kernel()?;
    Ctprof::record(&dir, &["--duration", "1s", "--"])
        .arg(this_program()?)
        .arg("workload")
        .arg("burn")
        .arg("--ms")
        .arg("300")
        .run()?
        .recording(&dir)?;
    let end = Instant::now() + Duration::from_secs(5);
    wait_for("the kernel to free what ctprof loaded", || {
        let left: Vec<_> = in_kernel()?.difference(&before).cloned().collect();
        ensure!(
            left.is_empty() || Instant::now() < end,
            "left behind: {left:?}"
        );
        Ok(left.is_empty().then_some(()))
    })
}

/// Every BPF program and map, and every cgroup directly below the root.
fn in_kernel() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for program in aya::programs::loaded_programs().flatten() {
        let name = program.name_as_str().unwrap_or_default();
        found.insert(format!("program {} {name}", program.id()));
    }
    for map in aya::maps::loaded_maps().flatten() {
        found.insert(format!(
            "map {} {}",
            map.id(),
            map.name_as_str().unwrap_or_default()
        ));
    }
    let probe = Cgroup::new("probe")?;
    let folder = probe.folder();
    let root = folder.parent().ok_or("a cgroup without a parent")?;
    for entry in std::fs::read_dir(root)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && entry.path() != folder {
            found.insert(format!("cgroup {name}"));
        }
    }
    Ok(found)
}
