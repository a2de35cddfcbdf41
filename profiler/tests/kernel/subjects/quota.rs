//! Stopped by a quota, or waiting for a CPU: told apart.

use std::time::Duration;

use libtest_mimic::Trial;

use super::{record, soon};
use crate::harness::cgroup::Cgroup;
use crate::harness::ledger::Row;
use crate::harness::needs::privileged;
use crate::harness::program::{Facts, Program, now_ns};
use crate::harness::recording::Recording;
use crate::harness::{Result, close_ns, emulated, ensure, tolerance};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("quota::three_busy_threads_under_0.3_cpu", three_threads),
        privileged("quota::one_thread_against_the_kernels_clock", one_thread),
        privileged("quota::of_the_parent_alone", parent),
        privileged("quota::of_parent_and_child", both),
        privileged("quota::that_is_never_hit", never_hit),
        privileged("quota::woken_while_throttled", woken),
        privileged("quota::stopped_when_the_recording_ends", stopped_at_the_end),
        privileged("quota::saved_up_for_a_burst", burst),
        privileged("quota::of_real_time_threads", real_time),
        privileged("quota::of_a_thread_with_a_deadline", deadline),
    ]
}

const SECOND: u64 = 1_000_000_000;

/// Waits until shortly before `begin_ns`, and sets the quotas.
fn limit(limits: &[(&Cgroup, f64)], begin_ns: u64) -> Result {
    let wait = begin_ns.saturating_sub(now_ns() + 20_000_000);
    std::thread::sleep(Duration::from_nanos(wait));
    for (cgroup, cores) in limits {
        cgroup.limit(*cores)?;
    }
    Ok(())
}

/// 4 s, of which each of three threads could run all the time.
fn three_threads() -> Result {
    let arena = Cgroup::arena("quota")?;
    let cgroup = arena.child("in")?;
    let args = ["--threads", "3", "--ms", "4000"];
    let recording = burn(&cgroup, &args, &[(&cgroup, 0.3)])?;
    let row = recording.row(cgroup.path())?;
    expect(row, 1_200_000_000, 0.05, SECOND)?;
    let periods = row.number("cfs/throttled_periods")?;
    ensure!(
        (35..=43).contains(&periods),
        "{periods} periods throttled of about 40"
    );
    let cores = row.number("cfs/periods")?;
    ensure!(
        cores >= periods,
        "{cores} periods, {periods} throttled ones"
    );
    Ok(())
}

/// How far waits may be off: what threads wait for at their very start and end, they do not know. An emulated CPU takes
/// long for both.
fn slack_ns(waited_ns: u64) -> u64 {
    if emulated() {
        waited_ns / 6
    } else {
        (waited_ns / 33).max(20_000_000)
    }
}

/// Burns in `cgroup` under quotas that are hit; they are set when the process is ready to begin.
fn burn(cgroup: &Cgroup, args: &[&str], limits: &[(&Cgroup, f64)]) -> Result<Recording> {
    let (recording, facts) = record(&[cgroup], || {
        let soon = soon();
        let at = soon.to_string();
        let args = [&["burn", "--at", &at], args].concat();
        let program = Program::start(Some(cgroup), &args)?;
        limit(limits, soon)?;
        program.end()
    })?;
    let row = recording.row(cgroup.path())?;
    row.agrees_with_usage()?;
    // What its threads know: they had the CPU, or they had not.
    let (wall, cpu) = (facts.get("wall_ns")?, facts.get("cpu_ns")?);
    row.waited(wall - cpu, slack_ns(wall - cpu))?;
    Ok(recording)
}

