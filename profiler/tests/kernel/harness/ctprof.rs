//! Running the real `ctprof`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::{Pid, Signal};

use super::cgroup::Cgroup;
use super::recording::Recording;
use super::{Result, ensure, patience, wait_for};

/// A command line of ctprof.
pub(crate) struct Ctprof {
    command: Command,
}

/// What a finished run left.
pub(crate) struct Finished {
    /// Exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Everything it wrote.
    pub(crate) stdout: String,
    /// Everything it wrote.
    pub(crate) stderr: String,
}

impl Ctprof {
    /// `ctprof ARGS…`.
    pub(crate) fn new(args: &[&str]) -> Self {
        let program = std::env::var_os("CTPROF_BIN");
        let program = program.map_or_else(
            || PathBuf::from(env!("CARGO_BIN_EXE_ctprof")),
            PathBuf::from,
        );
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self { command }
    }

    /// `ctprof record --output DIR ARGS…`.
    pub(crate) fn record(output: &Path, args: &[&str]) -> Self {
        let mut this = Self::new(&["record", "--output"]);
        this.command.arg(output).args(args);
        this
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds `--cgroup` with the path of `cgroup` from the root of its hierarchy.
    pub(crate) fn cgroup(self, cgroup: &Cgroup) -> Self {
        self.arg("--cgroup").arg(cgroup.path())
    }

    /// Starts it and returns at once.
    pub(crate) fn start(mut self) -> Result<Running> {
        let mut child = self.command.spawn()?;
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        Ok(Running {
            child,
            stdout,
            stderr,
        })
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Result<Finished> {
        self.start()?.finish()
    }
}

/// A ctprof that runs.
pub(crate) struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Waits until it samples on every CPU: it then holds a perf event for each, or the BPF link that keeps
    /// the event.
    pub(crate) fn wait_until_attached(&mut self) -> Result {
        let cpus = std::thread::available_parallelism()?.get();
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        wait_for("ctprof to attach its programs", || {
            if let Some(status) = self.child.try_wait()? {
                let errors = self.stderr.take().map(JoinHandle::join);
                let errors = errors.and_then(std::result::Result::ok).unwrap_or_default();
                return Err(format!("ctprof ended with {status}: {errors}").into());
            }
            let events = fs::read_dir(process.join("fd"))?
                .flatten()
                .filter(|entry| {
                    let target = fs::read_link(entry.path()).unwrap_or_default();
                    let info = process.join("fdinfo").join(entry.file_name());
                    let info = fs::read_to_string(info).unwrap_or_default();
                    target.as_os_str() == "anon_inode:[perf_event]"
                        || info.lines().any(|line| line == "link_type:\tperf")
                })
                .count();
            Ok((events >= cpus).then_some(()))
        })
    }

    /// Sends the signal that Ctrl-C sends.
    pub(crate) fn interrupt(&self) -> Result {
        let pid = i32::try_from(self.child.id())?;
        let pid = Pid::from_raw(pid).ok_or("no process id")?;
        rustix::process::kill_process(pid, Signal::INT)?;
        Ok(())
    }

    /// Waits for its end; kills it when that takes too long.
    pub(crate) fn finish(mut self) -> Result<Finished> {
        let end = Instant::now() + patience();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break Some(status);
            }
            if Instant::now() > end {
                self.child.kill()?;
                self.child.wait()?;
                break None;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        let join = |thread: Option<JoinHandle<String>>| {
            thread
                .and_then(|thread| thread.join().ok())
                .unwrap_or_default()
        };
        let finished = Finished {
            code: status.and_then(|status| status.code()),
            stdout: join(self.stdout.take()),
            stderr: join(self.stderr.take()),
        };
        ensure!(
            status.is_some(),
            "ctprof did not end within {:?}: {}",
            patience(),
            finished.stderr
        );
        Ok(finished)
    }

    /// Ends the recording early, waits, and reads what it wrote to `output`.
    pub(crate) fn stop(self, output: &Path) -> Result<Recording> {
        self.interrupt()?;
        self.finish()?.recording(output)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only a trial that failed leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Finished {
    /// Fails unless the exit code is `code` and, for an error, stderr is one line.
    pub(crate) fn expect_code(&self, code: i32) -> Result {
        ensure!(
            self.code == Some(code),
            "exit code {:?} instead of {code}; stderr: {}",
            self.code,
            self.stderr
        );
        let lines = self.stderr.lines().count();
        ensure!(
            code == 0 || lines == 1,
            "an error is one line, not {lines}: {}",
            self.stderr
        );
        Ok(())
    }

    /// What a successful recording wrote to `output`.
    pub(crate) fn recording(&self, output: &Path) -> Result<Recording> {
        self.expect_code(0)?;
        Recording::read(output)
    }
}

/// Reads a pipe to its end on a thread of its own, so that the writer never blocks.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Option<JoinHandle<String>> {
    let mut pipe = pipe?;
    Some(std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }))
}
