//! Running the real `ctprof`.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::{Pid, Signal};

use super::cgroup::Cgroup;
use super::recording::Recording;
use super::{Result, emulated, ensure, patience, wait_for};

/// The program that is tested.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("CTPROF_BIN").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_ctprof")),
        PathBuf::from,
    )
}

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
    /// What the hypervisor took away meanwhile, of all CPUs.
    pub(crate) stolen_ns: u64,
}

impl Ctprof {
    /// `ctprof ARGS…`.
    pub(crate) fn new(args: &[&str]) -> Self {
        let mut command = Command::new(program());
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
        this.command.arg(output);
        if emulated() {
            // What is named within a second here takes an emulated CPU longer.
            this.command.args(["--names-within", "60s"]);
        }
        this.command.args(args);
        this
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Adds `--cgroup` with the path of `cgroup` from the root of its hierarchy.
    pub(crate) fn cgroup(self, cgroup: &Cgroup) -> Self {
        self.arg("--cgroup").arg(cgroup.path())
    }

    /// Starts it and returns at once.
    pub(crate) fn start(mut self) -> Result<Running> {
        let stolen_ns = stolen_ns()?;
        let mut child = self.command.spawn()?;
        let stdout = Pipe::read(child.stdout.take());
        let stderr = Pipe::read(child.stderr.take());
        Ok(Running {
            child,
            stdout,
            stderr,
            stolen_ns,
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
    stdout: Pipe,
    stderr: Pipe,
    /// See [`stolen_ns`], when it was started.
    stolen_ns: u64,
}

impl Running {
    /// Waits until it says that it records: then every program is attached.
    pub(crate) fn wait_until_attached(&mut self) -> Result {
        wait_for("ctprof to attach its programs", || {
            let said = self.stderr.text();
            if said.contains("ctprof: recording ") || said.contains("ctprof: counting ") {
                return Ok(Some(()));
            }
            self.expect_alive()?;
            Ok(None)
        })
    }

    /// Sends the signal that Ctrl-C sends.
    pub(crate) fn interrupt(&self) -> Result {
        self.signal(Signal::INT)
    }

    /// Sends the signal that asks a service to end.
    pub(crate) fn terminate(&self) -> Result {
        self.signal(Signal::TERM)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result {
        let pid = i32::try_from(self.child.id())?;
        let pid = Pid::from_raw(pid).ok_or("no process id")?;
        rustix::process::kill_process(pid, signal)?;
        Ok(())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// BPF programs, maps and links that it holds, as the kernel numbers them.
    pub(crate) fn holds(&self) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let folder = format!("/proc/{}/fdinfo", self.pid());
        for entry in std::fs::read_dir(folder)?.flatten() {
            // It may have been closed meanwhile.
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let ids = text
                .lines()
                .filter_map(|line| line.split_once(':'))
                .filter(|(key, _)| ["prog_id", "map_id", "link_id"].contains(key))
                .map(|(key, id)| format!("{key} {}", id.trim()));
            found.extend(ids);
        }
        Ok(found)
    }

    /// What it has written to stderr so far.
    pub(crate) fn said(&self) -> String {
        self.stderr.text()
    }

    /// Fails when it has ended.
    pub(crate) fn expect_alive(&mut self) -> Result {
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("ctprof ended with {status}: {}", self.stderr.text()).into());
        }
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
        let finished = Finished {
            code: status.and_then(|status| status.code()),
            stdout: self.stdout.end(),
            stderr: self.stderr.end(),
            stolen_ns: stolen_ns()? - self.stolen_ns,
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

    /// Fails unless the exit code is `code`, whatever was said.
    pub(crate) fn expect_code_only(&self, code: i32) -> Result {
        ensure!(
            self.code == Some(code),
            "exit code {:?} instead of {code}; stderr: {}",
            self.code,
            self.stderr
        );
        Ok(())
    }

    /// Fails unless stderr has this in it.
    pub(crate) fn expect_said(&self, text: &str) -> Result {
        ensure!(
            self.stderr.contains(text),
            "no {text:?} in what it said: {}",
            self.stderr
        );
        Ok(())
    }

    /// What a successful recording wrote to `output`.
    pub(crate) fn recording(&self, output: &Path) -> Result<Recording> {
        self.expect_code(0)?;
        let mut recording = Recording::read(output)?;
        recording.stolen_ns = self.stolen_ns;
        Ok(recording)
    }
}

/// Time that the hypervisor has taken from all CPUs so far, as the kernel has it: in hundredths of a second.
pub(crate) fn stolen_ns() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks = line.split_whitespace().nth(8).unwrap_or("0");
    Ok(ticks.parse::<u64>()? * 10_000_000)
}

/// What comes out of a pipe, read on a thread of its own, so that the writer never blocks.
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Pipe {
    fn read(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&bytes);
        let reader = pipe.map(|mut pipe| {
            std::thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(read @ 1..) = pipe.read(&mut chunk) {
                    if let Ok(mut bytes) = into.lock() {
                        bytes.extend_from_slice(&chunk[..read]);
                    }
                }
            })
        });
        Self { bytes, reader }
    }

    /// What has come so far.
    fn text(&self) -> String {
        let bytes = self.bytes.lock().map(|bytes| bytes.clone());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    }

    /// Everything, once the writer is gone.
    fn end(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has read less: what there is, is shown.
            let _ = reader.join();
        }
        self.text()
    }
}