/// So much on the CPU, `off` of it more or less, at most so much on the run queue, and throttled for the rest of the time in which threads were
/// not blocked.
fn expect(row: Row<'_>, on_cpu: u64, off: f64, run_queue: u64) -> Result {
    let throttled = row.ns("throttled")?;
    let limited = row.number("limited_real_time_ns").unwrap_or(0);
    ensure!(limited == 0, "{limited} ns by another limit than the quota");
    // The kernel gives CPUs slices of the quota, and takes back what is left late. Starting and ending, without a
    // quota, takes an emulated CPU a tenth of a second.
    close_ns(
        "on CPU",
        row.on_cpu_ns()?,
        on_cpu,
        tolerance(off, 4.0 * off),
        if emulated() { 200_000_000 } else { 0 },
    )?;
    // What else the machine does is no matter of the quota.
    let run_queue = run_queue + row.strangers_ns();
    ensure!(
        row.ns("run_queue")? <= run_queue,
        "run queue has more than {run_queue} ns: {}",
        row.describe()
    );
    let runnable = row.thread_time_ns()? - row.blocked_ns();
    let least = runnable - row.on_cpu_ns()? - run_queue;
    ensure!(
        throttled >= least,
        "throttled for less than {least} ns: {}",
        row.describe()
    );
    let stops = row.number("throttle_duration/count")?;
    ensure!(stops > 0, "throttled, but never stopped");
    close_ns(
        "sum of stops",
        row.number("throttle_duration/sum_ns")?,
        throttled,
        0.02,
        0,
    )
}

/// Where one thread has a CPU for itself, all its waits are stops, and the queue's own clock says how long they were.
fn one_thread() -> Result {
    let arena = Cgroup::arena("quota")?;
    let cgroup = arena.child("in")?;
    let args = ["--cpu", "1", "--ms", "2500"];
    let recording = burn(&cgroup, &args, &[(&cgroup, 0.3)])?;
    let row = recording.row(cgroup.path())?;
    expect(row, 750_000_000, 0.08, 50_000_000)?;
    let kernel = row.number("cfs/throttled_ns")?;
    let allowed = tolerance(0.03, 0.08);
    close_ns("throttled", row.ns("throttled")?, kernel, allowed, 0)?;
    let (stops, periods) = (
        row.number("throttle_duration/count")?,
        row.number("cfs/throttled_periods")?,
    );
    ensure!(
        stops.abs_diff(periods) <= 2,
        "stopped {stops} times in {periods} throttled periods"
    );
    Ok(())
}

/// The container has no quota; the one above it has.
fn parent() -> Result {
    let arena = Cgroup::arena("quota")?;
    let parent = arena.child("parent")?;
    let cgroup = parent.child("in")?;
    let args = ["--threads", "2", "--ms", "2500"];
    let recording = burn(&cgroup, &args, &[(&parent, 0.3)])?;
    let row = recording.row(cgroup.path())?;
    expect(row, 750_000_000, 0.08, SECOND / 2)?;
    let own = row.number("cfs/throttled_periods")?;
    ensure!(
        own == 0,
        "the cgroup without a quota was throttled in {own} periods"
    );
    Ok(())
}

/// Two quotas at once. In the first cgroup its own one is used up before its parent's, which stops it in its turn
/// when its sibling has used up the rest: of 0.3 CPU, the sibling gets what is left. In the second its own is the
/// lower one, and the parent's is never used up.
fn both() -> Result {
    let arena = Cgroup::arena("quota")?;
    let (tight, wide) = (arena.child("tight")?, arena.child("wide")?);
    let (low, rest, own) = (
        tight.child("low")?,
        tight.child("rest")?,
        wide.child("own")?,
    );
    let limits = [(&tight, 0.3), (&low, 0.1), (&wide, 0.6), (&own, 0.2)];
    let all = [&low, &rest, &own];
    let (recording, ()) = record(&all, || {
        let mut programs = Vec::new();
        let soon = soon();
        let at = soon.to_string();
        for cgroup in all {
            let args = ["burn", "--threads", "2", "--ms", "2500", "--at", &at];
            programs.push(Program::start(Some(cgroup), &args)?);
        }
        limit(&limits, soon)?;
        programs
            .into_iter()
            .try_for_each(|program| program.end().map(drop))
    })?;
    // Of what its parent may have, the sibling gets what the other has left.
    let left = 750_000_000_u64.saturating_sub(recording.row(low.path())?.on_cpu_ns()?);
    // Six threads on two CPUs, and an emulated one does other things in between.
    let run_queue = if emulated() { SECOND * 3 / 2 } else { SECOND };
    for (cgroup, on_cpu) in [(&low, 250_000_000), (&rest, left), (&own, 500_000_000)] {
        let row = recording.row(cgroup.path())?;
        expect(row, on_cpu, 0.1, run_queue)
            .map_err(|error| format!("{}: {}", cgroup.path(), error.message().unwrap_or("?")))?;
        row.agrees_with_usage()?;
    }
    Ok(())
}

