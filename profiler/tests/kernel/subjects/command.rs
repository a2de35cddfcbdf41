//! `ctprof record -- COMMAND`: its life and nothing else.

use std::path::Path;
use std::time::Duration;

use libtest_mimic::Trial;

use super::{Burnt, output};
use crate::harness::cgroup::left_by;
use crate::harness::ctprof::{Ctprof, Finished, Running};
use crate::harness::needs::privileged;
use crate::harness::recording::Recording;
use crate::harness::{Result, close, ensure, frequency, sample_tolerance, this_program};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("command::records_exactly_its_life", life),
        privileged("command::its_exit_code_is_forwarded", exit_code),
        privileged("command::ends_when_its_time_is_up", time_is_up),
        privileged("command::that_ignores_signals_is_killed", deaf),
        privileged("command::what_it_leaves_ends_with_it", daemons),
        privileged("command::ends_when_ctprof_is_interrupted", interrupted),
        privileged("command::is_killed_by_a_second_interrupt", twice),
        privileged("command::that_cannot_run", cannot_run),
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

/// Longer than a trial may take: nothing ends by itself.
const LONG_MS: &str = "100000";

/// Starts to record a workload that would run for long.
fn start(dir: &Path, options: &[&str], workload: &[&str]) -> Result<Running> {
    let mut ctprof = Ctprof::record(dir, options)
        .arg("--")
        .arg(this_program()?)
        .arg("workload");
    for word in workload {
        ctprof = ctprof.arg(word);
    }
    ctprof.arg("--ms").arg(LONG_MS).start()
}

/// Waits for the end, with this exit code: a whole recording, and nobody and nothing left.
fn finish(ctprof: Running, dir: &Path, code: i32) -> Result<Finished> {
    let pid = ctprof.pid();
    // Returns when nobody holds its output open any more.
    let finished = ctprof.finish()?;
    finished.expect_code_only(code)?;
    ensure!(
        !finished.stdout.contains("ended by itself"),
        "it was not ended: {}",
        finished.stderr
    );
    let left = left_by(pid)?;
    ensure!(left.is_empty(), "left {left:?}: {}", finished.stderr);
    Recording::read(dir)?.check()?;
    Ok(finished)
}

/// The recording is as long as it should be, and was asked for: that is no failure.
fn time_is_up() -> Result {
    let (_folder, dir) = output()?;
    let ctprof = start(&dir, &["--duration", "1s"], &["outlives"])?;
    let finished = finish(ctprof, &dir, 0)?;
    finished.expect_said("still runs: ending it")?;
    ensure!(
        !finished.stderr.contains("killing it"),
        "killed what ends when it is asked to: {}",
        finished.stderr
    );
    Ok(())
}

fn deaf() -> Result {
    let (_folder, dir) = output()?;
    let ctprof = start(&dir, &["--duration", "1s"], &["outlives", "--deaf", "1"])?;
    finish(ctprof, &dir, 0)?.expect_said("does not end: killing it")
}

/// Of a command that has exited the exit code is known.
fn daemons() -> Result {
    let (_folder, dir) = output()?;
    let ctprof = start(&dir, &[], &["leaves", "--code", "3"])?;
    finish(ctprof, &dir, 3)?.expect_said("left processes: ending them")
}

/// Nobody pressed Ctrl-C on a terminal: the command hears of it from ctprof.
fn interrupted() -> Result {
    let (_folder, dir) = output()?;
    let mut ctprof = start(&dir, &[], &["outlives"])?;
    ctprof.wait_until_attached()?;
    ctprof.interrupt()?;
    finish(ctprof, &dir, 128 + 2)?;
    let (_folder, dir) = output()?;
    let mut ctprof = start(&dir, &[], &["outlives"])?;
    ctprof.wait_until_attached()?;
    ctprof.terminate()?;
    finish(ctprof, &dir, 128 + 15)?;
    Ok(())
}

fn twice() -> Result {
    let (_folder, dir) = output()?;
    let mut ctprof = start(&dir, &[], &["outlives", "--deaf", "1"])?;
    ctprof.wait_until_attached()?;
    while ctprof.expect_alive().is_ok() {
        ctprof.interrupt()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    finish(ctprof, &dir, 128 + 9)?.expect_said("does not end: killing it")
}

/// One line, and the exit codes that shells, env and timeout have for it.
fn cannot_run() -> Result {
    let (folder, dir) = output()?;
    let text = folder.path().join("text");
    std::fs::write(&text, "no program")?;
    let folder = folder.path();
    for (command, code) in [(&*folder.join("none"), 127), (&*text, 126), (folder, 126)] {
        let ctprof = Ctprof::record(&dir, &["--"]).arg(command).start()?;
        let pid = ctprof.pid();
        let finished = ctprof.finish()?;
        finished.expect_code(code)?;
        finished.expect_said(&format!("cannot run {}", command.display()))?;
        ensure!(!dir.exists(), "{} left an output folder", command.display());
        let left = left_by(pid)?;
        ensure!(left.is_empty(), "left {left:?}");
    }
    Ok(())
}
