//! Compiled programs whose every call is known: see `chains.cc`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::super::output;
use super::{mostly, not_cut, settle_ms};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::{Ctprof, Running};
use crate::harness::recording::Recording;
use crate::harness::{Result, emulated, ensure, frequency, tolerance};

const PROGRAM: &str = include_str!("chains.cc");
const LIBRARY: &str = include_str!("library.c");

/// Functions, and which of their program's they call, with nothing in between. Their names are all different, so that one
/// list does for all kinds.
const CALLS: &[(&str, &[&str])] = &[
    ("main", &["now_ms", "work_on", "threads", "plugin"]),
    ("work_on", &["now_ms", "work"]),
    (
        "work",
        &[
            "sort_all",
            "catches",
            "interrupted",
            "tails",
            "vary",
            "lines",
            "never_back",
            "clocks",
            "links",
        ],
    ),
    ("compare", &["spin"]),
    // The unwinder overwrites its own return address with that into the function that it goes on in, before it does so: then
    // this one seems to call itself.
    ("catches", &["catches", "nest", "spin"]),
    // A guard's function is called by the function that it is a variable of, by the unwinder's way as well.
    ("nest", &["nest", "spin", "Guard::~Guard"]),
    ("Guard::~Guard", &["spin"]),
    ("interrupted", &["arm", "victim"]),
    ("victim", &["victim", "spin"]),
    ("handler", &["spin"]),
    // Optimised, those in between are jumped out of.
    ("tails", &["tail_a", "tail_b", "tail_c"]),
    ("tail_a", &["tail_b", "tail_c"]),
    ("tail_b", &["tail_c"]),
    ("tail_c", &["spin"]),
    ("vary", &["vary", "spin"]),
    ("lines", &["line", "few"]),
    ("line", &["line", "spin"]),
    ("few", &["few", "spin"]),
    ("never_back", &["last"]),
    ("last", &["never"]),
    ("never", &["spin"]),
    ("clocks", &["now_ms"]),
    ("links", &["tiny"]),
    ("begin", &["now_ms", "vary"]),
    ("plugin", &["now_ms", "spin", "calls_back"]),
    ("calls_back", &["inside"]),
    ("inside", &["inside", "spin"]),
    ("threads", &[]),
    ("sort_all", &[]),
    ("arm", &[]),
    ("now_ms", &[]),
    ("tiny", &[]),
    ("spin", &[]),
];

/// The same with functions of libraries in between.
const BY_LIBRARIES: &[(&str, &[&str])] = &[("sort_all", &["compare"])];

/// What the handler can interrupt.
const INTERRUPTED: &[&str] = &[
    "spin",
    "victim",
    "interrupted",
    "arm",
    "work",
    "work_on",
    "now_ms",
];

/// Functions that call libraries' themselves.
const CALL_LIBRARIES: &[&str] = &[
    "main",
    "work",
    "now_ms",
    "sort_all",
    "catches",
    "nest",
    "interrupted",
    "arm",
    "vary",
    "line",
    "never",
    "never_back",
    "links",
    "begin",
    "threads",
    "plugin",
    "calls_back",
    "inside",
];

/// Kinds of which every program has the functions, and those of the ones that are linked dynamically.
const KINDS: &[&str] = &[
    "qsort", "throw", "signal", "tail", "alloca", "align", "noreturn", "vdso",
];
const DYNAMIC_KINDS: &[&str] = &["plt", "threads", "dlopen"];

/// Names of the threads of these kinds that are to be whole. A kind may have another beside its own.
const THREADS: &[&str] = &[
    "qsort", "throw", "signal", "tail", "alloca", "align", "noreturn", "vdso", "plt", "threads",
    "dlopen",
];

/// Share of samples that may fall between two instructions of the unwinder of exceptions: it overwrites what it has saved,
/// its own return address included, before it goes on in another function, and no description says so.
pub(super) const UNWINDER: f64 = 0.005;

