//! Slow calls of processes that take long to symbolize: none of another's are missing, and the end comes in time.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::harness::calls::Calls;
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::{Ctprof, Running};
use crate::harness::needs::{missing_privilege, skipping};
use crate::harness::program::Program;
use crate::harness::{Result, emulated, ensure};

pub(super) fn trials() -> Vec<Trial> {
    [
        (
            "slow_calls::a_large_perf_map_holds_nothing_up",
            in_time as fn() -> Result,
        ),
        ("slow_calls::ctrl_c_ends_at_once", interrupted),
        ("slow_calls::sigterm_ends_at_once", terminated),
        ("slow_calls::a_check_ends_at_once", checked),
    ]
    .map(|(name, trial)| skipping(name, trial, no_code))
    .into()
}

fn no_code() -> Option<String> {
    let is_x86 = cfg!(target_arch = "x86_64");
    missing_privilege().or_else(|| (!is_x86).then(|| "needs an x86-64 machine".to_owned()))
}

/// How long the end may take. A check waits longer for names where they are read by an unoptimised build.
fn for_end() -> Duration {
    Duration::from_secs(if emulated() { 5 } else { 1 })
}

fn for_check() -> Duration {
    for_end() + Duration::from_secs(if cfg!(debug_assertions) { 4 } else { 0 })
}

/// A process whose perf map is removed with it.
struct Dear(Program);

impl Drop for Dear {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(format!("/tmp/perf-{}.map", self.0.pid()));
    }
}

/// A process with a perf map of 60 MB makes 200 slow calls a second from its own code.
fn dear(cgroup: &Cgroup) -> Result<Dear> {
    let program = Program::start(
        Some(cgroup),
        &[
            "compiled",
            "--map-mb",
            "60",
            "--threads",
            "2",
            "--sleep-ms",
            "10",
            "--ms",
            "60000",
        ],
    )?;
    let mut dear = Dear(program);
    dear.0.next("ready_ns")?;
    Ok(dear)
}

/// One with files that are soon read makes 250, so many from each of two threads.
fn plain(cgroup: &Cgroup, sleeps: &str) -> Result<Program> {
    let args = ["calls", "--threads", "2", "--sleep-ms", "8", "--sleeps"];
    Program::start(Some(cgroup), &[&args[..], &[sleeps]].concat())
}

fn start(cgroups: &[&Cgroup], duration: &str) -> Result<Running> {
    let args = ["syscalls", "--slow", "4ms", "--stack", "--format", "json"];
    let ctprof = Ctprof::new(&args).arg("--duration").arg(duration);
    let ctprof = cgroups.iter().fold(ctprof, |all, it| all.cgroup(it));
    let mut ctprof = ctprof.start()?;
    ctprof.wait_until_attached()?;
    Ok(ctprof)
}

/// The functions of each call that this cgroup made.
fn stacks(stdout: &str, cgroup: &Cgroup) -> Result<Vec<Vec<String>>> {
    let mut all = Vec::new();
    for line in stdout.lines().filter(|line| line.contains("slow_call\":{")) {
        let line: Value = serde_json::from_str(line)?;
        let call = &line["slow_call"];
        if call["cgroup"] != cgroup.path() || call["name"] != "nanosleep" {
            continue;
        }
        let functions = call["stack"].as_array().into_iter().flatten();
        let functions = functions.filter_map(Value::as_str).map(str::to_owned);
        all.push(functions.collect());
    }
    Ok(all)
}

fn in_time() -> Result {
    let (dear_one, plain_one) = (Cgroup::new("dear")?, Cgroup::new("plain")?);
    let program = dear(&dear_one)?;
    let ctprof = start(&[&dear_one, &plain_one], "4s")?;
    let began = Instant::now();
    let other = plain(&plain_one, "400")?;
    let finished = ctprof.finish()?;
    let took = began.elapsed();
    drop(program);
    other.end()?;
    ensure!(
        took < Duration::from_secs(4) + for_end(),
        "4 s took {took:?}: {}",
        finished.stderr
    );
    let last = finished.stdout.lines().last().ok_or("it said nothing")?;
    let calls = Calls::parse(last)?;
    let dropped = calls.lost_to("slow_call_dropped");
    let late = calls.lost_to("stack_late");

    // A call that returns as ctprof ends may be counted and not be sent.
    let made = calls.row(plain_one.path())?.call("nanosleep").count();
    let seen = stacks(&finished.stdout, &plain_one)?;
    let named = |function: &str, stacks: &[Vec<String>]| {
        let has = |stack: &&Vec<String>| stack.iter().any(|it| it.ends_with(function));
        stacks.iter().filter(has).count() as u64
    };
    let shown = seen.len() as u64;
    // Its own files had to be read once.
    let later = &seen[seen.len() / 2..];
    let by_name = named("calls::make", later);
    ensure!(
        made >= 100 && shown + dropped + 2 >= made,
        "{shown} of {made} calls shown, {dropped} dropped"
    );
    let least = if emulated() { 1 } else { 9 };
    ensure!(
        by_name * 10 >= later.len() as u64 * least,
        "{by_name} of the last {} calls beside it have names",
        later.len()
    );

    let seen = stacks(&finished.stdout, &dear_one)?;
    let (shown, by_name) = (seen.len() as u64, named("compiled_sleep", &seen));
    let made = calls.row(dear_one.path())?.call("nanosleep").count();
    ensure!(
        shown + dropped + 2 >= made && shown > 0,
        "{shown} of {made} calls shown, {dropped} dropped"
    );
    ensure!(
        by_name + late >= shown,
        "{by_name} of {shown} calls have names, and {late} are said to be late"
    );
    Ok(())
}

/// The time from a signal to the end.
fn ended_by(signal: impl FnOnce(&Running) -> Result) -> Result {
    let cgroup = Cgroup::new("dear")?;
    let program = dear(&cgroup)?;
    let ctprof = start(&[&cgroup], "120s")?;
    std::thread::sleep(Duration::from_millis(1500));
    signal(&ctprof)?;
    ends(ctprof, 0, for_end())?;
    drop(program);
    Ok(())
}

fn ends(ctprof: Running, code: i32, within: Duration) -> Result {
    let began = Instant::now();
    let finished = ctprof.finish()?;
    let took = began.elapsed();
    finished.expect_code_only(code)?;
    ensure!(took < within, "the end took {took:?}");
    Ok(())
}

fn interrupted() -> Result {
    ended_by(Running::interrupt)
}

fn terminated() -> Result {
    ended_by(Running::terminate)
}

/// A profile that denies what the process calls from its own code.
fn checked() -> Result {
    let folder = tempfile::TempDir::new()?;
    let profile = folder.path().join("profile.json");
    std::fs::write(
        &profile,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
            [{"names": ["nanosleep"], "action": "SCMP_ACT_ERRNO"}]}"#,
    )?;
    let cgroup = Cgroup::new("dear")?;
    let program = dear(&cgroup)?;
    let args = ["seccomp", "check", "--duration", "120s", "--profile"];
    let mut ctprof = Ctprof::new(&args).arg(&profile).cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    std::thread::sleep(Duration::from_millis(1500));
    ctprof.interrupt()?;
    ends(ctprof, 1, for_check())?;
    drop(program);
    Ok(())
}
