//! The trials, one file a subject.

mod agent;
mod agent_isolation;
mod agent_limits;
mod blocked;
mod call_memory;
mod call_oracles;
mod call_progress;
mod call_stacks;
mod churn;
mod command;
mod compare;
mod counters;
mod debuginfod;
mod decided;
mod errors;
mod frozen;
mod http_fuzz;
mod identity;
mod lifecycle;
mod losses;
mod moments;
mod moves;
mod names;
mod namespaces;
mod neighbour;
mod on_cpu;
mod on_demand;
mod options;
mod passwords;
mod quota;
mod scope;
mod seccomp;
mod service;
mod serving;
mod slots;
mod slow_calls;
mod slow_shown;
mod syscalls;
mod targets;
mod unwind;
mod verifier;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::program::now_ns;
use crate::harness::recording::Recording;
use crate::harness::{Result, emulated, ensure, expected, this_program};

/// All of them.
pub(crate) fn trials() -> Vec<Trial> {
    [
        on_cpu::trials(),
        scope::trials(),
        targets::trials(),
        slots::trials(),
        command::trials(),
        compare::trials(),
        lifecycle::trials(),
        losses::trials(),
        errors::trials(),
        counters::trials(),
        identity::trials(),
        moments::trials(),
        moves::trials(),
        names::trials(),
        debuginfod::trials(),
        quota::trials(),
        namespaces::trials(),
        neighbour::trials(),
        blocked::trials(),
        decided::trials(),
        frozen::trials(),
        churn::trials(),
        syscalls::trials(),
        slow_calls::trials(),
        slow_shown::trials(),
        call_progress::trials(),
        call_stacks::trials(),
        call_oracles::trials(),
        call_memory::trials(),
        unwind::trials(),
        seccomp::trials(),
        options::trials(),
        agent::trials(),
        agent_isolation::trials(),
        agent_limits::trials(),
        serving::trials(),
        passwords::trials(),
        http_fuzz::trials(),
        service::trials(),
        on_demand::trials(),
        verifier::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A temporary folder, and a path in it that does not exist yet.
fn output() -> Result<(TempDir, PathBuf)> {
    let folder = TempDir::new()?;
    let path = folder.path().join("recording");
    Ok((folder, path))
}

/// A moment of the monotonic clock, in ns, at which every process that is started now is ready to begin.
fn soon() -> u64 {
    now_ns()
        + if emulated() {
            1_500_000_000
        } else {
            300_000_000
        }
}

/// Records these cgroups, or everything, while `act` runs, and makes sure that the result is no nonsense.
fn record<T>(cgroups: &[&Cgroup], act: impl FnOnce() -> Result<T>) -> Result<(Recording, T)> {
    let (_folder, dir) = output()?;
    let mut ctprof = Ctprof::record(&dir, &["--duration", "120s"]);
    for cgroup in cgroups {
        ctprof = ctprof.cgroup(cgroup);
    }
    let mut ctprof = ctprof.start()?;
    ctprof.wait_until_attached()?;
    let result = act()?;
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    Ok((recording, result))
}

/// Starts this program as `workload ARGS…`, inside `cgroup` if one is given.
fn workload(cgroup: Option<&Cgroup>, args: &[&str]) -> Result<Child> {
    let mut command = Command::new(this_program()?);
    command.arg("workload").args(args).stdout(Stdio::piped());
    // Written to by the child: to be there until it is.
    let joined = cgroup.map(|cgroup| cgroup.enclose(&mut command));
    let _joined = joined.transpose()?;
    Ok(command.spawn()?)
}

/// What a workload says of itself.
#[derive(Clone, Copy, Default)]
struct Burnt {
    /// CPU time that it used.
    cpu_ns: u64,
    /// The part of it in which the emulated CPU stood still; see [`crate::workload`].
    stalled_ns: u64,
}

impl Burnt {
    /// Reads its output.
    fn parse(output: &str) -> Result<Self> {
        let value = |name| {
            let line = output.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::parse).transpose()
        };
        Ok(Self {
            cpu_ns: value("cpu_ns ")?.ok_or("the workload printed no CPU time")?,
            stalled_ns: value("stalled_ns ")?.unwrap_or_default(),
        })
    }

    /// Samples to expect of it at `frequency`.
    fn samples(self, frequency: u64) -> f64 {
        expected(frequency, self.cpu_ns - self.stalled_ns)
    }
}

/// Samples to expect of `cgroup` at `frequency`, by the CPU time that the kernel has accounted, when these
/// workloads ran in it.
fn truth(frequency: u64, cgroup: &Cgroup, workloads: &[Burnt]) -> Result<f64> {
    let stalled_ns: u64 = workloads.iter().map(|burnt| burnt.stalled_ns).sum();
    Ok(expected(frequency, cgroup.cpu_ns()? - stalled_ns))
}

/// Waits for a workload of [`workload`].
fn burnt(child: Child) -> Result<Burnt> {
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "the workload failed: {}",
        output.status
    );
    Burnt::parse(&String::from_utf8(output.stdout)?)
}
