//! Programs without frame descriptions, as musl's library and all that is linked with it: see `undescribed.c`.

use std::process::Command;

use super::super::output;
use super::{STATES, compile, mostly, not_cut, only_these_calls, settle_ms};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::missing_program;
use crate::harness::{Result, ensure, frequency, tolerance};

const PROGRAM: &str = include_str!("undescribed.c");

/// Nothing is to be described.
const UNDESCRIBED: &[&str] = &[
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
    "-pthread",
];

/// Compilers and what they are told, beside that nothing is to be described.
const WAYS: &[(&str, &[&str])] = &[
    ("gcc", &["-O0"]),
    ("gcc", &["-O2"]),
    ("gcc", &["-Os"]),
    ("musl-gcc", &["-O2"]),
    ("musl-gcc", &["-Os", "-static"]),
];

/// Functions of the program, and which of them they call, the C library in between or not.
const CALLS: &[(&str, &[&str])] = &[
    ("main", &["work", "now_ms"]),
    (
        "work",
        &[
            "work",
            "sorts",
            "sleeps",
            "polls",
            "prints",
            "allocates",
            "locks",
            "varies",
            "chooses",
        ],
    ),
    ("sorts", &["compare"]),
    ("compare", &["spin"]),
    ("varies", &["spin"]),
    ("chooses", &["spin"]),
    ("begin", &["holds"]),
];

const LEAVES: &[&str] = &[
    "spin",
    "sleeps",
    "polls",
    "prints",
    "allocates",
    "locks",
    "holds",
    "now_ms",
];

pub(super) fn missing() -> Option<String> {
    missing_program("gcc")
}

pub(super) fn whole() -> Result {
    let cgroup = Cgroup::new("undescribed")?;
    let (folder, dir) = output()?;
    let mut programs = Vec::new();
    for (compiler, flags) in WAYS {
        if missing_program(compiler).is_none() {
            let flags = [*flags, UNDESCRIBED].concat();
            let program = ("undescribed", PROGRAM);
            programs.push(compile(compiler, program, folder.path(), &flags)?);
        }
    }
    ensure!(programs.len() >= 3, "{} programs only", programs.len());
    let frequency = frequency().to_string();
    let args = ["--duration", "120s", "--frequency", &frequency];
    let mut ctprof = Ctprof::record(&dir, &args).cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    // All at once: so they wait for each other, too.
    let mut children = Vec::new();
    for program in &programs {
        let mut command = Command::new(program);
        command.arg((settle_ms() * 4).to_string());
        let _joined = cgroup.enclose(&mut command)?;
        children.push((program, command.spawn()?));
    }
    for (program, child) in &mut children {
        let status = child.wait()?;
        ensure!(
            status.success(),
            "{} ended with {status}",
            program.display()
        );
    }
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    not_cut(&recording, cgroup.path(), 0.01)?;
    let stacks = recording.folded.container(cgroup.path());
    for state in STATES {
        let stacks = stacks.state(state);
        only_these_calls(&stacks, CALLS, |frame| Some(frame).filter(|it| is_own(it)))?;
        mostly(state, &stacks, tolerance(0.98, 0.9), |frames| {
            let is_root = |frame: &String| ["main", "begin"].contains(&frame.as_str());
            // The wait that begins before there is a table.
            let is_early = |frame: &String| frame == "__x64_sys_rt_sigtimedwait_[k]";
            frames.iter().any(|it| is_root(it) || is_early(it))
                || frames.iter().all(|frame| frame.ends_with("_[k]"))
        })?;
    }
    Ok(())
}

fn is_own(frame: &str) -> bool {
    CALLS.iter().any(|(name, _)| *name == frame) || LEAVES.contains(&frame)
}
