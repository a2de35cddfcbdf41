//! What is lost is counted: full maps, and CPUs that come and go.

use std::fs;
use std::time::Duration;

use libtest_mimic::Trial;

use super::identity::process_ns;
use super::{burnt, output, truth, workload};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::{missing_privilege, privileged, skipping};
use crate::harness::program::Program;
use crate::harness::{
    Result, close, close_ns, emulated, ensure, frequency, sample_tolerance, tolerance,
};

/// Switches the second CPU off and on.
const CPU_1: &str = "/sys/devices/system/cpu/cpu1/online";

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("losses::full_maps_are_counted", full_maps),
        privileged(
            "losses::full_maps_change_no_totals",
            full_maps_change_no_totals,
        ),
        skipping("losses::a_cpu_that_comes_online", new_cpu, no_spare_cpu),
        skipping("losses::a_cpu_that_goes_offline", cpu_goes, no_spare_cpu),
    ]
}

/// With room for two rows and two stacks, most samples find the maps full: each is counted once, either as a
/// sample or as lost, and none twice.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn full_maps() -> Result {
    let cgroup = Cgroup::new("full")?;
    let (_folder, dir) = output()?;
    let hertz = frequency().to_string();
    let args = [
        "--duration",
        "120s",
        "--frequency",
        &hertz,
        "--map-entries",
        "2",
        // A sleep whose row finds no room is counted there, too.
        "--state",
        "on-cpu",
    ];
    let mut ctprof = Ctprof::record(&dir, &args).cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    let burnt = burnt(workload(
        Some(&cgroup),
        &["burn", "--threads", "2", "--ms", "4000", "--alpha", "50"],
    )?)?;
    let recording = ctprof.stop(&dir)?;
    let lost = |cause: &str| {
        recording.summary["lost"][cause]
            .as_u64()
            .unwrap_or_default()
    };
    let (rows, stacks) = (lost("count_map_full"), lost("stack_map_full"));
    ensure!(rows > 0 && stacks > 0, "lost {rows} rows, {stacks} stacks");
    let truth = truth(frequency(), &cgroup, &[burnt])?;
    let found = (recording.samples() + rows) as f64;
    close("samples and lost ones", found, truth, sample_tolerance())?;
    recording.row(cgroup.path())?.agrees_with_usage()
}

/// Whoever waits, runs or sleeps without a row for its stack still does so in the ledger.
fn full_maps_change_no_totals() -> Result {
    let arena = Cgroup::arena("full")?;
    let cgroup = arena.child("in")?;
    let (_folder, dir) = output()?;
    let args = ["--duration", "120s", "--map-entries", "2"];
    let mut ctprof = Ctprof::record(&dir, &args).cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    let threads = ["lives", "--threads", "4", "--life", "1000", "--ms", "1"];
    let facts = Program::start(Some(&cgroup), &threads)?.end()?;
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    let row = recording.row(cgroup.path())?;
    let lived = facts.get("lived_ns")? + facts.lived_ns;
    let tolerance = tolerance(0.005, 0.02);
    close_ns(
        "thread time",
        row.thread_time_ns()?,
        lived,
        tolerance,
        process_ns(),
    )?;
    row.agrees_with_usage()?;
    ensure!(recording.lost("count_map_full") > 0, "nothing was lost");
    Ok(())
}

/// A CPU is switched off and on again under busy threads: time goes on, and no number is absurd.
fn cpu_goes() -> Result {
    let _back_on = BackOn;
    let cgroup = Cgroup::new("cpu")?;
    let (_folder, dir) = output()?;
    let mut ctprof = Ctprof::record(&dir, &["--duration", "120s"])
        .cgroup(&cgroup)
        .start()?;
    ctprof.wait_until_attached()?;
    let program = Program::start(Some(&cgroup), &["burn", "--threads", "2", "--ms", "4000"])?;
    for state in ["0", "1"] {
        std::thread::sleep(Duration::from_millis(1200));
        fs::write(CPU_1, state)?;
    }
    let facts = program.end()?;
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    let row = recording.row(cgroup.path())?;
    let lived = facts.get("wall_ns")? + facts.lived_ns;
    close_ns(
        "thread time",
        row.thread_time_ns()?,
        lived,
        0.02,
        process_ns(),
    )?;
    row.agrees_with_usage()
}

/// Half of the work runs on a CPU that was off when the recording began.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn new_cpu() -> Result {
    let _back_on = BackOn;
    fs::write(CPU_1, "0")?;
    let cgroup = Cgroup::new("cpu")?;
    let (_folder, dir) = output()?;
    let hertz = frequency().to_string();
    let args = ["--duration", "120s", "--frequency", &hertz];
    let mut ctprof = Ctprof::record(&dir, &args).cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    fs::write(CPU_1, "1")?;
    // ctprof looks for new CPUs twice a second.
    std::thread::sleep(Duration::from_secs(2));
    let burnt = burnt(workload(
        Some(&cgroup),
        &["burn", "--threads", "2", "--ms", "4000"],
    )?)?;
    let recording = ctprof.stop(&dir)?;
    let cpus = recording.summary["sampling"]["cpus"].as_u64();
    ensure!(cpus == Some(2), "{cpus:?} CPUs were sampled");
    let truth = truth(frequency(), &cgroup, &[burnt])?;
    close(
        "samples",
        recording.samples() as f64,
        truth,
        sample_tolerance(),
    )
}

/// On a machine that others use, no test switches CPUs off.
fn no_spare_cpu() -> Option<String> {
    missing_privilege().or_else(|| {
        let usable = emulated() && fs::exists(CPU_1).unwrap_or(false);
        (!usable).then(|| "runs in the virtual machines of `cargo xtask vm` only".to_owned())
    })
}

struct BackOn;

impl Drop for BackOn {
    fn drop(&mut self) {
        let _ = fs::write(CPU_1, "1");
    }
}
