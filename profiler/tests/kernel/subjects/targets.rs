//! What a target means beyond the cgroups that there are when it is resolved.

use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;

use super::{Burnt, burnt, output, workload};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::privileged;
use crate::harness::{Result, close, ensure, this_program};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("targets::a_pid_means_the_process_and_its_children", by_pid),
        privileged(
            "targets::a_pid_means_children_that_are_there",
            of_its_children,
        ),
        privileged(
            "targets::a_recording_ends_with_its_process",
            ends_with_its_process,
        ),
        privileged("targets::a_pattern_means_what_comes_later", by_pattern),
    ]
}

/// How far apart two accounts of CPU time may be.
const TOLERANCE: f64 = 0.02;
/// What starting, becoming another program and ending takes, which a workload does not count: of each process.
const AROUND_NS: u64 = 60_000_000;

/// A process that begins a workload when it is told to, as its child.
struct Parent(Child);

impl Parent {
    fn start(cgroup: &Cgroup, above: &str, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(this_program()?);
        command
            .args(["workload", "parent", "--above", above])
            .args(["--args", &args.join(" ")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let joined = cgroup.enclose(&mut command)?;
        let child = command.spawn()?;
        drop(joined);
        Ok(Self(child))
    }

    /// Has it begin, and waits for its end.
    fn go(mut self) -> Result<Burnt> {
        drop(self.0.stdin.take());
        burnt(self.0)
    }
}

/// Its child works in another cgroup, a neighbour in its own: the row has the child's time, and nothing of the neighbour's.
fn by_pid() -> Result {
    by_pid_of("0")
}

/// The same where that is the child of a child that it has when the recording begins.
fn of_its_children() -> Result {
    by_pid_of("1")
}

#[allow(clippy::cast_precision_loss, reason = "times are far below 2^52 ns")]
fn by_pid_of(above: &str) -> Result {
    let (home, away) = (Cgroup::new("pid-home")?, Cgroup::new("pid-away")?);
    let join = format!("{}", away.folder().display());
    let parent = Parent::start(
        &home,
        above,
        &["burn", "--ms", "1500", "--threads", "2", "--join", &join],
    )?;
    let pid = parent.0.id();
    let (_folder, dir) = output()?;
    let pid_text = pid.to_string();
    let mut ctprof = Ctprof::record(&dir, &["--duration", "120s", "--pid", &pid_text]).start()?;
    ctprof.wait_until_attached()?;
    let neighbour = workload(Some(&home), &["burn", "--ms", "1500"])?;
    let own = parent.go()?;
    burnt(neighbour)?;
    let recording = ctprof.finish()?.recording(&dir)?;
    recording.check()?;
    let row = recording.only_row()?;
    let name = row.name();
    ensure!(
        name.ends_with(&format!("[{pid}]")),
        "the row is called {name}"
    );
    let (on_cpu, least) = (row.on_cpu_ns()?, own.cpu_ns - own.stalled_ns);
    ensure!(
        on_cpu as f64 >= least as f64 * (1.0 - TOLERANCE),
        "{on_cpu} ns on the CPU, of which the child alone had {least}"
    );
    ensure!(
        on_cpu as f64 <= own.cpu_ns as f64 * (1.0 + TOLERANCE) + 3.0 * AROUND_NS as f64,
        "{on_cpu} ns on the CPU, and the child had {} only: the neighbour's are in there",
        own.cpu_ns
    );
    ensure!(recording.lost("wakeup_missed") < 1_000, "lost wakeups");
    Ok(())
}

/// A recording of a process is over when the process and its children are.
fn ends_with_its_process() -> Result {
    let home = Cgroup::new("pid-ends")?;
    let parent = Parent::start(&home, "0", &["burn", "--ms", "300"])?;
    let pid = parent.0.id().to_string();
    let (_folder, dir) = output()?;
    let mut ctprof = Ctprof::record(&dir, &["--duration", "600s", "--pid", &pid]).start()?;
    ctprof.wait_until_attached()?;
    parent.go()?;
    // The harness waits for less than the duration.
    ctprof.finish()?.recording(&dir)?.check()
}

/// A cgroup that fits is recorded from its birth, and one that does not fit is not.
#[allow(clippy::cast_precision_loss, reason = "times are far below 2^52 ns")]
fn by_pattern() -> Result {
    let top = Cgroup::new("pattern")?;
    let first = top.child("job-1")?;
    let pattern = format!("{}/job-*", top.path());
    let (_folder, dir) = output()?;
    let mut ctprof = Ctprof::record(&dir, &["--duration", "120s", "--cgroup", &pattern]).start()?;
    ctprof.wait_until_attached()?;
    let second = top.child("job-2")?;
    let other = top.child("other")?;
    let noise = workload(Some(&other), &["burn", "--ms", "1000"])?;
    let own = burnt(workload(Some(&second), &["burn", "--ms", "1000"])?)?;
    burnt(noise)?;
    let used_ns = second.cpu_ns()?;
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    close(
        "time on the CPU",
        recording.row(second.path())?.on_cpu_ns()? as f64,
        used_ns as f64,
        TOLERANCE,
    )?;
    ensure!(
        own.cpu_ns <= used_ns,
        "the kernel counted less than the workload"
    );
    ensure!(
        recording.row(other.path()).is_err(),
        "a cgroup that does not fit has a row"
    );
    drop(first);
    Ok(())
}
