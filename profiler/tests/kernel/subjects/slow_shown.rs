//! Slow calls are shown one by one: every one, up to a limit, and what is beyond it is counted.

use libtest_mimic::Trial;

use super::syscalls::run;
use crate::harness::calls::Calls;
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::privileged;
use crate::harness::program::{Facts, Program};
use crate::harness::{Result, ensure};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("slow_shown::one_by_one", slow),
        privileged(
            "slow_shown::beyond_the_limit_they_are_counted",
            too_many_slow,
        ),
        privileged("slow_shown::beside_a_busy_neighbour_all_are", neighbour),
    ]
}

/// The slow calls and the closing document of `ctprof syscalls --slow LIMIT`, while `act` runs in the cgroup.
fn slower_than(
    cgroup: &Cgroup,
    limit: &str,
    act: impl FnOnce() -> Result<Facts>,
) -> Result<(Vec<serde_json::Value>, Calls)> {
    let args = [
        "syscalls",
        "--slow",
        limit,
        "--format",
        "json",
        "--duration",
        "120s",
    ];
    let mut ctprof = Ctprof::new(&args).cgroup(cgroup).start()?;
    ctprof.wait_until_attached()?;
    act()?;
    ctprof.interrupt()?;
    let finished = ctprof.finish()?;
    let mut lines: Vec<&str> = finished.stdout.lines().collect();
    let last = lines.pop().ok_or("it said nothing")?;
    let mut slow = Vec::new();
    for line in lines {
        let mut line: serde_json::Value = serde_json::from_str(line)?;
        slow.push(line["slow_call"].take());
    }
    Ok((slow, Calls::parse(last)?))
}

/// 20 sleeps of 20 ms, among calls that are not slow.
fn slow() -> Result {
    let cgroup = Cgroup::new("slow")?;
    let args = [
        "calls",
        "--getppid",
        "5000",
        "--sleeps",
        "20",
        "--sleep-ms",
        "20",
    ];
    let (slow, calls) = slower_than(&cgroup, "18ms", || run(&cgroup, &args))?;
    let sleeps: Vec<_> = slow
        .iter()
        .filter(|call| call["name"] == "nanosleep")
        .collect();
    ensure!(sleeps.len() == 20, "{} of 20 sleeps are slow", sleeps.len());
    for call in &sleeps {
        let ns = call["duration_ns"].as_u64().unwrap_or_default();
        ensure!(ns >= 20_000_000, "a sleep of 20 ms took {ns} ns");
        ensure!(
            call["cgroup"] == cgroup.path() && call["result"] == 0,
            "of whom, and how it ended: {call}"
        );
        let arguments = call["arguments"].as_array().map(Vec::len);
        ensure!(arguments == Some(2), "arguments of {call}");
    }
    let all = calls.row(cgroup.path())?.call("nanosleep").count();
    ensure!(all == 20, "{all} sleeps in the closing document");
    Ok(())
}

/// More than a CPU may send in a second.
fn too_many_slow() -> Result {
    let cgroup = Cgroup::new("too-many")?;
    let (slow, calls) = slower_than(&cgroup, "1ns", || {
        run(&cgroup, &["calls", "--getppid", "50000"])
    })?;
    let shown = slow.len() as u64;
    let dropped = calls.lost_to("slow_call_dropped");
    let row = calls.row(cgroup.path())?;
    let found = row.call("getppid").count();
    ensure!(found == 50_000, "{found} getppid in the closing document");
    ensure!(
        shown < 50_000 && shown + dropped >= 50_000,
        "{shown} shown, {dropped} dropped, of 50,000 and some"
    );
    Ok(())
}

/// A cgroup that makes many times as many calls as may be sent takes none away from another.
fn neighbour() -> Result {
    let arena = Cgroup::arena("beside")?;
    let (busy, quiet) = (arena.child("busy")?, arena.child("quiet")?);
    let (slow, calls) = slower_than(&arena, "1ns", || {
        let noise = ["calls", "--getppid", "3000000"];
        let noise = Program::start(Some(&busy), &noise)?;
        let facts = run(&quiet, &["calls", "--sleeps", "200", "--sleep-ms", "5"])?;
        noise.end()?;
        Ok(facts)
    })?;
    // The other one makes none.
    let sleeps = slow.iter().filter(|call| call["name"] == "nanosleep");
    let (sleeps, dropped) = (sleeps.count(), calls.lost_to("slow_call_dropped"));
    ensure!(
        sleeps == 200 && dropped > 100_000,
        "{sleeps} of 200 sleeps are shown, and {dropped} calls of both are dropped"
    );
    Ok(())
}
