//! A program to run and record, in a cgroup of its own.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

use super::say;
use crate::collect::Ended;
use crate::host::cgroup::{FreshCgroup, Hierarchy};
use crate::{Error, Result};

/// How long an interrupted command may take to end before it is left alone.
const PATIENCE: Duration = Duration::from_secs(3);

/// The command, from its cgroup's creation to its exit.
#[derive(Debug)]
pub(in crate::cli) struct RunningCommand {
    command: Command,
    name: String,
    cgroup: FreshCgroup,
    pid: Option<Pid>,
    exit: Option<oneshot::Receiver<ExitStatus>>,
    status: Option<ExitStatus>,
}

impl RunningCommand {
    /// Makes the cgroup; nothing runs yet. `None` without a command.
    pub(in crate::cli) fn prepare(
        words: &[OsString],
        hierarchy: &Hierarchy,
    ) -> Result<Option<Self>> {
        let Some((program, arguments)) = words.split_first() else {
            return Ok(None);
        };
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(Some(Self {
            command,
            name: program.to_string_lossy().into_owned(),
            cgroup: FreshCgroup::create(hierarchy)?,
            pid: None,
            exit: None,
            status: None,
        }))
    }

    pub(in crate::cli) fn cgroup(&self) -> &str {
        &self.cgroup.cgroup().path
    }

    /// The program, as it was typed.
    pub(in crate::cli) fn name(&self) -> &str {
        &self.name
    }

    /// Starts the command inside its cgroup.
    pub(in crate::cli) fn start(&mut self) -> Result<()> {
        let mut child = self.cgroup.spawn(&mut self.command).map_err(|error| {
            Error::Failed(format!(
                "cannot run {}: {error}; check the path after --",
                self.name
            ))
        })?;
        self.pid = Pid::from_raw(child.id().cast_signed());
        let (sender, receiver) = oneshot::channel();
        // A thread of its own: it may outlive the recording, when the command does.
        std::thread::spawn(move || {
            if let Ok(status) = child.wait() {
                let _ = sender.send(status);
            }
        });
        self.exit = Some(receiver);
        Ok(())
    }

    /// Resolves when the command has exited.
    pub(in crate::cli) async fn exited(&mut self) {
        if let Some(exit) = &mut self.exit {
            self.status = exit.await.ok();
            self.exit = None;
        }
    }

    /// Ends a command that still runs, removes its cgroup, and says how it ended.
    pub(in crate::cli) async fn finish(mut self, ended: Ended) -> ExitCode {
        if self.status.is_none() && ended == Ended::Interrupted {
            if let Some(pid) = self.pid {
                let _ = kill_process(pid, Signal::INT);
            }
            let _ = tokio::time::timeout(PATIENCE, self.exited()).await;
        }
        if self.status.is_none() {
            say(&format!(
                "{} still runs and goes on in its cgroup {}",
                self.name,
                self.cgroup.cgroup().path
            ));
            return ExitCode::SUCCESS;
        }
        if let Err(error) = self.cgroup.remove() {
            say(&error.to_string());
        }
        self.status.map_or(ExitCode::SUCCESS, |status| {
            // As shells have it: 128 and the signal.
            let code = status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal));
            ExitCode::from(u8::try_from(code.unwrap_or(1)).unwrap_or(1))
        })
    }
}
