//! The trials, one file a subject.

mod command;
mod errors;
mod lifecycle;
mod losses;
mod on_cpu;
mod scope;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::harness::cgroup::Cgroup;
use crate::harness::{Result, ensure, expected, this_program};

/// All of them.
pub(crate) fn trials() -> Vec<Trial> {
    [
        on_cpu::trials(),
        scope::trials(),
        command::trials(),
        lifecycle::trials(),
        losses::trials(),
        errors::trials(),
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

/// Starts this program as `workload ARGS…`, inside `cgroup` if one is given.
fn workload(cgroup: Option<&Cgroup>, args: &[&str]) -> Result<Child> {
    let mut command = Command::new(this_program()?);
    command.arg("workload").args(args).stdout(Stdio::piped());
    if let Some(cgroup) = cgroup {
        cgroup.enclose(&mut command)?;
    }
    Ok(command.spawn()?)
}

/// Waits for a workload of [`workload`] and returns the CPU time that it says it used, in ns.
fn cpu_ns(child: Child) -> Result<u64> {
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "the workload failed: {}",
        output.status
    );
    let text = String::from_utf8(output.stdout)?;
    let ns = text.trim().strip_prefix("cpu_ns ");
    Ok(ns.ok_or("the workload printed no CPU time")?.parse()?)
}
