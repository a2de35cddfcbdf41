//! Time goes to the cgroup in which it was spent, whatever happens to a thread.

use std::thread::sleep;
use std::time::Duration;

use libtest_mimic::Trial;
use rustix::process::Signal;

use super::identity::process_ns;
use super::record;
use crate::harness::cgroup::Cgroup;
use crate::harness::needs::privileged;
use crate::harness::program::{Program, now_ns};
use crate::harness::{Result, close_ns, emulated, ensure, tolerance};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("moves::processes_between_cgroups", processes),
        privileged("moves::single_threads_between_cgroups", threads),
        privileged("moves::exec_in_the_first_thread", exec),
        privileged("moves::exec_in_another_thread", exec_in_another),
        privileged("moves::stopped_by_a_signal", stopped),
        privileged("moves::frozen", frozen),
    ]
}

/// How far the time in a cgroup may be off after a move.
fn move_ns() -> u64 {
    if emulated() { 100_000_000 } else { 20_000_000 }
}

const STEP: Duration = Duration::from_millis(400);

/// A busy thread, a sleeping one and one that waits for both move twice, as a process.
fn processes() -> Result {
    let arena = Cgroup::arena("moves")?;
    let (here, there) = (arena.child("here")?, arena.child("there")?);
    let (recording, (times, facts)) = record(&[&here, &there], || {
        let program = Program::start(Some(&here), &["moved", "--ms", "1500"])?;
        let mut times = vec![now_ns()];
        for target in [&there, &here] {
            sleep(STEP);
            target.adopt(program.pid())?;
            times.push(now_ns());
        }
        Ok((times, program.end()?))
    })?;
    let away = times[2] - times[1];
    // The two threads end when they have to, the process soon after.
    let lived = facts.lived_ns + 2 * 1_500_000_000;
    let row = recording.row(there.path())?;
    close_ns("there", row.thread_time_ns()?, 3 * away, 0.0, move_ns())?;
    close_ns(
        "busy there",
        row.on_cpu_ns()? + row.ns("run_queue")?,
        away,
        0.0,
        move_ns(),
    )?;
    close_ns(
        "asleep there",
        row.ns("blocked_sleep")?,
        away,
        0.0,
        move_ns(),
    )?;
    close_ns(
        "waiting there",
        row.ns("blocked_lock")?,
        away,
        0.0,
        move_ns(),
    )?;
    ensure!(
        row.number("threads_born")? == 3,
        "{} came",
        row.number("threads_born")?
    );
    row.agrees_with_usage()?;
    let row = recording.row(here.path())?;
    close_ns(
        "here",
        row.thread_time_ns()?,
        lived - 3 * away,
        0.0,
        move_ns(),
    )?;
    row.agrees_with_usage()
}

/// The busy thread moves to one cgroup, the sleeping one to another, the main thread stays.
fn threads() -> Result {
    let arena = Cgroup::arena("threads")?;
    let parent = arena.child("parent")?;
    let [home, first, second] =
        ["home", "first", "second"].map(|name| parent.child(name)?.threaded());
    let (home, first, second) = (home?, first?, second?);
    let (recording, (times, facts)) = record(&[&home, &first, &second], || {
        let mut program = Program::start(Some(&home), &["moved", "--ms", "1500"])?;
        let busy = program.next("tid")?;
        program.next("began_ns")?;
        let asleep = program.next("tid")?;
        let mut times = vec![program.next("began_ns")?];
        for (target, tid) in [(&first, busy), (&second, asleep), (&home, busy)] {
            sleep(STEP);
            target.adopt_thread(tid)?;
            times.push(now_ns());
        }
        Ok((times, program.end()?))
    })?;
    let busy = times[3] - times[1];
    let row = recording.row(first.path())?;
    close_ns("busy one away", row.thread_time_ns()?, busy, 0.0, move_ns())?;
    close_ns(
        "its work",
        row.on_cpu_ns()? + row.ns("run_queue")?,
        busy,
        0.0,
        move_ns(),
    )?;
    row.agrees_with_usage()?;
    let asleep = recording.row(second.path())?.thread_time_ns()?;
    let rest = times[0] + 1_500_000_000 - times[2];
    close_ns("sleeping one away", asleep, rest, 0.0, move_ns())?;
    let lived = facts.lived_ns + 2 * 1_500_000_000;
    let row = recording.row(home.path())?;
    close_ns(
        "at home",
        row.thread_time_ns()?,
        lived - busy - asleep,
        0.0,
        move_ns(),
    )?;
    row.agrees_with_usage()
}

