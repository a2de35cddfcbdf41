//! Where nothing can be measured right, every command that measures says so, and measures nothing.

use std::process::{Command, Output, Stdio};
use std::thread;

use libtest_mimic::Trial;
use rustix::thread::UnshareFlags;

use super::output;
use crate::harness::ctprof;
use crate::harness::needs::privileged;
use crate::harness::{Result, ensure};

pub(super) fn trials() -> Vec<Trial> {
    vec![privileged(
        "namespaces::outside_the_first_pid_namespace",
        pid_namespace,
    )]
}

/// The kernel shows a ledger its own PID namespace's threads only.
fn pid_namespace() -> Result {
    let (_folder, dir) = output()?;
    let dir = dir.to_string_lossy().into_owned();
    let commands: [&[&str]; 6] = [
        &["record", "--duration", "200ms", "--output", &dir],
        &["record", "--output", &dir, "--", "true"],
        &["syscalls", "--duration", "200ms"],
        &["seccomp", "record", "--output", &dir, "--", "true"],
        &["agent", "--listen", "127.0.0.1:0"],
        &["check"],
    ];
    for args in commands {
        let done = in_new_pid_namespace(args)?;
        let stderr = String::from_utf8_lossy(&done.stderr);
        ensure!(
            done.status.code() == Some(4),
            "{args:?}: exit code {:?}: {stderr}",
            done.status.code()
        );
        let stdout = String::from_utf8_lossy(&done.stdout);
        let said = if args == ["check"] { &stdout } else { &stderr };
        ensure!(
            said.contains("PID namespace") && said.contains("--pid=host"),
            "{args:?} says {said}"
        );
        ensure!(
            stderr.lines().count() == 1,
            "{args:?} says more than a line: {stderr}"
        );
        ensure!(
            !std::path::Path::new(&dir).exists(),
            "{args:?} left a folder"
        );
    }
    Ok(())
}

/// Runs ctprof as the first process of a PID namespace of its own.
fn in_new_pid_namespace(args: &[&str]) -> Result<Output> {
    let mut command = Command::new(ctprof::program());
    command.args(args).stdin(Stdio::null());
    // The namespace is that of the thread's children, and the thread goes with it.
    let done = thread::scope(|scope| {
        let run = || {
            // SAFETY: a new PID namespace for children changes nothing that this process relies on.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWPID) }?;
            command.output()
        };
        scope.spawn(run).join()
    });
    Ok(done.map_err(|_| "the thread panicked")??)
}