/// Half a CPU is used of 1.5.
fn never_hit() -> Result {
    let arena = Cgroup::arena("quota")?;
    let cgroup = arena.child("in")?;
    cgroup.limit(1.5)?;
    let (recording, _) = record(&[&cgroup], || {
        Program::start(Some(&cgroup), &["paced", "--ms", "1500"])?.end()
    })?;
    let row = recording.row(cgroup.path())?;
    for number in [
        "time_ns/throttled",
        "throttle_duration/count",
        "cfs/throttled_periods",
    ] {
        ensure!(
            row.number(number)? == 0,
            "{number} is not 0: {}",
            row.describe()
        );
    }
    ensure!(row.number("cfs/periods")? > 0, "no periods");
    row.agrees_with_usage()
}

/// Threads that sleep for 20 ms and wake up when the quota is used up: the rest of their wait is throttled, too. On
/// one CPU, where only they run, nobody waits for long otherwise.
fn woken() -> Result {
    let arena = Cgroup::arena("quota")?;
    let cgroup = arena.child("in")?;
    let (recording, (busy, paced)) = record(&[&cgroup], || {
        let soon = soon();
        let at = soon.to_string();
        let args = ["--cpu", "1", "--ms", "2500", "--at", &at];
        let busy = Program::start(Some(&cgroup), &[&["burn"], &args[..]].concat())?;
        let pace = ["--threads", "3", "--work", "200", "--sleep", "20000"];
        let paced = Program::start(Some(&cgroup), &[&["paced"], &args[..], &pace].concat())?;
        limit(&[(&cgroup, 0.3)], soon)?;
        Ok((busy.end()?, paced.end()?))
    })?;
    let row = recording.row(cgroup.path())?;
    // Those that sleep are late by what they waited for; those that do not had no CPU when they did not run.
    let late = paced.get("late_ns")? + busy.get("wall_ns")? - busy.get("cpu_ns")?;
    row.waited(late, slack_ns(late))?;
    // Behind each other, when the quota is there again, and preempted by those that wake up.
    ensure!(
        row.ns("run_queue")? <= late / 10,
        "too much on the run queue: {}",
        row.describe()
    );
    row.agrees_with_usage()
}

/// One thread uses up its quota of a second within 50 ms, and is stopped when the recording ends: all that it waited for
/// then, on a CPU that has nothing else to do and no ticks, it was stopped.
fn stopped_at_the_end() -> Result {
    let arena = Cgroup::arena("quota")?;
    let cgroup = arena.child("in")?;
    cgroup.limit_by_the_second(0.05)?;
    let (recording, program) = record(&[&cgroup], || {
        let program = Program::start(Some(&cgroup), &["burn", "--ms", "60000"])?;
        std::thread::sleep(Duration::from_millis(700));
        Ok(program)
    })?;
    program.kill()?;
    let row = recording.row(cgroup.path())?;
    let (waited, throttled) = (
        row.ns("run_queue")? + row.ns("throttled")?,
        row.ns("throttled")?,
    );
    ensure!(waited > 200_000_000, "hardly waited: {}", row.describe());
    // A tick may be missing.
    let others = row.strangers_ns() + row.delayed_ns("self", None) + waited / 10;
    ensure!(
        throttled + others >= waited,
        "throttled for less than it was: {}",
        row.describe()
    );
    Ok(())
}

