//! Counts of system calls, against those of tools that others wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use libtest_mimic::Trial;

use crate::harness::calls::Calls;
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::{missing_privilege, missing_program, skipping};
use crate::harness::{Result, ensure, this_program};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        skipping("call_oracles::strace", strace, || {
            missing_privilege().or_else(|| missing_program("strace"))
        }),
        skipping("call_oracles::perf_trace", perf_trace, || {
            missing_privilege().or_else(no_perf_trace)
        }),
    ]
}

fn no_perf_trace() -> Option<String> {
    missing_program("perf").or_else(|| {
        let works = Command::new("perf").args(["trace", "-s", "true"]).output();
        let works = works.is_ok_and(|output| output.status.success());
        (!works).then(|| "needs perf trace, which needs the kernel's tracefs".to_owned())
    })
}

/// Name of a call to how often it was made, and failed.
type Counts = BTreeMap<String, (u64, u64)>;

/// All calls of a program, from its first to its last, as `strace -c` counts them.
fn strace() -> Result {
    let workload = [
        "workload",
        "calls",
        "--getppid",
        "3000",
        "--enoent",
        "777",
        "--sleeps",
        "20",
        "--eagain",
        "333",
        "--unknown",
        "5",
    ];
    let table = tempfile::NamedTempFile::new()?;
    let status = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(table.path())
        .arg(this_program()?)
        .args(workload)
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "strace ended with {status}");
    let theirs = of_strace(&std::fs::read_to_string(table.path())?);

    let ctprof = Ctprof::new(&["syscalls", "--format", "json", "--"]).arg(this_program()?);
    let finished = workload.iter().fold(ctprof, Ctprof::arg).run()?;
    finished.expect_code_only(0)?;
    // The workload writes to the same standard output.
    let from = finished.stdout.find('{').ok_or("it counted nothing")?;
    let calls = Calls::parse(&finished.stdout[from..])?;
    let row = calls.rows().next().ok_or("it counted nothing")?;
    let mut ours: Counts = row
        .calls()
        .map(|call| (call.name().to_owned(), (call.count(), call.failed())))
        .collect();
    // The write with which the command joined its cgroup was in progress when counting began.
    let joined = row.call("write").number("began_before");
    ensure!(joined <= 1, "{joined} writes began before");
    if let Some((writes, _)) = ours.get_mut("write") {
        *writes -= joined;
    }
    // strace leaves out what does not return, and numbers without a name.
    ensure!(
        ours.remove("exit_group") == Some((1, 0)) && ours.remove("syscall_999") == Some((5, 5)),
        "exit_group or syscall_999: {ours:?}"
    );
    ensure!(theirs.len() > 5, "strace counted {theirs:?}");
    same(&ours, &theirs, "strace")
}

/// `% time, seconds, usecs/call, calls, errors (may be absent), syscall`.
fn of_strace(table: &str) -> Counts {
    let rows = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let calls = fields.get(3)?.parse().ok()?;
        let (errors, name) = match fields[4..] {
            [errors, name] => (errors.parse().ok()?, name),
            [name] => (0, name),
            _ => return None,
        };
        (name != "total").then(|| (name.to_owned(), (calls, errors)))
    });
    rows.collect()
}

/// Processes of several threads, and one that signals interrupt, while `perf trace -s` looks at the very same calls.
fn perf_trace() -> Result {
    let many = [
        "calls",
        "--processes",
        "2",
        "--threads",
        "3",
        "--getppid",
        "500",
        "--enoent",
        "300",
        "--sleeps",
        "5",
        "--eagain",
        "50",
    ];
    let made = [("getppid", 3_000), ("openat", 1_800), ("nanosleep", 30)];
    agree_on("perf-many", &many, &made)?;
    let signals = ["interrupted", "--signals", "30", "--restart", "1"];
    agree_on("perf-signals", &signals, &[("read", 31), ("tgkill", 30)])
}

/// Tries in which perf may lose nothing of a call: it drops returns, and all of a thread, and does not say so.
const TRIES: usize = 12;

