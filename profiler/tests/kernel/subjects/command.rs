//! `ctprof record -- COMMAND`: its life and nothing else.

use libtest_mimic::Trial;

use super::{Burnt, output};
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::privileged;
use crate::harness::{Result, close, ensure, frequency, sample_tolerance, this_program};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("command::records_exactly_its_life", life),
        privileged("command::its_exit_code_is_forwarded", exit_code),
    ]
}

/// The CPU time is the one that the command itself reads at its end.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn life() -> Result {
    let (_folder, dir) = output()?;
    let hertz = frequency().to_string();
    let finished = Ctprof::record(&dir, &["--frequency", &hertz, "--"])
        .arg(this_program()?)
        .arg("workload")
        .arg("burn")
        .arg("--threads")
        .arg("2")
        .arg("--ms")
        .arg("4000")
        .run()?;
    let recording = finished.recording(&dir)?;
    let truth = Burnt::parse(&finished.stdout)?.samples(frequency());
    close(
        "samples",
        recording.samples() as f64,
        truth,
        sample_tolerance(),
    )?;
    let seconds = recording.seconds()?;
    ensure!((4.0..7.0).contains(&seconds), "recorded {seconds} s of 4");
    Ok(())
}

/// A wrapper must not hide how the command ended.
fn exit_code() -> Result {
    let (_folder, dir) = output()?;
    let finished = Ctprof::record(&dir, &["--"])
        .arg(this_program()?)
        .arg("workload")
        .arg("exit")
        .arg("--code")
        .arg("7")
        .run()?;
    ensure!(
        finished.code == Some(7),
        "exit code {:?}: {}",
        finished.code,
        finished.stderr
    );
    Ok(())
}
