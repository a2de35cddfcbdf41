//! What runs beside the load.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::empty::EmptyPrograms;
use crate::{cmd, paths};

/// One way to watch the load, or none.
pub(super) enum Condition {
    Nothing,
    /// Empty programs on these tracepoints.
    Empty(&'static [&'static str]),
    /// ctprof, recording everything, with these options.
    Ctprof(&'static [&'static str]),
    /// ctprof, counting the system calls of everything, with these options.
    Calls(&'static [&'static str]),
    /// The same, with the result in this file.
    CallsTo(PathBuf),
    /// A script for bpftrace.
    Bpftrace(&'static str),
}

/// A condition while it holds.
pub(super) enum Holding {
    Nothing,
    Empty(#[allow(dead_code, reason = "held")] EmptyPrograms),
    Process(#[allow(dead_code, reason = "held")] Process),
}

impl Condition {
    /// Why it cannot be measured here.
    pub(super) fn lacks(&self) -> Option<String> {
        match self {
            Self::Bpftrace(_) if cmd::find("bpftrace").is_none() => {
                Some("bpftrace is not installed".to_owned())
            }
            _ => None,
        }
    }

    /// Brings it about; when this returns, it holds.
    pub(super) fn begin(&self) -> Result<Holding> {
        Ok(match self {
            Self::Nothing => Holding::Nothing,
            Self::Empty(tracepoints) => Holding::Empty(EmptyPrograms::attach(tracepoints)?),
            Self::Ctprof(options) => {
                let mut command = Command::new(paths::target().join("release/ctprof"));
                command
                    .args(["record", "--duration", "10m", "--force", "--output"])
                    .arg(paths::target().join("bench-recording"))
                    .args(*options)
                    .stdout(Stdio::piped());
                Holding::Process(Process::start(command, "recording")?)
            }
            Self::Calls(options) => {
                let mut command = calls();
                command.args(*options).stdout(Stdio::null());
                Holding::Process(Process::start(command, "counting")?)
            }
            Self::CallsTo(file) => {
                let mut command = calls();
                let file = std::fs::File::create(file)
                    .with_context(|| format!("cannot write {}", file.display()))?;
                command.args(["--format", "json"]).stdout(file);
                Holding::Process(Process::start(command, "counting")?)
            }
            Self::Bpftrace(script) => {
                let bpftrace = cmd::find("bpftrace").context("bpftrace is not installed")?;
                let mut command = Command::new(bpftrace);
                command.args(["-e", script]).stdout(Stdio::piped());
                Holding::Process(Process::start(command, "Attaching")?)
            }
        })
    }
}

fn calls() -> Command {
    let mut command = Command::new(paths::target().join("release/ctprof"));
    command.args(["syscalls", "--duration", "10m"]);
    command
}

/// A tool that watches, until it is dropped.
pub(super) struct Process(Child);

impl Process {
    /// Starts `command` and waits for the line that says it is ready.
    fn start(mut command: Command, ready: &str) -> Result<Self> {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let line = cmd::line(&command);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run `{line}`"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (sender, receiver) = std::sync::mpsc::channel();
        for stream in [
            stdout.map(|it| Box::new(it) as Box<dyn Read + Send>),
            stderr.map(|it| Box::new(it) as Box<dyn Read + Send>),
        ]
        .into_iter()
        .flatten()
        {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        drop(sender);
        let process = Self(child);
        let mut said = String::new();
        while let Ok(line) = receiver.recv() {
            if line.contains(ready) {
                // bpftrace says so before it attaches.
                std::thread::sleep(std::time::Duration::from_millis(1_500));
                return Ok(process);
            }
            said = line;
        }
        bail!("`{line}` ended: {said}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.0.id().cast_signed()) {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.0.wait();
    }
}
