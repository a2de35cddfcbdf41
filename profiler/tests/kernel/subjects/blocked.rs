//! Asleep, and why.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::Trial;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::Signal;
use tempfile::TempDir;

use super::{output, record};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::{missing_privilege, privileged, skipping};
use crate::harness::program::{Facts, Program, now_ns};
use crate::harness::recording::Recording;
use crate::harness::{Result, close_ns, emulated, ensure, tolerance};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("blocked::in_calls", calls),
        privileged("blocked::by_locks_and_children", locks),
        privileged("blocked::on_files_without_a_disk", kernel_files),
        privileged("blocked::in_calls_that_were_interrupted", restarted),
        skipping("blocked::in_io_uring", uring, no_uring),
        skipping("blocked::by_the_disk", disk, no_disk),
    ]
}

fn calls() -> Result {
    reasons(
        &[
            ("sleep", "blocked_sleep"),
            ("signal", "blocked_sleep"),
            ("pipe", "blocked_pipe"),
            ("message", "blocked_pipe"),
            ("poll", "blocked_poll"),
            ("select", "blocked_poll"),
            ("epoll", "blocked_poll"),
            ("recv", "blocked_net"),
            ("socket-read", "blocked_net"),
            ("accept", "blocked_net"),
        ],
        "",
    )?;
    reasons(
        &[
            ("mq-receive", "blocked_pipe"),
            ("mq-send", "blocked_pipe"),
            ("pause", "blocked_sleep"),
            ("signalfd", "blocked_poll"),
            ("timerfd", "blocked_poll"),
            ("pidfd-poll", "blocked_poll"),
        ],
        "",
    )
}

fn locks() -> Result {
    reasons(
        &[
            ("futex", "blocked_lock"),
            ("mutex", "blocked_lock"),
            ("flock", "blocked_lock"),
            ("record-lock", "blocked_lock"),
            ("lease", "blocked_lock"),
            ("semaphore", "blocked_lock"),
            ("futex-waitv", "blocked_lock"),
            ("child", "blocked_child"),
            ("pidfd", "blocked_child"),
            ("vfork", "blocked_child"),
            ("fault", "blocked_fault"),
            ("fault-handler", "blocked_poll"),
        ],
        "",
    )?;
    // With one CPU there is nobody to wait for.
    if std::thread::available_parallelism()?.get() > 1 {
        reasons(&[("membarrier", "blocked_lock")], "")?;
    }
    Ok(())
}

/// All but the first look like regular files to whoever asks for their mode only.
fn kernel_files() -> Result {
    reasons(
        &[
            ("fifo-open", "blocked_pipe"),
            ("splice", "blocked_pipe"),
            ("eventfd", "blocked_poll"),
            ("inotify", "blocked_poll"),
        ],
        "",
    )?;
    if Path::new("/dev/pts/ptmx").exists() {
        reasons(&[("terminal", "blocked_pipe")], "")?;
    }
    let tracing = Tracing::new()?;
    let path = tracing.instance.to_string_lossy();
    reasons(&[("trace", "blocked_pipe")], &path)
}

/// A trace of the kernel's of our own. Made here, because the file system has its makers wait.
struct Tracing {
    folder: TempDir,
    instance: PathBuf,
}

impl Tracing {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let tracing = Self {
            instance: folder
                .path()
                .join(format!("instances/ctprof-{}", std::process::id())),
            folder,
        };
        let none = MountFlags::empty();
        mount("tracefs", tracing.folder.path(), "tracefs", none, None)?;
        std::fs::create_dir(&tracing.instance)?;
        Ok(tracing)
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        // What is left is seen where it is mounted.
        let _ = std::fs::remove_dir(&self.instance);
        let _ = unmount(self.folder.path(), UnmountFlags::DETACH);
    }
}

/// The kernel accounts for any wait for a completion as input or output.
fn uring() -> Result {
    // Older kernels have a worker read from the pipe in any case.
    if !emulated() {
        reasons(&[("uring", "blocked_poll")], "")?;
    }
    // A worker of the kernel sleeps in the read instead.
    by_kernel("uring-worker")?;
    by_kernel("uring-poller")
}