pub(super) fn known() -> Result {
    let cgroup = Cgroup::new("chains")?;
    let (folder, dir) = output()?;
    let library = library(folder.path())?;
    let mut programs = Vec::new();
    for compiler in ["g++", "clang++"] {
        for level in ["-O0", "-O2", "-O3"] {
            let flags = [level, "-DLIBRARY", "-Wl,-z,lazy"];
            let program = compile(folder.path(), compiler, &flags, Some(&library))?;
            let kinds = KINDS.iter().chain(DYNAMIC_KINDS);
            programs.extend(
                program
                    .into_iter()
                    .flat_map(|program| kinds.clone().map(move |kind| (program.clone(), *kind))),
            );
        }
    }
    for linked in ["-static", "-static-pie"] {
        let program = compile(folder.path(), "g++", &["-O2", linked], None)?;
        programs.extend(
            program
                .into_iter()
                .flat_map(|program| KINDS.iter().map(move |kind| (program.clone(), *kind))),
        );
    }
    let recording = record(&cgroup, &dir, &programs, &library)?;
    check(&recording, &cgroup)?;
    not_cut(&recording, cgroup.path(), UNWINDER)?;
    loaded_late(&recording)
}

pub(super) fn check(recording: &Recording, cgroup: &Cgroup) -> Result {
    let stacks = recording.folded.container(cgroup.path());
    let all = recording.row(cgroup.path())?.value("stacks");
    let mut wrong = Vec::new();
    let mut kinds = 0;
    for state in ["on_cpu", "run_queue"] {
        for thread in THREADS.iter().chain(&["loaded"]) {
            let stacks = stacks.state(state).thread(thread);
            for (frames, ns) in stacks.each() {
                if let Some(pair) = impossible(&own(frames)) {
                    wrong.push(format!(
                        "{thread} {state}: {pair} for {ns} ns in {}",
                        frames.join(";")
                    ));
                }
            }
        }
        for thread in THREADS {
            let stacks = stacks.state(state).thread(thread);
            if stacks.total() == 0 {
                continue;
            }
            kinds += 1;
            let what = format!("{thread} {state}, of all {all}");
            let least = if *thread == "throw" { 0.98 } else { 0.99 };
            mostly(&what, &stacks, tolerance(least, 0.95), |frames| {
                is_whole(frames)
            })?;
        }
    }
    ensure!(wrong.is_empty(), "impossible chains: {wrong:#?}");
    ensure!(kinds > 1, "nothing has run");
    Ok(())
}

/// The stacks of a library are whole within 200 ms, those of a debugging build's first table.
fn loaded_late(recording: &Recording) -> Result {
    let stacks = recording.folded.thread("loaded");
    let early: u64 = stacks
        .each()
        .filter(|(frames, _)| !is_whole(frames))
        .map(|(_, ns)| ns)
        .sum();
    let programs = 6;
    let allowed = if emulated() {
        2_000_000_000
    } else {
        200_000_000
    } * programs;
    let inside = stacks.with("inside");
    ensure!(inside > 1_000_000_000, "{inside} ns in the library");
    ensure!(
        early <= allowed,
        "{early} ns before a library's stacks are whole, of {inside}"
    );
    Ok(())
}

fn is_whole(frames: &[String]) -> bool {
    let is_root = |frame: &String| frame == "main" || frame == "begin";
    // A thread that ends has no memory any more.
    let ends = || {
        let mut all = frames.iter();
        all.all(|frame| frame.ends_with("_[k]"))
            && frames.iter().any(|frame| frame == "do_exit_[k]")
    };
    frames.iter().any(is_root) || ends()
}

/// The part of a stack that is of the program: each function, and if others lie between the one before and it. An empty name
/// stands for others at the end.
fn own(frames: &[String]) -> Vec<(&str, bool)> {
    let mut own = Vec::new();
    let mut is_behind = false;
    for frame in frames.iter().filter(|frame| !frame.contains("_[k]")) {
        let name = frame.trim_end_matches(".cold");
        if CALLS.iter().any(|(known, _)| *known == name) {
            own.push((name, std::mem::take(&mut is_behind)));
        } else {
            is_behind = true;
        }
    }
    if is_behind {
        own.push(("", true));
    }
    own
}

