//! Go programs without symbols or debug information whose every call is known: see `go/chains.go`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::output;
use super::{STATES, mostly, not_cut, only_these_calls, settle_ms};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::{Result, ensure, frequency, tolerance};

const FILES: &[(&str, &str)] = &[
    ("go.mod", "module chains\n\ngo 1.18\n"),
    ("chains.go", include_str!("go/chains.go")),
    ("plain.go", include_str!("go/plain.go")),
    ("native.go", include_str!("go/native.go")),
    ("back.c", include_str!("go/back.c")),
];

/// How long the program works.
const WORK_MS: &str = "4000";

/// Functions of the program, and which of them they call.
const CALLS: &[(&str, &[&str])] = &[
    ("main.main", &["main.work"]),
    (
        "main.work",
        &[
            "main.outer",
            "main.clocks",
            "main.allocates",
            "main.called",
            "main.sleeps",
        ],
    ),
    ("main.work.func1", &["main.grows"]),
    ("main.outer", &["main.outer", "main.middle"]),
    ("main.middle", &["main.leaf"]),
    ("main.grows", &["main.grows"]),
    ("main.called", &["main._Cfunc_native", "main._Cfunc_back"]),
    ("main._Cfunc_back", &["main.goBack"]),
    ("main.goBack", &["main.middle"]),
];

/// Where Go's own stacks begin: of goroutines, of threads, and of the scheduler, which a goroutine is left for.
const ROOTS: &[&str] = &[
    "runtime.goexit",
    "runtime.mstart",
    "runtime.rt0_go",
    "runtime.mcall",
    "runtime.gogo",
    "runtime.morestack",
];

pub(super) fn without_cgo() -> Result {
    check("0", &["main.leaf", "main.clocks", "main.grows"])
}

pub(super) fn with_cgo() -> Result {
    check("1", &["main.leaf", "main._Cfunc_native", "main.goBack"])
}

/// Runs the program and looks at every stack of it; `seen` have to be in some.
fn check(cgo: &str, seen: &[&str]) -> Result {
    let cgroup = Cgroup::new("go-chains")?;
    let (_folder, dir) = output()?;
    let program = compile(&dir, cgo)?;
    let mut command = Command::new(program);
    command.arg(WORK_MS).arg((2 * settle_ms()).to_string());
    let joined = cgroup.enclose(&mut command)?;
    let mut child = command.spawn()?;
    drop(joined);
    let frequency = frequency().to_string();
    let args = ["--duration", "120s", "--frequency", &frequency];
    let mut ctprof = Ctprof::record(&dir, &args).cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    let status = child.wait()?;
    ensure!(status.success(), "it ended with {status}");
    let recording = ctprof.stop(&dir)?;
    recording.check()?;

    let stacks = recording.folded.container(cgroup.path());
    for state in STATES {
        only_these_calls(&stacks.state(state), CALLS, |frame| {
            Some(name(frame)).filter(|it| it.starts_with("main."))
        })?;
    }
    let on_cpu = stacks.state("on_cpu");
    for function in seen {
        let mut all = on_cpu.each().flat_map(|(frames, _)| frames);
        ensure!(
            all.any(|frame| name(frame) == *function),
            "{function} is in no stack"
        );
    }
    mostly("Go on CPU", &on_cpu, tolerance(0.99, 0.95), |frames| {
        let is_root = |frame: &String| ROOTS.contains(&name(frame));
        let is_kernels = |frame: &String| frame.ends_with("_[k]");
        frames.iter().any(is_root) || frames.iter().all(is_kernels)
    })?;
    not_cut(&recording, cgroup.path(), 0.01)
}

/// A frame's function, inlined or not.
fn name(frame: &str) -> &str {
    frame.trim_end_matches("_[i]")
}

fn compile(dir: &Path, cgo: &str) -> Result<PathBuf> {
    let folder = dir.with_extension("source");
    std::fs::create_dir_all(&folder)?;
    for (name, text) in FILES {
        std::fs::write(folder.join(name), text)?;
    }
    let output = Command::new("go")
        .current_dir(&folder)
        .env("CGO_ENABLED", cgo)
        .args(["build", "-ldflags=-s -w", "-o", "chains", "."])
        .output()?;
    ensure!(
        output.status.success(),
        "go build: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(folder.join("chains"))
}