/// A thread of the kernel has a part in the reads, and is in no call of its process.
fn by_kernel(how: &str) -> Result {
    let cgroup = Cgroup::new("blocked")?;
    let (recording, facts) = record(&[&cgroup], || {
        let args = ["block", "--how", how, "--times", "20", "--each", "50"];
        Program::start(Some(&cgroup), &args)?.end()
    })?;
    let row = recording.row(cgroup.path())?;
    let truth = facts.get("blocked_ns")?;
    let allowed = tolerance(0.03, 0.15);
    close_ns(
        "completions",
        row.ns("blocked_poll")?,
        truth,
        allowed,
        3_000_000 + recording.stolen_ns + unseen_ns(&recording, &facts)?,
    )
    .map_err(|error| {
        format!(
            "{how}: {}; {}",
            error.message().unwrap_or("?"),
            row.describe()
        )
    })?;
    // Such threads are there for as long as the reads, and end with the process. One that polls also runs, for a millisecond
    // after each read.
    let workers = row.ns("blocked_other")?;
    let awake = row.on_cpu_ns()? + row.ns("run_queue")?;
    ensure!(
        workers + awake >= truth - truth / 10 && workers > truth / 2,
        "workers slept for {workers} ns and were awake for {awake}, reads took {truth}: {}",
        row.describe()
    );
    let rest = row
        .blocked_ns()
        .saturating_sub(truth + workers + row.ns("blocked_sleep")?);
    ensure!(
        rest < truth / 33 + 10_000_000,
        "{rest} ns for other reasons: {}",
        row.describe()
    );
    let of_workers = recording.folded.state("blocked_other");
    let copied = of_workers.matching(|frame| frame.contains("pipe_read::") || frame == "main");
    // All of their time would have it; the creator itself is in no call for a moment now and then.
    ensure!(
        copied < workers / 100,
        "{copied} of {workers} ns of workers with their creator's stack"
    );
    Ok(())
}

fn no_uring() -> Option<String> {
    // SAFETY: fails, because there are no parameters.
    unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, 0) };
    let error = std::io::Error::last_os_error().raw_os_error();
    missing_privilege().or_else(|| {
        (error != Some(libc::EFAULT)).then(|| "needs a kernel with io_uring".to_owned())
    })
}

/// Five threads in five calls, stopped and continued before the recording, and once more within it.
fn restarted() -> Result {
    const STEP: Duration = Duration::from_millis(300);
    let cgroup = Cgroup::new("blocked")?;
    let args = [
        "block", "--how", "restarts", "--times", "1", "--each", "60000",
    ];
    let program = Program::start(Some(&cgroup), &args)?;
    let interrupt = || -> Result<u64> {
        std::thread::sleep(STEP);
        program.signal(Signal::STOP)?;
        let from = now_ns();
        std::thread::sleep(STEP);
        program.signal(Signal::CONT)?;
        Ok(now_ns() - from)
    };
    interrupt()?;
    let (_folder, dir) = output()?;
    let options = ["--duration", "120s", "--syscalls"];
    let mut ctprof = Ctprof::record(&dir, &options).cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    let begin = now_ns();
    let stopped = interrupt()?;
    std::thread::sleep(STEP);
    let all = now_ns() - begin;
    let recording = ctprof.stop(&dir)?;
    program.kill()?;
    recording.check()?;
    let row = recording.row(cgroup.path())?;
    let slack = tolerance(40e6, 200e6) as u64;
    close_ns("stopped", row.ns("blocked_other")?, 5 * stopped, 0.0, slack)?;
    // From before the recording was said to begin until after it was told to end.
    let each = row.ns("blocked_sleep")? / 2;
    let least = all - stopped - slack;
    ensure!(
        each >= least,
        "slept for {each} ns, of {least} at least: {}",
        row.describe()
    );
    for state in ["blocked_poll", "blocked_lock", "blocked_net"] {
        close_ns(state, row.ns(state)?, each, 0.0, slack)?;
    }
    let calls = recording.calls.container(cgroup.path());
    for (call, state) in [
        ("poll", "blocked_poll"),
        ("futex", "blocked_lock"),
        ("nanosleep", "blocked_sleep"),
        ("clock_nanosleep", "blocked_sleep"),
        ("recvfrom", "blocked_net"),
    ] {
        let time = calls.call(call).state(state).total();
        close_ns(call, time, each, 0.0, slack)?;
    }
    let unnamed = calls.call("restart_syscall").total();
    ensure!(unnamed == 0, "{unnamed} ns in restart_syscall");
    Ok(())
}

