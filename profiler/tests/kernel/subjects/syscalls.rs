//! System calls, against programs that know how many they make, with which result, and how long they take.

use libtest_mimic::Trial;

use crate::harness::calls::{Calls, Row};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::{missing_privilege, privileged, skipping};
use crate::harness::program::{Facts, Program};
use crate::harness::{Result, close, emulated, ensure};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("syscalls::counts_errors_and_latency", known),
        privileged("syscalls::counts_only", counts_only),
        privileged("syscalls::of_processes_and_threads", many),
        privileged("syscalls::interrupted_and_made_again", interrupted),
        privileged("syscalls::two_containers_and_one_born", apart),
        skipping("syscalls::of_32_bits", compat, no_compat),
        privileged("syscalls::a_full_table_is_counted", full),
        privileged("syscalls::in_a_recording", recorded),
    ]
}

/// Counts the calls of these cgroups, or of everything, while `act` runs.
pub(super) fn count<T>(
    cgroups: &[&Cgroup],
    args: &[&str],
    act: impl FnOnce() -> Result<T>,
) -> Result<(Calls, T)> {
    let mut ctprof = Ctprof::new(&["syscalls", "--format", "json", "--duration", "120s"]);
    for arg in args {
        ctprof = ctprof.arg(arg);
    }
    for cgroup in cgroups {
        ctprof = ctprof.cgroup(cgroup);
    }
    let mut ctprof = ctprof.start()?;
    ctprof.wait_until_attached()?;
    let result = act()?;
    ctprof.interrupt()?;
    let finished = ctprof.finish()?;
    ensure!(
        finished.code == Some(0),
        "ctprof ended with {:?}: {}",
        finished.code,
        finished.stderr
    );
    Ok((Calls::parse(&finished.stdout)?, result))
}

pub(super) fn run(cgroup: &Cgroup, args: &[&str]) -> Result<Facts> {
    Program::start(Some(cgroup), args)?.end()
}

/// 10,000 getppid, 777 openat that fail, 50 sleeps of 10 ms, 333 reads of nothing, 5 calls that do not exist.
const KNOWN: [&str; 11] = [
    "calls",
    "--getppid",
    "10000",
    "--enoent",
    "777",
    "--sleeps",
    "50",
    "--eagain",
    "333",
    "--unknown",
    "5",
];

/// That they are counted as often as `times` says.
fn check_known(row: &Row<'_>, times: u64) -> Result {
    for (name, count, error, errors) in [
        ("getppid", 10_000, "", 0),
        ("openat", 777, "ENOENT", 777),
        ("nanosleep", 50, "", 0),
        ("read", 333, "EAGAIN", 333),
        ("syscall_999", 5, "ENOSYS", 5),
        ("exit_group", 1, "", 0),
    ] {
        let call = row.call(name);
        let others = row_others(name);
        ensure!(
            call.count() >= count * times && call.count() <= (count + others) * times,
            "{} {name}, and the program made {} and at most {others} at its start",
            call.count(),
            count * times
        );
        ensure!(
            call.errors(error) == errors * times,
            "{} {name} failed with {error}, and {} did",
            call.errors(error),
            errors * times
        );
    }
    let exits = row.call("exit_group");
    ensure!(
        exits.number("never_returned") == exits.count() && exits.number("total_ns") == 0,
        "exit_group returned"
    );
    Ok(())
}

/// Calls of this name that a program may make to start: to load its libraries, to read its limits.
fn row_others(name: &str) -> u64 {
    match name {
        "openat" | "read" => 20,
        _ => 0,
    }
}

#[allow(clippy::cast_precision_loss, reason = "times of seconds")]
fn known() -> Result {
    let cgroup = Cgroup::new("calls")?;
    let (calls, facts) = count(&[&cgroup], &[], || run(&cgroup, &KNOWN))?;
    ensure!(calls.lost_to("call_map_full") == 0, "calls are lost");
    let row = calls.row(cgroup.path())?;
    check_known(&row, 1)?;
    // The program's own clock is read before the first sleep and after the last.
    let sleeps = row.call("nanosleep");
    let slept = facts.get("slept_ns")? as f64;
    close("time asleep", sleeps.number("total_ns") as f64, slept, 0.05)?;
    close(
        "mean sleep",
        sleeps.number("mean_ns") as f64,
        slept / 50.0,
        0.05,
    )?;
    if !emulated() {
        close("median sleep", sleeps.number("p50_ns") as f64, 10.1e6, 0.05)?;
        ensure!(
            sleeps.number("off_cpu_ns") * 100 > sleeps.number("total_ns") * 95,
            "a sleep is on the CPU"
        );
    }
    let busy = row.call("getppid");
    ensure!(
        busy.number("total_ns") >= busy.number("off_cpu_ns")
            && busy.number("total_ns") == busy.number("on_cpu_ns") + busy.number("off_cpu_ns"),
        "time on and off the CPU do not add up"
    );
    // What threads did in calls is part of their life.
    let thread_time = row.number("thread_time_ns");
    ensure!(
        thread_time >= sleeps.number("total_ns") && thread_time <= facts.lived_ns * 11 / 10,
        "{thread_time} ns of thread time, and the program lived for {}",
        facts.lived_ns
    );
    Ok(())
}

fn counts_only() -> Result {
    let cgroup = Cgroup::new("counts")?;
    let (calls, _) = count(&[&cgroup], &["--counts-only"], || run(&cgroup, &KNOWN))?;
    let row = calls.row(cgroup.path())?;
    for (name, count) in [("getppid", 10_000), ("nanosleep", 50), ("syscall_999", 5)] {
        let call = row.call(name);
        ensure!(call.count() == count, "{} {name}", call.count());
        ensure!(call.number("total_ns") == 0, "{name} has a time");
    }
    let failed = row.call("openat").errors("ENOENT");
    ensure!(failed == 777, "{failed} openat failed");
    Ok(())
}

