//! The ledger adds up: states against lifetimes, lifetimes and waits against what threads know of themselves.

use std::time::Duration;

use libtest_mimic::Trial;

use super::record;
use crate::harness::cgroup::Cgroup;
use crate::harness::needs::privileged;
use crate::harness::program::Program;
use crate::harness::{Result, close_ns, emulated, ensure, tolerance};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("identity::threads_that_come_and_go", come_and_go),
        privileged("identity::threads_that_change_the_cpu", hops),
        privileged("identity::threads_that_stay_all_the_time", stay),
        privileged("identity::the_command_and_nothing_else", command),
    ]
}

/// How long a process may take until it is gone, or known to be.
pub(super) fn process_ns() -> u64 {
    if emulated() { 40_000_000 } else { 5_000_000 }
}

/// So busy that an emulated CPU still has time for a thread that ends, which cannot say when that is over.
pub(super) fn nap() -> &'static str {
    if emulated() { "20000" } else { "700" }
}

fn come_and_go() -> Result {
    lives(&["--threads", "60", "--life", "600", "--ms", "1500"], 61)
}

fn hops() -> Result {
    lives(
        &[
            "--threads",
            "8",
            "--life",
            "1500",
            "--ms",
            "200",
            "--hops",
            "1",
        ],
        9,
    )
}

/// Lifetimes, births and waits of one process' threads, of which there are so many.
fn lives(args: &[&str], threads: u64) -> Result {
    let arena = Cgroup::arena("lives")?;
    let cgroup = arena.child("in")?;
    let (recording, facts) = record(&[&cgroup], || {
        Program::start(Some(&cgroup), &[&["lives", "--nap", nap()], args].concat())?.end()
    })?;
    let row = recording.row(cgroup.path())?;
    close_ns(
        "thread time",
        row.thread_time_ns()?,
        facts.get("lived_ns")? + facts.lived_ns,
        tolerance(0.005, 0.02),
        process_ns(),
    )?;
    row.agrees_with_usage()?;
    let (born, exited) = (row.number("threads_born")?, row.number("threads_exited")?);
    ensure!(
        born == threads && exited == threads,
        "{born} threads born, {exited} exited; it were {threads}"
    );
    row.agrees_with_schedstat(facts.get("delay_ns")?, 5_000_000 + threads * 50_000)
}

/// Threads that were there before, and are when it ends, count from the first ns to the last, whether they sleep all
/// the time or never.
fn stay() -> Result {
    let arena = Cgroup::arena("stay")?;
    let (asleep, busy) = (arena.child("asleep")?, arena.child("busy")?);
    let mut programs = Vec::new();
    for _ in 0..3 {
        programs.push(Program::start(Some(&asleep), &["sleep", "--ms", "60000"])?);
    }
    programs.push(Program::start(
        Some(&busy),
        &["burn", "--cpu", "1", "--ms", "60000"],
    )?);
    // Until they are where they will be.
    std::thread::sleep(Duration::from_millis(300));
    let (recording, ()) = record(&[&asleep, &busy], || {
        std::thread::sleep(Duration::from_millis(1500));
        Ok(())
    })?;
    for program in programs {
        program.kill()?;
    }
    let window = recording.window_ns()?;
    // The first and the last thread are visited some time apart.
    let slack = 3 * crate::harness::visit_ns();
    let row = recording.row(asleep.path())?;
    close_ns(
        "thread time of sleepers",
        row.thread_time_ns()?,
        3 * window,
        0.0,
        slack,
    )?;
    close_ns(
        "their sleep",
        row.ns("blocked_sleep")?,
        3 * window,
        0.001,
        slack,
    )?;
    let row = recording.row(busy.path())?;
    close_ns(
        "thread time of a busy process",
        row.thread_time_ns()?,
        2 * window,
        0.0,
        slack,
    )?;
    close_ns(
        "its main thread's wait",
        row.ns("blocked_lock")?,
        window,
        0.001,
        slack,
    )?;
    let runnable = row.on_cpu_ns()? + row.ns("run_queue")?;
    close_ns("its work", runnable, window, 0.001, slack)?;
    for name in ["threads_born", "threads_exited"] {
        ensure!(
            row.number(name)? == 0,
            "{name} is not 0: {}",
            row.describe()
        );
    }
    Ok(())
}

/// `record -- COMMAND`: everything in the window is the command's.
fn command() -> Result {
    let (_folder, dir) = super::output()?;
    let finished = crate::harness::ctprof::Ctprof::record(&dir, &["--no-stacks", "--"])
        .arg(crate::harness::this_program()?)
        .arg("workload")
        .arg("lives")
        .arg("--threads")
        .arg("10")
        .arg("--ms")
        .arg("500")
        .run()?;
    let recording = finished.recording(&dir)?;
    recording.check()?;
    let lived: u64 = finished
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("lived_ns "))
        .ok_or("the command said nothing")?
        .parse()?;
    let row = recording.only_row()?;
    let others = row.thread_time_ns()?.saturating_sub(lived);
    let window = recording.window_ns()?;
    // Its main thread lives for the window, less what it takes to start and to end it.
    ensure!(
        others <= window + process_ns() && others + 300_000_000 >= window,
        "the main thread has {others} ns of {window} ns: {}",
        row.describe()
    );
    row.agrees_with_usage()
}
