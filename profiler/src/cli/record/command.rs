//! A program to run and record, in a cgroup of its own, which both end with.
//!
//! The recording ends with the command, or the command with the recording: when its time is up, or when ctprof is
//! interrupted. Whatever is in the cgroup then is asked to end, children that it left behind as well, and killed if it
//! does not: neither the cgroup nor anybody who holds our output open stays.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpgrp};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::SignalKind;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::{listen, say};
use crate::collect::Ended;
use crate::host::cgroup::{FreshCgroup, Hierarchy};
use crate::{Error, Result};

/// How long the command may take to end after each signal before the next one follows.
pub(in crate::cli) const PATIENCE: Duration = Duration::from_secs(3);

/// How long the kernel may take to end what was killed: a process in an uninterruptible sleep ends when that does.
const KILLED: Duration = Duration::from_secs(2);

/// How often a cgroup is asked whether it is empty.
const POLL: Duration = Duration::from_millis(5);

/// The command, from its cgroup's creation to its exit.
#[derive(Debug)]
pub(in crate::cli) struct RunningCommand {
    command: Command,
    name: String,
    /// Taken when it is to be removed.
    cgroup: Option<FreshCgroup>,
    path: String,
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
        let cgroup = FreshCgroup::create(hierarchy)?;
        Ok(Some(Self {
            command,
            name: program.to_string_lossy().into_owned(),
            path: cgroup.cgroup().path.clone(),
            cgroup: Some(cgroup),
            exit: None,
            status: None,
        }))
    }

    pub(in crate::cli) fn cgroup(&self) -> &str {
        &self.path
    }

    /// The program, as it was typed.
    pub(in crate::cli) fn name(&self) -> &str {
        &self.name
    }

    /// Starts the command inside its cgroup.
    pub(in crate::cli) fn start(&mut self) -> Result<()> {
        let Some(cgroup) = &self.cgroup else {
            return Ok(());
        };
        let mut child = cgroup
            .spawn(&mut self.command)
            .map_err(|error| cannot_run(&self.name, &error))?;
        let (sender, receiver) = oneshot::channel();
        // A thread of its own: the event loop cannot wait for a process.
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

    /// Ends what still runs in the cgroup, removes it, and says how the command ended: by its own exit code, or with 0
    /// where it was made to end because its time was up.
    pub(in crate::cli) async fn finish(mut self, ended: Ended) -> ExitCode {
        if let Some(exit) = &mut self.exit
            && let Ok(status) = exit.try_recv()
        {
            self.status = Some(status);
            self.exit = None;
        }
        let runs_on = self.status.is_none();
        if runs_on || !self.is_empty() {
            self.end(ended).await;
        }
        if let Some(cgroup) = self.cgroup.take()
            && let Err(error) = cgroup.remove()
        {
            say(&error.to_string());
        }
        if runs_on && ended == Ended::InTime {
            return ExitCode::SUCCESS;
        }
        self.status.map_or(ExitCode::SUCCESS, |status| {
            // As shells have it: 128 and the signal.
            let code = status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal));
            ExitCode::from(u8::try_from(code.unwrap_or(1)).unwrap_or(1))
        })
    }

    /// Signals everything in the cgroup until it is empty; a second Ctrl-C kills at once.
    async fn end(&mut self, ended: Ended) {
        match ended {
            Ended::InTime => say(&format!("{} still runs: ending it", self.name)),
            Ended::CommandExited => say(&format!("{} left processes: ending them", self.name)),
            Ended::Interrupted | Ended::Terminated | Ended::TargetsGone => {}
        }
        let signals: &[Signal] = match ended {
            Ended::Interrupted => &[Signal::INT, Signal::TERM],
            _ => &[Signal::TERM],
        };
        let mut again = listen(SignalKind::interrupt()).ok();
        let mut is_killed = false;
        for signal in signals {
            // What the terminal has sent already is not sent twice: many programs take the second one as "at once".
            let spared = (*signal == Signal::INT).then(foreground).flatten();
            self.signal(*signal, spared);
            // A process that is stopped ends no sooner than it goes on.
            self.signal(Signal::CONT, None);
            let impatient = async {
                match &mut again {
                    Some(again) => again.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                gone = timeout(PATIENCE, self.gone()) => if gone.is_ok() {
                    return;
                },
                _ = impatient => is_killed = true,
            }
            if is_killed {
                break;
            }
        }
        say(&format!("{} does not end: killing it", self.name));
        let killed = async {
            while !self.is_empty() {
                if let Some(cgroup) = &self.cgroup {
                    cgroup.kill();
                }
                sleep(POLL).await;
            }
        };
        let _ = timeout(KILLED, killed).await;
        let _ = timeout(KILLED, self.exited()).await;
    }

    /// Resolves when the command and all that it left have exited.
    async fn gone(&mut self) {
        self.exited().await;
        while !self.is_empty() {
            sleep(POLL).await;
        }
    }

    fn is_empty(&self) -> bool {
        self.cgroup.as_ref().is_none_or(FreshCgroup::is_empty)
    }

    fn signal(&self, signal: Signal, spared: Option<Pid>) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.signal(signal, spared);
        }
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        // Only where the recording failed: nobody would end the command any more.
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
    }
}

/// Our process group if Ctrl-C on the terminal reaches it.
fn foreground() -> Option<Pid> {
    let terminal = std::fs::File::open("/dev/tty").ok()?;
    (tcgetpgrp(terminal).ok()? == getpgrp()).then(getpgrp)
}

/// Why the command could not be started.
fn cannot_run(name: &str, error: &io::Error) -> Error {
    let what = format!("cannot run {name}: {error}");
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR) => Error::CommandNotFound(format!(
            "{what}; check the path after --, or the interpreter in the script's first line"
        )),
        Some(Errno::ACCESS | Errno::NOEXEC | Errno::PERM | Errno::ISDIR) => {
            Error::CommandNotExecutable(format!(
                "{what}; it must be a program that may be executed (chmod +x), or a script with an interpreter in its \
                 first line"
            ))
        }
        _ => Error::Failed(what),
    }
}