/// One thread, two programs.
fn exec() -> Result {
    let cgroup = Cgroup::new("exec")?;
    let (recording, facts) = record(&[&cgroup], || {
        Program::start(Some(&cgroup), &["exec", "--ms", "500"])?.end()
    })?;
    let row = recording.row(cgroup.path())?;
    close_ns(
        "thread time",
        row.thread_time_ns()?,
        facts.lived_ns,
        0.005,
        process_ns(),
    )?;
    close_ns(
        "sleep",
        row.ns("blocked_sleep")?,
        1_000_000_000,
        0.01,
        process_ns(),
    )
}

/// A thread replaces the program: the main thread and a third one end, and it becomes the main thread.
fn exec_in_another() -> Result {
    let cgroup = Cgroup::new("exec")?;
    let (recording, (joined, facts)) = record(&[&cgroup], || {
        let args = ["exec", "--other", "1", "--ms", "500"];
        let program = Program::start(Some(&cgroup), &args)?;
        Ok((program.joined_ns, program.end()?))
    })?;
    let (born, exec) = (facts.get("born_ns")?, facts.get("exec_ns")?);
    // Three threads until the exec, and one of them goes on: `born` is a sum of two moments.
    let until_exec = 3 * exec - joined - born;
    let after = joined + facts.lived_ns - exec;
    let row = recording.row(cgroup.path())?;
    let truth = until_exec + after;
    close_ns(
        "thread time",
        row.thread_time_ns()?,
        truth,
        0.005,
        process_ns(),
    )?;
    let left = row.number("threads_exited")?;
    ensure!(left == 3, "{left} threads left, not 3: {}", row.describe());
    Ok(())
}

/// Three threads: busy, asleep, waiting.
fn stopped() -> Result {
    let arena = Cgroup::arena("stopped")?;
    let cgroup = arena.child("in")?;
    let (recording, (least, most)) = record(&[&cgroup], || {
        let program = Program::start(Some(&cgroup), &["moved", "--ms", "1200"])?;
        sleep(STEP);
        let stopped = spell(
            || program.signal(Signal::STOP),
            || program.signal(Signal::CONT),
        )?;
        program.end()?;
        Ok(stopped)
    })?;
    let row = recording.row(cgroup.path())?;
    let other = row.ns("blocked_other")?;
    ensure!(
        other + tolerance_ns() >= 3 * least && other <= 3 * most + tolerance_ns(),
        "stopped for three times {least} to {most} ns: {}",
        row.describe()
    );
    row.agrees_with_usage()
}

/// How long something held that these two begin and end, at least and at most: whoever wakes threads may have to let them run
/// before it can look at a clock.
fn spell(begin: impl FnOnce() -> Result, end: impl FnOnce() -> Result) -> Result<(u64, u64)> {
    let before = now_ns();
    begin()?;
    let from = now_ns();
    sleep(STEP);
    let to = now_ns();
    end()?;
    Ok((to - from, now_ns() - before))
}

/// By v2's freezer, which makes every thread stop in the kernel, and by v1's, which leaves sleepers asleep.
fn frozen() -> Result {
    let arena = Cgroup::arena("frozen")?;
    let cgroup = arena.child("in")?;
    let (recording, (modern, old)) = record(&[&cgroup], || {
        let program = Program::start(Some(&cgroup), &["moved", "--ms", "2500"])?;
        sleep(STEP);
        let modern = spell(|| cgroup.freeze(true), || cgroup.freeze(false))?;
        sleep(STEP);
        let mut has_v1 = false;
        let old = spell(
            || {
                has_v1 = cgroup.freeze_by_v1(true)?;
                Ok(())
            },
            || cgroup.freeze_by_v1(false).map(|_| ()),
        )?;
        let old = if has_v1 { old } else { (0, 0) };
        program.end()?;
        Ok((modern, old))
    })?;
    let row = recording.row(cgroup.path())?;
    let other = row.ns("blocked_other")?;
    let (least, most) = (3 * modern.0 + old.0, 3 * (modern.1 + old.1));
    ensure!(
        other + tolerance_ns() >= least && other <= most + tolerance_ns(),
        "frozen for {least} to {most} ns: {}",
        row.describe()
    );
    row.agrees_with_usage()
}

/// How long it takes until three threads have noticed.
fn tolerance_ns() -> u64 {
    tolerance(30e6, 120e6) as u64
}
