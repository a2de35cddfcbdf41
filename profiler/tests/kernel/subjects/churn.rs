//! Threads, processes and containers that come and go faster than anybody can look.

use std::time::Duration;

use libtest_mimic::Trial;

use super::identity::{nap, process_ns};
use super::{output, record};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::privileged;
use crate::harness::program::Program;
use crate::harness::{Result, close_ns, emulated, ensure, tolerance};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("churn::five_thousand_threads", threads),
        privileged("churn::a_fork_bomb_within_a_limit", forks),
        privileged("churn::a_container_that_comes_and_goes", container),
        privileged("churn::a_target_that_is_removed", removed),
        privileged("churn::an_exit_is_no_birth", exits),
        privileged("churn::exits_at_the_end_of_a_recording", ends),
    ]
}

/// A thousand births a second; an emulated CPU does not get as far.
fn threads() -> Result {
    let (count, ms) = if emulated() {
        ("500", "4000")
    } else {
        ("5000", "5000")
    };
    let cgroup = Cgroup::new("churn")?;
    let (recording, facts) = record(&[&cgroup], || {
        let births = ["--threads", count, "--ms", ms];
        let life = ["lives", "--life", "20", "--calm", "1"];
        Program::start(Some(&cgroup), &[&life[..], &births].concat())?.end()
    })?;
    let row = recording.row(cgroup.path())?;
    let born: u64 = count.parse()?;
    for name in ["threads_born", "threads_exited"] {
        let found = row.number(name)?;
        ensure!(
            found == born + 1,
            "{name} is {found}, and it were {born} and the first"
        );
    }
    let truth = facts.get("lived_ns")? + facts.lived_ns;
    // A thread does not know how long it waited for a CPU after it had looked at the clock for the last time.
    close_ns(
        "thread time",
        row.thread_time_ns()?,
        truth,
        tolerance(0.005, 0.25),
        process_ns() + row.strangers_ns(),
    )?;
    row.agrees_with_usage()?;
    nothing_lost(&recording)
}

/// Threads of the host leave their session's autogroup when they exit, which is no move.
fn exits() -> Result {
    let calm = [
        "--life",
        if emulated() { "9000" } else { "6000" },
        "--calm",
        "1",
    ];
    let births = ["lives", "--threads", "200", "--ms", "0"];
    let program = Program::start(None, &[&births[..], &calm].concat())?;
    std::thread::sleep(Duration::from_millis(500));
    let (_folder, dir) = output()?;
    let mut ctprof = Ctprof::record(&dir, &["--duration", "120s", "--no-stacks"]).start()?;
    ctprof.wait_until_attached()?;
    program.end()?;
    let recording = ctprof.stop(&dir)?;
    let row = recording.row_named("host")?;
    let (born, exited) = (row.number("threads_born")?, row.number("threads_exited")?);
    // Somebody else may be born: there are other processes.
    ensure!(
        exited >= 200 && born < 100,
        "{born} born, {exited} exited, and 200 exited only"
    );
    Ok(())
}

/// Recordings of the whole host that begin and end while threads are born and exit: each has its end booked once, and no
/// nanosecond is left over.
fn ends() -> Result {
    let (ms, threads, recordings) = if emulated() {
        ("20000", "2000", 3)
    } else {
        ("6000", "24000", 30)
    };
    let life = ["lives", "--life", "5", "--calm", "1"];
    let births = ["--threads", threads, "--ms", ms];
    let births = || Program::start(None, &[&life[..], &births].concat());
    let mut program = births()?;
    for number in 0..recordings {
        if program.has_exited()? {
            program = births()?;
        }
        let (_folder, dir) = output()?;
        let finished = Ctprof::record(&dir, &["--duration", "200ms", "--no-stacks"]).run()?;
        let recording = finished.recording(&dir)?;
        recording.check()?;
        for cause in ["ledger_residual", "thread_end_missed"] {
            let lost = recording.lost(cause);
            ensure!(lost == 0, "recording {number}: {lost} {cause}");
        }
    }
    Ok(())
}

fn nothing_lost(recording: &crate::harness::recording::Recording) -> Result {
    for cause in ["thread_untracked", "account_missing", "delay_map_full"] {
        let lost = recording.lost(cause);
        ensure!(lost == 0, "lost {lost}: {cause}");
    }
    Ok(())
}

/// As many processes as the cgroup may hold, each of which forks as fast as it can.
fn forks() -> Result {
    let cgroup = Cgroup::new("forks")?;
    cgroup.limit_threads(if emulated() { 8 } else { 40 })?;
    let (recording, facts) = record(&[&cgroup], || {
        Program::start(Some(&cgroup), &["forks", "--ms", "2000"])?.end()
    })?;
    let row = recording.row(cgroup.path())?;
    let (born, refused) = (facts.get("born")?, facts.get("refused")?);
    ensure!(
        born > if emulated() { 30 } else { 200 } && refused > 0,
        "{born} born, {refused} refused: that is no bomb"
    );
    for name in ["threads_born", "threads_exited"] {
        let found = row.number(name)?;
        ensure!(
            found == born + 1,
            "{name} is {found}, and it were {born} and the first"
        );
    }
    // From before `fork` in the parent to just before the end in the child: it takes about as long to begin as to
    // end, in a process that has to be copied and taken down.
    let truth = facts.get("lived_ns")? + facts.lived_ns;
    close_ns(
        "thread time",
        row.thread_time_ns()?,
        truth,
        tolerance(0.02, 0.1),
        process_ns() + born * 200_000,
    )?;
    row.agrees_with_usage()?;
    nothing_lost(&recording)
}

/// Everything is recorded; the cgroup is made, used and removed meanwhile.
fn container() -> Result {
    let mut gone = None;
    let (recording, facts) = record(&[], || {
        let cgroup = Cgroup::new("short")?;
        let facts = Program::start(
            Some(&cgroup),
            &["lives", "--nap", nap(), "--threads", "20", "--ms", "500"],
        )?
        .end()?;
        cgroup.remove()?;
        gone = Some(cgroup.path().to_owned());
        Ok(facts)
    })?;
    let row = recording.row(&gone.ok_or("no path")?)?;
    let truth = facts.get("lived_ns")? + facts.lived_ns;
    close_ns(
        "thread time",
        row.thread_time_ns()?,
        truth,
        tolerance(0.005, 0.02),
        process_ns(),
    )?;
    ensure!(
        row.number("threads_born")? == 21,
        "{} born",
        row.number("threads_born")?
    );
    for name in ["host", "kernel"] {
        let row = recording.row_named(name)?;
        ensure!(row.thread_time_ns()? > 0, "no thread time of {name}");
    }
    nothing_lost(&recording)
}

/// The only target vanishes: what it did stays.
fn removed() -> Result {
    let arena = Cgroup::arena("removed")?;
    let (stays, goes) = (arena.child("stays")?, arena.child("goes")?);
    let (recording, facts) = record(&[&stays, &goes], || {
        let facts = Program::start(
            Some(&goes),
            &["lives", "--nap", nap(), "--threads", "20", "--ms", "500"],
        )?
        .end()?;
        goes.remove()?;
        std::thread::sleep(std::time::Duration::from_millis(300));
        Ok(facts)
    })?;
    let row = recording.row(goes.path())?;
    let truth = facts.get("lived_ns")? + facts.lived_ns;
    close_ns(
        "thread time",
        row.thread_time_ns()?,
        truth,
        tolerance(0.005, 0.02),
        process_ns(),
    )?;
    ensure!(
        recording.row(stays.path())?.thread_time_ns()? == 0,
        "time in an empty cgroup"
    );
    nothing_lost(&recording)
}
