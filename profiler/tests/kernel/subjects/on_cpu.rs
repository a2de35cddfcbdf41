//! On-CPU samples: how many, and in which functions.

use libtest_mimic::Trial;

use super::{burnt, output, truth, workload};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::privileged;
use crate::harness::program::Program;
use crate::harness::{Result, close, emulated, ensure, frequency, sample_tolerance, tolerance};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("on_cpu::counts_match_cpu_time", counts_match_cpu_time),
        privileged(
            "on_cpu::default_frequency_over_ten_seconds",
            default_frequency,
        ),
        privileged("on_cpu::a_quota_stops_samples_too", under_quota),
        privileged("on_cpu::functions_in_proportion", functions_in_proportion),
    ]
}

/// Two threads inside a cgroup: samples / frequency is the CPU time that the kernel accounts.
fn counts_match_cpu_time() -> Result {
    let hertz = frequency().to_string();
    measure(None, "4000", &["--frequency", &hertz], frequency())
}

/// Threads that are stopped by their quota most of the time are not sampled meanwhile.
fn under_quota() -> Result {
    let hertz = frequency().to_string();
    measure(Some(0.8), "6000", &["--frequency", &hertz], frequency())
}

/// The same with the defaults of `record`, over the ten seconds that a user would wait.
fn default_frequency() -> Result {
    measure(None, "10000", &[], 99)
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn measure(cores: Option<f64>, ms: &str, args: &[&str], frequency: u64) -> Result {
    let cgroup = Cgroup::new("counts")?;
    if let Some(cores) = cores {
        cgroup.limit(cores)?;
    }
    let (_folder, dir) = output()?;
    let mut ctprof = Ctprof::record(&dir, &["--duration", "120s"]).cgroup(&cgroup);
    for arg in args {
        ctprof = ctprof.arg(arg);
    }
    let mut ctprof = ctprof.start()?;
    ctprof.wait_until_attached()?;
    let hertz = frequency.to_string();
    let burnt = burnt(workload(
        Some(&cgroup),
        &["burn", "--threads", "2", "--ms", ms, "--frequency", &hertz],
    )?)?;
    let recording = ctprof.stop(&dir)?;
    let truth = truth(frequency, &cgroup, &[burnt])?;
    let samples = recording.samples_below(cgroup.path());
    // A Poisson-like spread of one standard deviation is 1 / sqrt(n); timers are steadier than that, but
    // the frequency is low enough for it to matter in short runs on a busy machine.
    close("samples", samples as f64, truth, sample_tolerance())?;
    recording.check()?;
    recording.row(cgroup.path())?.agrees_with_usage()?;
    ensure!(
        recording.samples() == samples,
        "samples outside of the target"
    );
    Ok(())
}

/// 70 % of the work in `alpha`, 30 % in `beta`, by name, within 3 points.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn functions_in_proportion() -> Result {
    let cgroup = Cgroup::new("proportion")?;
    let (_folder, dir) = output()?;
    // Lost samples do not change a proportion, so that emulation needs no frequency as low as elsewhere.
    let hertz = if emulated() { "299" } else { "997" };
    let mut ctprof = Ctprof::record(&dir, &["--duration", "120s", "--frequency", hertz])
        .cgroup(&cgroup)
        .start()?;
    ctprof.wait_until_attached()?;
    let ms = if emulated() { "8000" } else { "4000" };
    let args = ["burn", "--threads", "2", "--ms", ms, "--alpha", "70"];
    let facts = Program::start(Some(&cgroup), &args)?.end()?;
    let percent_alpha = 100.0 * facts.get("alpha_ns")? as f64 / facts.get("cpu_ns")? as f64;
    let folded = ctprof.stop(&dir)?.folded.state("on_cpu");
    let (alpha, beta) = (folded.with("alpha") as f64, folded.with("beta") as f64);
    // Clocks are read in between. On an emulated CPU they, and interrupts, cost many times more.
    let least = tolerance(0.9, 0.5) * folded.total() as f64;
    ensure!(
        alpha + beta > least,
        "{alpha} ns and {beta} ns of {} ns",
        folded.total()
    );
    let found = 100.0 * alpha / (alpha + beta);
    ensure!(
        (found - percent_alpha).abs() <= 3.0,
        "alpha has {found:.1} % instead of {percent_alpha:.1} %"
    );
    Ok(())
}
