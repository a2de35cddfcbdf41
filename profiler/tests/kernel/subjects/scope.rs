//! Whose samples they are: targets, what is below them, what is born in them, and the rest.

use libtest_mimic::Trial;

use super::{Burnt, burnt, output, truth, workload};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::{Ctprof, Running};
use crate::harness::needs::privileged;
use crate::harness::{Result, close, ensure, frequency, sample_tolerance};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("scope::a_cgroup_and_all_below_it", all_below),
        privileged("scope::a_cgroup_born_while_recording", born),
        privileged("scope::newborn_cgroups_keep_apart", newborn_apart),
        privileged("scope::a_folder_path_is_a_target_too", folder_path),
        privileged("scope::a_neighbour_is_left_out", neighbour),
        privileged("scope::host_and_kernel_have_slots", host_and_kernel),
    ]
}

/// Starts recording with `args` after the frequency, and waits until it samples.
fn recording(dir: &std::path::Path, args: &[&str]) -> Result<Running> {
    let hertz = frequency().to_string();
    let mut ctprof = Ctprof::record(dir, &["--duration", "120s", "--frequency", &hertz]);
    for arg in args {
        ctprof = ctprof.arg(arg);
    }
    let mut running = ctprof.start()?;
    running.wait_until_attached()?;
    Ok(running)
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn check(samples: u64, cgroup: &Cgroup, workloads: &[Burnt]) -> Result {
    let truth = truth(frequency(), cgroup, workloads)?;
    close("samples", samples as f64, truth, sample_tolerance())
}

/// Two cgroups two levels below the target.
fn all_below() -> Result {
    let top = Cgroup::new("top")?;
    let middle = top.child("middle")?;
    let (left, right) = (middle.child("left")?, middle.child("right")?);
    let (_folder, dir) = output()?;
    let ctprof = recording(&dir, &["--cgroup", top.path()])?;
    let left_burns = workload(Some(&left), &["burn", "--ms", "3000"])?;
    let right_burns = workload(Some(&right), &["burn", "--ms", "3000"])?;
    let workloads = [burnt(left_burns)?, burnt(right_burns)?];
    let recording = ctprof.stop(&dir)?;
    check(recording.samples_below(top.path()), &top, &workloads)
}

/// Everything that ever runs in a cgroup that did not exist when the recording began, and that is gone when
/// it ends.
fn born() -> Result {
    let top = Cgroup::new("parent")?;
    let (_folder, dir) = output()?;
    let ctprof = recording(&dir, &["--cgroup", top.path()])?;
    let mut workloads = Vec::new();
    for name in ["first", "second"] {
        let newborn = top.child(name)?;
        workloads.push(burnt(workload(
            Some(&newborn),
            &["burn", "--threads", "2", "--ms", "1500"],
        )?)?);
    }
    let recording = ctprof.stop(&dir)?;
    check(recording.samples_below(top.path()), &top, &workloads)
}

/// Everything is recorded: each of several cgroups that did not exist before has its own samples, and only those.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn newborn_apart() -> Result {
    let (_folder, dir) = output()?;
    let ctprof = recording(&dir, &[])?;
    let mut newborns = Vec::new();
    for (name, ms) in [
        ("apart-a", "3000"),
        ("apart-b", "1500"),
        ("apart-c", "2500"),
    ] {
        let newborn = Cgroup::new(name)?;
        let burnt = burnt(workload(Some(&newborn), &["burn", "--ms", ms])?)?;
        newborns.push((newborn, burnt));
    }
    let recording = ctprof.stop(&dir)?;
    for (newborn, burnt) in newborns {
        // Whose samples they are is the question here, of which each has few.
        let samples = recording.samples_below(newborn.path()) as f64;
        close(
            "samples",
            samples,
            truth(frequency(), &newborn, &[burnt])?,
            0.15,
        )?;
    }
    Ok(())
}

/// The path in the file system instead of the one from the root of the hierarchy.
fn folder_path() -> Result {
    let cgroup = Cgroup::new("folder")?;
    let folder = cgroup.folder();
    let (_folder, dir) = output()?;
    let ctprof = recording(&dir, &["--cgroup", &folder.to_string_lossy()])?;
    let burnt = burnt(workload(
        Some(&cgroup),
        &["burn", "--threads", "2", "--ms", "3000"],
    )?)?;
    let recording = ctprof.stop(&dir)?;
    check(recording.samples_below(cgroup.path()), &cgroup, &[burnt])
}

/// A busy cgroup beside the target leaves no sample.
fn neighbour() -> Result {
    let (target, other) = (Cgroup::new("target")?, Cgroup::new("other")?);
    let (_folder, dir) = output()?;
    let ctprof = recording(&dir, &["--cgroup", target.path()])?;
    let noise = workload(Some(&other), &["burn", "--ms", "3000", "--alpha", "0"])?;
    let own = burnt(workload(
        Some(&target),
        &["burn", "--ms", "3000", "--alpha", "100"],
    )?)?;
    burnt(noise)?;
    let recording = ctprof.stop(&dir)?;
    ensure!(
        recording.folded.with("beta") == 0,
        "the neighbour was sampled"
    );
    check(recording.samples(), &target, &[own])
}

/// Without a target everything is recorded: what is in no container, and the kernel's own threads.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn host_and_kernel() -> Result {
    let (_folder, dir) = output()?;
    let ctprof = recording(&dir, &[])?;
    let used = burnt(workload(None, &["burn", "--ms", "3000"])?)?;
    let recording = ctprof.stop(&dir)?;
    recording.samples_of("kernel")?;
    // Others on the host run too.
    let least = used.samples(frequency()) * (1.0 - sample_tolerance());
    let host = recording.samples_of("host")? as f64;
    ensure!(
        host >= least,
        "{host} samples of the host, at least {least:.0} expected"
    );
    Ok(())
}
