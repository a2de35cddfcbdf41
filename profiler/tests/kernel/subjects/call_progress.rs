//! System calls as they go on: those that have not returned yet, and documents of one interval after another.

use libtest_mimic::Trial;

use super::syscalls::{count, run};
use crate::harness::calls::Calls;
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::privileged;
use crate::harness::program::Program;
use crate::harness::{Result, close, emulated, ensure, tolerance, visit_ns};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("call_progress::in_progress", in_progress),
        privileged("call_progress::intervals_add_up", intervals),
    ]
}

/// A sleep that began before, one that goes on beyond the end, and one that does both.
#[allow(clippy::cast_precision_loss, reason = "times of seconds")]
fn in_progress() -> Result {
    let cgroup = Cgroup::new("progress")?;
    let sleep = |ms: &'static str| Program::start(Some(&cgroup), &["sleep", "--ms", ms]);
    let before = sleep("4000")?;
    let throughout = sleep("60000")?;
    // Until both sleep.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let (calls, beyond) = count(&[&cgroup], &[], || {
        let beyond = sleep("60000")?;
        before.end()?;
        Ok(beyond)
    })?;
    let row = calls.row(cgroup.path())?;
    let name = "clock_nanosleep";
    let call = row.call(name);
    ensure!(
        (
            call.count(),
            call.number("began_before"),
            call.number("in_progress")
        ) == (1, 1, 2),
        "{} {name}, {} began before, {} in progress",
        call.count(),
        call.number("began_before"),
        call.number("in_progress")
    );
    ensure!(
        call.number("mean_ns") == 0 && call.number("p99_ns") == 0,
        "a call in progress has a latency"
    );
    // The one that was in progress throughout: no shorter than the mean of the three, nor longer than the recording.
    let (longest, total) = (call.number("max_ns"), call.number("total_ns"));
    let window = calls.number("window_ns");
    ensure!(
        longest <= window + visit_ns() && longest * 3 >= total,
        "the longest of three calls took {longest} ns of {window}, all of them {total} ns"
    );
    // Three threads that do nothing else.
    close(
        "time in the call",
        call.number("total_ns") as f64,
        row.number("thread_time_ns") as f64,
        if emulated() { 0.2 } else { 0.05 },
    )?;
    beyond.kill()?;
    throughout.kill()?;
    Ok(())
}

/// Every line is an interval, and together they are the whole.
#[allow(clippy::cast_precision_loss, reason = "times of seconds")]
fn intervals() -> Result {
    let cgroup = Cgroup::new("intervals")?;
    let args = [
        "--interval",
        "300ms",
        "--format",
        "json",
        "--duration",
        "120s",
    ];
    let mut ctprof = Ctprof::new(&[&["syscalls"][..], &args].concat()).cgroup(&cgroup);
    ctprof = ctprof.arg("--top").arg("0");
    let mut ctprof = ctprof.start()?;
    ctprof.wait_until_attached()?;
    let facts = run(
        &cgroup,
        &[
            "calls",
            "--getppid",
            "200000",
            "--sleeps",
            "100",
            "--enoent",
            "1000",
        ],
    )?;
    ctprof.interrupt()?;
    let finished = ctprof.finish()?;
    let (mut getppid, mut sleeps, mut failed, mut busy, mut lived) = (0, 0, 0, 0, 0);
    for line in finished.stdout.lines() {
        let calls = Calls::parse(line)?;
        busy += u64::from(calls.rows().next().is_some());
        let Ok(row) = calls.row(cgroup.path()) else {
            continue;
        };
        getppid += row.call("getppid").count();
        sleeps += row.call("nanosleep").count();
        failed += row.call("openat").errors("ENOENT");
        lived += row.number("thread_time_ns");
        let in_calls: u64 = row.calls().map(|call| call.number("total_ns")).sum();
        ensure!(
            in_calls <= row.number("thread_time_ns") + 1_000_000_000,
            "{in_calls} ns in calls by threads that lived for {}",
            row.number("thread_time_ns")
        );
    }
    // An interval without calls has no line.
    close(
        "thread time of all intervals",
        lived as f64,
        facts.lived_ns as f64,
        tolerance(0.1, 0.3),
    )?;
    ensure!(busy >= 3, "{busy} intervals with calls");
    ensure!(
        (getppid, sleeps, failed) == (200_000, 100, 1_000),
        "{getppid} getppid, {sleeps} sleeps, {failed} failed openat"
    );
    Ok(())
}
