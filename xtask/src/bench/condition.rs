//! What runs beside the load.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::empty::Programs;
use super::peers::Peer;
use super::{agent, usage};
use crate::{cmd, paths};

/// One way to watch the load, or none.
pub(super) enum Condition {
    Nothing,
    /// Empty programs on these tracepoints.
    Empty(&'static [&'static str]),
    /// All of `empty::PIECES`.
    Pieces,
    /// ctprof, recording everything, with these options.
    Record(&'static [&'static str]),
    /// ctprof, counting the system calls of everything, with these options.
    Calls(&'static [&'static str]),
    /// The same, with the result in this file.
    CallsTo(PathBuf),
    /// The agent, with what it does when nobody asks for anything.
    Agent,
    /// A script for bpftrace.
    Bpftrace(&'static str),
    /// perf with these options, beside the load.
    Perf(&'static [&'static str]),
    /// strace with these options, around the load.
    Strace(&'static [&'static str]),
}

/// A condition while it holds.
pub(super) enum Holding {
    Nothing,
    Programs(#[allow(dead_code, reason = "held")] Programs),
    Process(Process),
    /// The command that runs the load.
    Around(Vec<String>),
}

impl Holding {
    /// `program` as it is run under this condition.
    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self {
            Self::Around(words) if !words.is_empty() => {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).arg(program);
                command
            }
            _ => Command::new(program),
        }
    }

    /// The process whose programs are attached.
    pub(super) fn process(&self) -> u32 {
        match self {
            Self::Process(process) => process.id(),
            _ => std::process::id(),
        }
    }

    /// CPU time that the tool beside the load has taken so far, in ns.
    pub(super) fn cpu_ns(&self) -> Result<f64> {
        match self {
            Self::Process(process) => usage::cpu_ns(process.id()),
            _ => Ok(0.0),
        }
    }
}

impl Condition {
    /// Why it cannot be measured here.
    pub(super) fn lacks(&self) -> Option<String> {
        match self {
            Self::Bpftrace(_) => Peer::Bpftrace.lacks(),
            Self::Perf(_) => Peer::Perf.lacks(),
            Self::Strace(_) => Peer::Strace.lacks(),
            _ => None,
        }
    }

    /// By how much less of the load is enough: some tools make it tens of times slower.
    pub(super) fn less(&self) -> u64 {
        match self {
            Self::Perf(_) | Self::Strace(_) => 10,
            _ => 1,
        }
    }

    /// Brings it about; when this returns, it holds.
    pub(super) fn begin(&self) -> Result<Holding> {
        Ok(match self {
            Self::Nothing => Holding::Nothing,
            Self::Empty(tracepoints) => Holding::Programs(Programs::empty(tracepoints)?),
            Self::Pieces => Holding::Programs(Programs::pieces()?),
            Self::Record(options) => {
                let mut command = ctprof();
                command
                    .args(["record", "--duration", "10m", "--force", "--output"])
                    .arg(recording())
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
            Self::Agent => Holding::Process(agent::start(&[])?.0),
            Self::Bpftrace(script) => {
                let mut command = Command::new(found(Peer::Bpftrace)?);
                // It says `Attaching` before it does, and runs BEGIN after it.
                let script = format!("BEGIN {{ printf(\"attached\\n\"); }} {script}");
                command
                    .args(["-B", "line", "-e", &script])
                    .stdout(Stdio::piped());
                Holding::Process(Process::start(command, "attached")?)
            }
            Self::Perf(options) => {
                let mut command = Command::new(found(Peer::Perf)?);
                command.args(*options).stdout(Stdio::null());
                command
                    .current_dir(paths::target())
                    .args(["-o", "bench-perf.data"]);
                Holding::Process(Process::silent(command)?)
            }
            Self::Strace(options) => {
                let mut words = vec![found(Peer::Strace)?.display().to_string()];
                words.extend(options.iter().map(|&it| it.to_owned()));
                Holding::Around(words)
            }
        })
    }
}

/// The release build.
pub(super) fn ctprof() -> Command {
    Command::new(paths::target().join("release/ctprof"))
}

/// Where [`Condition::Record`] writes.
pub(super) fn recording() -> PathBuf {
    paths::target().join("bench-recording")
}

/// `summary.json` of a recording in this folder.
pub(super) fn summary(recording: &Path) -> Result<Value> {
    let text = std::fs::read(recording.join("summary.json")).context("ctprof wrote no summary")?;
    Ok(serde_json::from_slice(&text)?)
}

fn calls() -> Command {
    let mut command = ctprof();
    command.args(["syscalls", "--duration", "10m"]);
    command
}

fn found(peer: Peer) -> Result<PathBuf> {
    peer.path()
        .with_context(|| peer.lacks().unwrap_or_default())
}

/// How long a tool may take to end before it is told again.
const PATIENCE: Duration = Duration::from_secs(10);

/// A tool that watches, until it is dropped.
pub(super) struct Process(Child);

impl Process {
    /// Starts `command` and waits for the line that says it is ready.
    pub(super) fn start(mut command: Command, ready: &str) -> Result<Self> {
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
                return Ok(process);
            }
            said = line;
        }
        bail!("`{line}` ended: {said}");
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Starts a `command` that does not say when it is ready.
    fn silent(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let line = cmd::line(&command);
        let child = command.spawn();
        let mut process = Self(child.with_context(|| format!("cannot run `{line}`"))?);
        std::thread::sleep(Duration::from_millis(1_500));
        if process.0.try_wait()?.is_some() {
            let mut said = String::new();
            if let Some(mut stderr) = process.0.stderr.take() {
                let _ = stderr.read_to_string(&mut said);
            }
            bail!("`{line}` ended: {}", said.trim());
        }
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(pid) = Pid::from_raw(self.0.id().cast_signed()) else {
            return;
        };
        // perf does not see a signal that comes just before it begins to wait; the last one nobody overlooks.
        for signal in [Signal::INT, Signal::INT, Signal::INT, Signal::KILL] {
            let _ = kill_process(pid, signal);
            let deadline = Instant::now() + PATIENCE;
            while Instant::now() < deadline {
                if !matches!(self.0.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