/// We see what the program says that it `made`, each time; of thousands of calls in a row a machine may let perf lose some
/// each time. Of the calls that the program does not count, perf has to see as many as we do in one of the tries: which
/// of them it loses differs from one to the next.
///
/// The program joins its cgroup itself, because perf must be outside of it: what it calls before is perf's alone. So
/// the difference to a program that does nothing else is compared.
fn agree_on(name: &str, workload: &[&str], made: &[(&str, i128)]) -> Result {
    let mut agreed: BTreeSet<String> = made.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut last = Ok(());
    for _ in 0..TRIES {
        let empty = seen_by_both("perf-nothing", &["exit"])?;
        let program = seen_by_both(name, workload)?;
        let ours = differences(&program.ours, &empty.ours);
        let theirs = differences(&program.theirs, &empty.theirs);
        for (name, known) in made {
            let found = ours.get(*name).map_or(0, |(count, _)| *count);
            ensure!(found == *known, "{found} {name} instead of {known}");
            let seen = theirs.get(*name).map_or(0, |(count, _)| *count);
            ensure!(seen > 0, "perf trace saw none of {found} {name}");
        }
        let names = ours.keys().chain(theirs.keys());
        let now = names.filter(|name| ours.get(*name) == theirs.get(*name));
        agreed.extend(now.cloned());
        last = same(
            &without(ours, &agreed),
            &without(theirs, &agreed),
            "perf trace",
        );
        if last.is_ok() {
            break;
        }
    }
    last
}

fn without<T>(mut counts: BTreeMap<String, T>, names: &BTreeSet<String>) -> BTreeMap<String, T> {
    counts.retain(|name, _| !names.contains(name));
    counts
}

/// What we counted, and perf.
struct Both {
    ours: Counts,
    theirs: Counts,
}

fn seen_by_both(name: &str, workload: &[&str]) -> Result<Both> {
    let cgroup = Cgroup::new(name)?;
    let ctprof = Ctprof::new(&["syscalls", "--format", "json", "--duration", "120s"]);
    let mut ctprof = ctprof.cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    let table = tempfile::NamedTempFile::new()?;
    let perf = Command::new("perf")
        .args(["trace", "-s", "-m", "4096", "-o"])
        .arg(table.path())
        .arg("--")
        .arg(this_program()?)
        .arg("workload")
        .args(workload)
        .arg("--join")
        .arg(cgroup.folder())
        .output()?;
    let table = std::fs::read_to_string(table.path())?;
    let said = format!("{}{table}", String::from_utf8_lossy(&perf.stderr));
    ensure!(
        perf.status.success() && !said.contains("LOST"),
        "perf trace ended with {}: {said}",
        perf.status
    );
    ctprof.interrupt()?;
    let finished = ctprof.finish()?;
    let calls = Calls::parse(&finished.stdout)?;
    let row = calls.row(cgroup.path())?;
    let mut both = Both {
        ours: row
            .calls()
            .map(|call| (call.name().to_owned(), (call.count(), call.failed())))
            .collect(),
        theirs: of_perf(&table),
    };
    // perf trace counts returns, by the number that the registers have then: those of children from the call that
    // their parents made as well, none of what does not return, and none of what returns with other registers.
    for name in ["clone", "clone3", "exit", "exit_group", "rt_sigreturn"] {
        both.ours.remove(name);
        both.theirs.remove(name);
    }
    Ok(both)
}

/// Calls and errors of `program` that `empty` does not have.
fn differences(program: &Counts, empty: &Counts) -> BTreeMap<String, (i128, i128)> {
    let names = program.keys().chain(empty.keys());
    let of = |counts: &Counts, name: &String| {
        let (calls, errors) = counts.get(name).copied().unwrap_or_default();
        (i128::from(calls), i128::from(errors))
    };
    names
        .map(|name| {
            let (more, less) = (of(program, name), of(empty, name));
            (name.clone(), (more.0 - less.0, more.1 - less.1))
        })
        .filter(|(_, difference)| *difference != (0, 0))
        .collect()
}

/// Sums over all threads of `syscall, calls, errors, total, min, avg, max, stddev`.
fn of_perf(table: &str) -> Counts {
    let mut counts = Counts::new();
    for line in table.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [name, calls, errors, _, _, _, _, deviation] = fields[..]
            && deviation.ends_with('%')
            && let (Ok(calls), Ok(errors)) = (calls.parse::<u64>(), errors.parse::<u64>())
        {
            let sum = counts.entry(name.to_owned()).or_default();
            sum.0 += calls;
            sum.1 += errors;
        }
    }
    counts
}

fn same<T: PartialEq + std::fmt::Debug>(
    ours: &BTreeMap<String, T>,
    theirs: &BTreeMap<String, T>,
    whose: &str,
) -> Result {
    let names = ours.keys().chain(theirs.keys());
    let differ: Vec<_> = names
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(|name| (name, ours.get(name), theirs.get(name)))
        .collect();
    ensure!(
        differ.is_empty(),
        "calls and errors, ours and those of {whose}: {differ:?}"
    );
    Ok(())
}
