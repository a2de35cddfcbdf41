//! Stacks by system call: the time in a call by its stacks, against the programs' own clocks.

use std::process::Command;

use libtest_mimic::Trial;

use super::output;
use crate::harness::calls::Calls;
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::{missing_privilege, missing_program, privileged, skipping};
use crate::harness::program::Program;
use crate::harness::{Result, close, ensure, frequency, tolerance};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("call_stacks::have_the_time_of_the_call", times),
        skipping("call_stacks::have_who_calls_the_c_library", callers, || {
            missing_privilege().or_else(|| missing_program("cc"))
        }),
    ]
}

/// Sleeps in the C library, several functions deep, and in a wrapper that two functions call.
const CALLERS: &str = r#"
#include <poll.h>
#include <unistd.h>
#define OWN __attribute__((noinline))
OWN void rate_limit(void) { usleep(2000); __asm__ volatile(""); }
OWN void first(void) { poll(0, 0, 2); __asm__ volatile(""); }
OWN void second(void) { poll(0, 0, 4); __asm__ volatile(""); }
OWN void serve(void) { for (int i = 0; i < 200; i++) { rate_limit(); first(); second(); } __asm__ volatile(""); }
int main(void) { serve(); return 0; }
"#;

/// The C library's functions may have no frame pointers, the program's have: none of them is skipped, whichever it is.
#[allow(clippy::cast_precision_loss, reason = "times of seconds")]
fn callers() -> Result {
    let (folder, dir) = output()?;
    let (source, program) = (folder.path().join("c.c"), folder.path().join("callers"));
    std::fs::write(&source, CALLERS)?;
    let compiled = Command::new("cc")
        .args(["-O1", "-fno-omit-frame-pointer", "-o"])
        .args([&program, &source])
        .status()?;
    ensure!(compiled.success(), "cc: {compiled}");
    let finished = Ctprof::record(&dir, &["--"]).arg(&program).run()?;
    let recording = finished.recording(&dir)?;
    recording.check()?;
    for (state, below) in [
        ("blocked_sleep", &["rate_limit"][..]),
        ("blocked_poll", &["first", "second"]),
    ] {
        let stacks = recording.folded.state(state);
        let total = stacks.total() as f64;
        ensure!(total >= 400e6, "{state} for {total} ns only");
        let own: Vec<u64> = below
            .iter()
            .map(|function| stacks.with_all(&["main", "serve", function]))
            .collect();
        let all = own.iter().sum::<u64>() as f64;
        ensure!(
            all >= 0.99 * total,
            "{all} of {total} ns {state} is below {below:?}"
        );
        // The one sleeps for twice as long as the other, and for no less than it asked for.
        for (ns, least) in own.iter().zip([400e6, 800e6]) {
            ensure!(*ns as f64 >= least, "{state} for {own:?} ns in {below:?}");
        }
    }
    // The loader's may end early, on the CPU before `main`: of the program's own none does.
    let (own, whole) = (&["serve"][..], &["main", "serve"][..]);
    let all = &recording.folded;
    let (own, whole) = (all.with_all(own), all.with_all(whole));
    ensure!(
        own == whole,
        "{own} ns below serve, of which {whole} reach main"
    );
    Ok(())
}

/// Sleeps, reads from a pipe that is empty, and, on one CPU that two threads want, reads of zeros.
#[allow(clippy::cast_precision_loss, reason = "times of seconds")]
fn times() -> Result {
    let cgroup = Cgroup::new("call-stacks")?;
    let (_folder, dir) = output()?;
    let frequency = frequency().to_string();
    let args = [
        "--duration",
        "120s",
        "--syscalls",
        "--frequency",
        &frequency,
    ];
    let mut ctprof = Ctprof::record(&dir, &args).cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    let block = |how: &str| {
        let args = ["block", "--how", how, "--times", "20", "--each", "50"];
        Program::start(Some(&cgroup), &args)
    };
    let reads = || {
        let args = ["zeros", "--ms", "1500", "--cpu", "0"];
        Program::start(Some(&cgroup), &args)
    };
    let (first, second) = (reads()?, reads()?);
    let (sleep, pipe) = (block("signal")?, block("pipe")?);
    let slept_ns = sleep.end()?.get("blocked_ns")?;
    let piped_ns = pipe.end()?.get("blocked_ns")?;
    let (first, second) = (first.end()?, second.end()?);
    let read_ns = first.get("in_calls_ns")? + second.get("in_calls_ns")?;
    let cpu_ns = first.get("cpu_ns")? + second.get("cpu_ns")?;
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    let summary = Calls::of_recording(&recording.summary.to_string())?;
    let row = summary.row(cgroup.path())?;
    let calls = recording.calls.container(cgroup.path());

    let of = |call: &str, state: &str| calls.state(state).call(call).total() as f64;
    let sleeps = of("rt_sigtimedwait", "blocked_sleep");
    close("asleep", sleeps, slept_ns as f64, tolerance(0.02, 0.1))?;
    let pipes = of("read", "blocked_pipe");
    close("on the pipe", pipes, piped_ns as f64, tolerance(0.02, 0.1))?;

    let reads = calls.call("pread64");
    // The program's clock goes on while the call is counted, which takes a thirtieth of one this short, and while the CPU
    // is lost on the way back.
    close(
        "reading zeros",
        reads.total() as f64,
        read_ns as f64,
        tolerance(0.06, 0.2),
    )?;
    close(
        "reading zeros, by the table",
        reads.total() as f64,
        row.call("pread64").number("total_ns") as f64,
        tolerance(0.02, 0.2),
    )?;
    let ran = reads.state("on_cpu").total() as f64;
    close(
        "running in the call",
        ran,
        cpu_ns as f64,
        tolerance(0.05, 0.2),
    )?;
    // Two threads on one CPU. A thread may lose it on its way back to the program, too, when the call is counted.
    let waited = reads.state("run_queue").total() as f64;
    let counted = row.call("pread64").number("off_cpu_ns") as f64;
    ensure!(
        waited >= 0.97 * counted && counted > 0.3 * reads.total() as f64,
        "{waited} ns of waits, {counted} until the call was over, in {} ns of reads",
        reads.total()
    );
    for state in ["on_cpu", "run_queue"] {
        let all = reads.state(state);
        let here = all.matching(|frame| frame.ends_with("read_zeros"));
        close(
            "the function that reads",
            here as f64,
            all.total() as f64,
            0.02,
        )?;
    }
    // What is in a call is a part of the whole, state by state.
    let whole = recording.folded.container(cgroup.path());
    for state in ["on_cpu", "run_queue", "blocked_sleep", "blocked_pipe"] {
        let (part, all) = (calls.state(state).total(), whole.state(state).total());
        ensure!(part <= all, "{part} ns of {state} in calls, of {all}");
    }
    Ok(())
}