/// A container that did nothing may use what it has saved up: 0.3 CPU, and as much again in one period.
fn burst() -> Result {
    let arena = Cgroup::arena("quota")?;
    let cgroup = arena.child("in")?;
    cgroup.limit_with_burst(0.3, 0.3)?;
    let (recording, _) = record(&[&cgroup], || {
        let pace = ["--ms", "3000", "--work", "50000", "--sleep", "600000"];
        Program::start(Some(&cgroup), &[&["paced"], &pace[..]].concat())?.end()
    })?;
    let row = recording.row(cgroup.path())?;
    let (bursts, burst_ns) = (row.number("cfs/bursts")?, row.number("cfs/burst_ns")?);
    // Four or five times 50 ms of work, of which a period's quota is 30 ms.
    ensure!(
        (1..=15).contains(&bursts),
        "{bursts} bursts: {}",
        row.describe()
    );
    ensure!(
        (5_000_000..=250_000_000).contains(&burst_ns),
        "{burst_ns} ns in bursts"
    );
    Ok(())
}

/// A real-time thread and one of the usual class want the same CPU. Nothing but a limit makes the first one wait: that of
/// its group where groups have one, else that of the host, or what the fair class is guaranteed (from 6.12 on).
fn real_time() -> Result {
    let arena = Cgroup::arena("quota")?;
    let (cgroup, neighbour) = (arena.child("in")?, arena.child("beside")?);
    let by_group = arena.limit_real_time(0.3)? && cgroup.limit_real_time(0.2)?;
    let (recording, facts) = record(&[&cgroup, &neighbour], || {
        let at = soon().to_string();
        let args = ["burn", "--cpu", "1", "--at", &at, "--ms"];
        let beside = Program::start(Some(&neighbour), &[&args[..], &["2700"]].concat())?;
        let fifo = ["2500", "--policy", "fifo"];
        let facts = Program::start(Some(&cgroup), &[&args[..], &fifo].concat())?.end()?;
        beside.end()?;
        Ok(facts)
    })?;
    let least = if by_group { 1_500_000_000 } else { 40_000_000 };
    only_stopped(recording.row(cgroup.path())?, &facts, least)
}

/// 10 ms of 100, and another thread that wants every CPU.
fn deadline() -> Result {
    let arena = Cgroup::arena("quota")?;
    let (cgroup, neighbour) = (arena.child("in")?, arena.child("beside")?);
    let (recording, facts) = record(&[&cgroup, &neighbour], || {
        let args = ["burn", "--threads", "2", "--ms", "2200"];
        let beside = Program::start(Some(&neighbour), &args)?;
        let args = ["burn", "--ms", "2000", "--policy", "deadline"];
        let budget = ["--runtime", "10000", "--period", "100000"];
        let facts = Program::start(Some(&cgroup), &[&args[..], &budget].concat())?.end()?;
        beside.end()?;
        Ok(facts)
    })?;
    only_stopped(recording.row(cgroup.path())?, &facts, 1_500_000_000)
}

/// What a thread has waited for, `least` ns or more, was a stop, but for starting and ending, which it did as any other.
fn only_stopped(row: Row<'_>, facts: &Facts, least: u64) -> Result {
    row.agrees_with_usage()?;
    let waited = facts.get("wall_ns")?.saturating_sub(facts.get("ran_ns")?);
    ensure!(waited >= least, "waited for {waited} ns only");
    let slack = slack_ns(waited);
    close_ns("throttled", row.ns("throttled")?, waited, 0.05, slack)?;
    // None of it by a quota.
    let limited = row.number("limited_real_time_ns")?;
    close_ns("by such a limit", limited, row.ns("throttled")?, 0.0, 0)?;
    ensure!(
        row.number("throttle_duration/count")? > 0,
        "throttled, but never stopped"
    );
    Ok(())
}