/// Three processes of four threads each.
fn many() -> Result {
    let cgroup = Cgroup::new("many")?;
    let (calls, _) = count(&[&cgroup], &[], || {
        run(
            &cgroup,
            &[
                "calls",
                "--processes",
                "3",
                "--threads",
                "4",
                "--getppid",
                "20000",
                "--enoent",
                "500",
                "--sleeps",
                "10",
                "--sleep-ms",
                "2",
            ],
        )
    })?;
    ensure!(calls.lost_to("call_map_full") == 0, "calls are lost");
    let row = calls.row(cgroup.path())?;
    for (name, expected) in [
        ("getppid", 240_000),
        ("nanosleep", 120),
        ("exit_group", 3),
        // Nine threads end by themselves.
        ("exit", 9),
    ] {
        let found = row.call(name).count();
        ensure!(found == expected, "{found} {name} instead of {expected}");
    }
    let failed = row.call("openat").errors("ENOENT");
    ensure!(failed == 6_000, "{failed} openat failed");
    // A child returns from the call that its parent made: that is no call of its own.
    let births = row.call("clone").count() + row.call("clone3").count() + row.call("fork").count();
    ensure!(births == 11, "{births} births of 2 processes and 9 threads");
    Ok(())
}

fn interrupted() -> Result {
    for restart in ["0", "1"] {
        let cgroup = Cgroup::new("interrupted")?;
        let (calls, facts) = count(&[&cgroup], &[], || {
            run(
                &cgroup,
                &["interrupted", "--signals", "50", "--restart", restart],
            )
        })?;
        let row = calls.row(cgroup.path())?;
        let (reads, signals) = (facts.get("reads")?, facts.get("signals")?);
        // A call that is made again is one more.
        let again = if restart == "1" { signals } else { 0 };
        let call = row.call("read");
        let found = call.errors("ERESTARTSYS");
        ensure!(
            signals == 50 && found == signals,
            "{found} reads interrupted by {signals} signals"
        );
        let least = reads + again;
        ensure!(
            call.count() >= least && call.count() <= least + row_others("read"),
            "{} reads; the program made {reads}, the kernel {again} again",
            call.count()
        );
        let returns = row.call("rt_sigreturn");
        ensure!(
            returns.count() == signals && returns.failed() == 0,
            "{} returns from {signals} signals, {} with an error",
            returns.count(),
            returns.failed()
        );
    }
    Ok(())
}

/// Two at once, and one that is born while it is counted.
fn apart() -> Result {
    let (left, right) = (Cgroup::new("left")?, Cgroup::new("right")?);
    let (calls, born) = count(&[], &[], || {
        let first = Program::start(Some(&left), &["calls", "--getppid", "30000"])?;
        let second = Program::start(
            Some(&right),
            &["calls", "--getppid", "70000", "--enoent", "9"],
        )?;
        let born = Cgroup::new("born")?;
        run(&born, &KNOWN)?;
        first.end()?;
        second.end()?;
        Ok(born)
    })?;
    for (cgroup, getppid, failed) in [(&left, 30_000, 0), (&right, 70_000, 9)] {
        let row = calls.row(cgroup.path())?;
        let found = row.call("getppid").count();
        ensure!(found == getppid, "{found} getppid instead of {getppid}");
        let found = row.call("openat").errors("ENOENT");
        ensure!(found == failed, "{found} failed openat instead of {failed}");
    }
    check_known(&calls.row(born.path())?, 1)
}

fn no_compat() -> Option<String> {
    missing_privilege().or_else(|| {
        let compat = cfg!(target_arch = "x86_64")
            && std::path::Path::new("/proc/sys/abi/vsyscall32").exists();
        (!compat).then(|| "needs a kernel that runs 32-bit programs".to_owned())
    })
}

fn compat() -> Result {
    let cgroup = Cgroup::new("compat")?;
    let args = ["calls", "--compat", "321", "--getppid", "123"];
    let (calls, _) = count(&[&cgroup], &[], || run(&cgroup, &args))?;
    let row = calls.row(cgroup.path())?;
    let (native, compat) = (row.call("getppid"), row.call_by("getppid", Some("i386")));
    ensure!(
        (native.count(), compat.count()) == (123, 321),
        "{} getppid, {} of them on i386",
        native.count(),
        compat.count()
    );
    Ok(())
}

/// What does not fit is counted, and what fits is right.
fn full() -> Result {
    let cgroup = Cgroup::new("full")?;
    let (calls, _) = count(&[&cgroup], &["--map-entries", "8"], || run(&cgroup, &KNOWN))?;
    let row = calls.row(cgroup.path())?;
    let found = row.call("getppid").count();
    let lost = calls.lost_to("call_map_full");
    ensure!(found <= 10_000, "{found} getppid, of 10,000");
    ensure!(
        found + lost >= 10_000,
        "{found} getppid and {lost} calls lost"
    );
    Ok(())
}

/// `summary.json` has the same, beside the ledger and the stacks.
fn recorded() -> Result {
    let cgroup = Cgroup::new("recorded")?;
    let folder = tempfile::TempDir::new()?;
    let dir = folder.path().join("recording");
    let args = ["--duration", "120s", "--syscalls"];
    let mut ctprof = Ctprof::record(&dir, &args).cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    run(&cgroup, &KNOWN)?;
    ctprof.stop(&dir)?;
    let text = std::fs::read_to_string(dir.join("summary.json"))?;
    check_known(&Calls::of_recording(&text)?.row(cgroup.path())?, 1)
}
