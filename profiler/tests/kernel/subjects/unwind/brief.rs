//! Processes that live for a millisecond: gone before user space has looked at them, so that the kernel half itself has to recognise
//! their files.

use std::path::Path;
use std::process::Command;

use super::super::output;
use super::{compile, mostly, only_these_calls, settle_ms};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::missing_program;
use crate::harness::{Result, emulated, ensure};

const PROGRAM: &str = include_str!("brief.c");

/// How it is linked: the C library is a file of its own, part of the program, or at a place that the linker has fixed.
const WAYS: &[(&str, &[&str])] = &[
    ("dynamic", &[]),
    ("static", &["-static"]),
    ("fixed", &["-no-pie"]),
];

/// Functions of the program, and which of them they call.
const CALLS: &[(&str, &[&str])] = &[
    ("main", &["works"]),
    ("works", &["sorts", "rests"]),
    ("sorts", &["compare"]),
    ("compare", &["spin"]),
];

const RUNS_MS: u64 = 4_000;

/// The program, where a machine without a compiler has it.
const BUILT: &str = "/bin/brief";

pub(super) fn missing() -> Option<String> {
    let is_built = Path::new(BUILT).exists();
    missing_program("gcc").filter(|_| !is_built)
}

pub(super) fn whole() -> Result {
    if Path::new(BUILT).exists() {
        return of("built", Path::new(BUILT));
    }
    let folder = output()?.0;
    for (name, flags) in WAYS {
        let flags = [&["-O2"], *flags].concat();
        let program = compile("gcc", ("brief", PROGRAM), folder.path(), &flags)?;
        of(name, &program).map_err(|error| format!("{name}: {error:?}"))?;
    }
    Ok(())
}

fn of(name: &str, program: &Path) -> Result {
    let cgroup = Cgroup::new("brief")?;
    let (_folder, dir) = output()?;
    let args = ["--duration", "120s", "--frequency", "999"];
    let mut ctprof = Ctprof::record(&dir, &args).cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    let mut command = Command::new(program);
    command.args([settle_ms().to_string(), RUNS_MS.to_string()]);
    let _joined = cgroup.enclose(&mut command)?;
    let status = command.spawn()?.wait()?;
    ensure!(status.success(), "{name} ended with {status}");
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    let stacks = recording.folded.container(cgroup.path());
    for (state, leaf) in [("on_cpu", "spin"), ("blocked_sleep", "rests")] {
        let stacks = stacks.state(state);
        let is_own = |frame: &str| {
            let known = CALLS.iter().any(|(name, _)| *name == frame);
            known || ["spin", "rests"].contains(&frame)
        };
        only_these_calls(&stacks, CALLS, |frame| Some(frame).filter(|it| is_own(it)))?;
        let here = stacks.with(leaf);
        // Each of them spins for half a millisecond at least, and begins and ends in less; emulated, in some milliseconds.
        let part = if emulated() { 10 } else { 4 };
        ensure!(
            here * part >= stacks.thread("exe").total(),
            "{state}: {here} ns in {leaf} of {} ns",
            stacks.thread("exe").total()
        );
        mostly(state, &stacks.thread("exe"), 0.98, |frames| {
            let is_root = |frame: &String| {
                [
                    "main",
                    "_start",
                    "_dl_start",
                    "_dl_start_user",
                    "__libc_start_main",
                    "__libc_start_call_main",
                ]
                .contains(&frame.as_str())
            };
            frames.iter().any(is_root) || frames.iter().all(|frame| frame.ends_with("_[k]"))
        })?;
    }
    Ok(())
}