/// One after the other: they disturb each other. The file is written here, so that they only read it.
fn disk() -> Result {
    let folder = disk_folder().ok_or("the disk is gone")?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    file.write_all(&vec![1; 32 << 20])?;
    file.as_file().sync_all()?;
    let path = file.path().to_string_lossy();
    let folder = folder.to_string_lossy();
    for (how, state, path) in [
        ("fsync", "blocked_disk", &folder),
        ("direct-read", "blocked_disk", &path),
        ("file-fault", "blocked_fault", &path),
    ] {
        reasons(&[(how, state)], path)?;
    }
    Ok(())
}

/// From when the kernel looks at its clock to when it says that the thread has been woken: it puts it on the queues
/// of all its cgroups meanwhile. What counts as waiting there is still sleep in the ledger.
const WAKE_NS: u64 = 6_000;

/// How much of what a program waited for a CPU may count as sleep: where the kernel hid a wakeup, that wait does.
fn unseen_ns(recording: &Recording, facts: &Facts) -> Result<u64> {
    match recording.lost("wakeup_missed") {
        0 => Ok(0),
        _ => facts.get("waited_ns"),
    }
}

/// Each way to block, with this path if it needs one, has its state, and for as long as the program says; the rest of what is blocked is its helpers'
/// sleep.
pub(super) fn reasons(ways: &[(&str, &str)], path: &str) -> Result {
    let arena = Cgroup::arena("blocked")?;
    let mut cgroups = Vec::new();
    for (how, _) in ways {
        cgroups.push(arena.child(how)?);
    }
    let all: Vec<&Cgroup> = cgroups.iter().collect();
    let (recording, facts) = record(&all, || {
        let mut programs = Vec::new();
        for ((how, _), cgroup) in ways.iter().zip(&cgroups) {
            let args = [
                "block", "--how", how, "--times", "20", "--each", "50", "--path", path,
            ];
            programs.push(Program::start(Some(cgroup), &args)?);
        }
        let facts: Result<Vec<_>> = programs.into_iter().map(Program::end).collect();
        facts
    })?;
    for (((how, state), cgroup), facts) in ways.iter().zip(&cgroups).zip(&facts) {
        let row = recording.row(cgroup.path())?;
        let truth = facts.get("blocked_ns")?;
        let waits = row.number("run_queue_latency/count")?;
        ensure!(truth > 100_000_000, "{how} blocked for {truth} ns only");
        close_ns(
            &format!("{how}: {state}"),
            row.ns(state)?,
            truth,
            tolerance(0.03, 0.15),
            // The program's account of its CPU time lacks what the hypervisor took, and so counts it as sleep.
            3_000_000 + waits * WAKE_NS + recording.stolen_ns + unseen_ns(&recording, facts)?,
        )
        .map_err(|error| format!("{}; {}", error.message().unwrap_or("?"), row.describe()))?;
        let helpers = if *state == "blocked_sleep" {
            0
        } else {
            row.ns("blocked_sleep")?
        };
        let rest = row.blocked_ns() - row.ns(state)? - helpers;
        // What it takes to start a program, and to wait for helpers, of which the program knows how long it took.
        ensure!(
            rest <= facts.get("rest_ns")?
                + truth / 33
                + if emulated() { 80_000_000 } else { 10_000_000 },
            "{how}: {rest} ns for other reasons: {}",
            row.describe()
        );
    }
    Ok(())
}

/// A folder that is on a disk.
fn disk_folder() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let folders = [
        std::env::temp_dir(),
        PathBuf::from("/var/tmp"),
        std::env::current_dir().ok()?,
    ];
    folders.into_iter().find(|folder| {
        let mount = mounts
            .lines()
            .filter_map(|line| Some((line.split(' ').nth(1)?, line.split(' ').nth(2)?)))
            .filter(|(point, _)| folder.starts_with(Path::new(point)))
            .max_by_key(|(point, _)| point.len());
        mount.is_some_and(|(_, kind)| ["ext4", "xfs", "btrfs", "ext3", "ext2"].contains(&kind))
    })
}

fn no_disk() -> Option<String> {
    missing_privilege().or_else(|| {
        disk_folder()
            .is_none()
            .then(|| "needs a folder on a disk".to_owned())
    })
}