/// The first call that the program does not make.
fn impossible(own: &[(&str, bool)]) -> Option<String> {
    let calls = |list: &[(&str, &[&str])], one: &str, other: &str| {
        list.iter()
            .any(|(caller, called)| *caller == one && called.contains(&other))
    };
    for pair in own.windows(2) {
        let [(one, _), (other, is_behind)] = pair else {
            continue;
        };
        let is_possible = match (*is_behind, *other) {
            // The handler's return, which no function calls.
            (true, "") => CALL_LIBRARIES.contains(one) || INTERRUPTED.contains(one),
            (true, "handler") => INTERRUPTED.contains(one) || CALL_LIBRARIES.contains(one),
            (true, other) => calls(BY_LIBRARIES, one, other),
            (false, other) => calls(CALLS, one, other),
        };
        if !is_possible {
            return Some(format!("{one} > {other}"));
        }
    }
    None
}

pub(super) fn library(folder: &Path) -> Result<PathBuf> {
    let (source, library) = (folder.join("library.c"), folder.join("libtruth.so"));
    std::fs::write(&source, LIBRARY)?;
    let compiled = Command::new("gcc")
        .args(["-O2", "-fomit-frame-pointer", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()?;
    ensure!(compiled.success(), "gcc: {compiled}");
    Ok(library)
}

/// Compiles the program; nothing where there is no such compiler, or no library of the kind that the flags want.
pub(super) fn compile(
    folder: &Path,
    compiler: &str,
    flags: &[&str],
    library: Option<&Path>,
) -> Result<Option<PathBuf>> {
    if crate::harness::needs::missing_program(compiler).is_some() {
        return Ok(None);
    }
    let source = folder.join("chains.cc");
    std::fs::write(&source, PROGRAM)?;
    let program = folder.join(format!(
        "{compiler}{}",
        flags[..flags.len().min(2)].concat()
    ));
    let mut command = Command::new(compiler);
    command
        .args(flags)
        .args(["-w", "-fomit-frame-pointer", "-DEXCEPTIONS", "-o"])
        .args([&program, &source]);
    if let Some(library) = library {
        command
            .arg(library)
            .arg(format!("-Wl,-rpath,{}", folder.display()));
    }
    let finished = command.output()?;
    let is_static = flags.iter().any(|flag| flag.starts_with("-static"));
    ensure!(
        finished.status.success() || is_static,
        "{compiler} {flags:?}: {}",
        String::from_utf8_lossy(&finished.stderr)
    );
    Ok(finished.status.success().then_some(program))
}

pub(super) fn start(cgroups: &[&Cgroup], dir: &Path) -> Result<Running> {
    let frequency = frequency().to_string();
    let args = ["--duration", "120s", "--frequency", &frequency];
    let ctprof = cgroups
        .iter()
        .fold(Ctprof::record(dir, &args), |ctprof, cgroup| {
            ctprof.cgroup(cgroup)
        });
    ctprof.start()
}

fn record(
    cgroup: &Cgroup,
    dir: &Path,
    programs: &[(PathBuf, &str)],
    library: &Path,
) -> Result<Recording> {
    let mut ctprof = start(&[cgroup], dir)?;
    ctprof.wait_until_attached()?;
    end(run(cgroup, programs, library)?)?;
    let recording = ctprof.stop(dir)?;
    recording.check()?;
    Ok(recording)
}

/// All at the same time: so they wait for each other as well.
pub(super) fn run(
    cgroup: &Cgroup,
    programs: &[(PathBuf, &str)],
    library: &Path,
) -> Result<Vec<Child>> {
    // Some forty programs at once want their tables, and the CPUs.
    let settle = (settle_ms() * 2).to_string();
    let start = |(program, kind): &(PathBuf, &str)| -> Result<Child> {
        let mut command = Command::new(program);
        command.args([kind, "8000", &settle]).arg(library);
        command.env_remove("LD_LIBRARY_PATH");
        let _joined = cgroup.enclose(&mut command)?;
        Ok(command.spawn()?)
    };
    programs.iter().map(start).collect()
}

pub(super) fn end(children: Vec<Child>) -> Result {
    for mut child in children {
        let status = child.wait()?;
        ensure!(status.success(), "a program ended with {status}");
    }
    Ok(())
}
