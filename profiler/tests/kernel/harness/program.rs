//! Running a workload, and what it says of itself.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

use super::cgroup::Cgroup;
use super::{Result, ensure, this_program};

/// A workload that runs. Killed when dropped.
pub(crate) struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
    /// When it had joined its cgroup.
    pub(crate) joined_ns: u64,
}

/// What a workload printed: names and numbers.
#[derive(Debug)]
pub(crate) struct Facts {
    lines: Vec<(String, u64)>,
    /// From when it had joined its cgroup until just after it had ended.
    pub(crate) lived_ns: u64,
}

impl Program {
    /// Starts this program as `workload ARGS…` inside `cgroup`; without one, it stays where we are.
    pub(crate) fn start(cgroup: Option<&Cgroup>, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(this_program()?);
        command.arg("workload").args(args).stdout(Stdio::piped());
        // Cargo sets it; the loader would look there first, and fail, which is not the program's doing.
        command.env_remove("LD_LIBRARY_PATH");
        let joined = cgroup
            .map(|cgroup| cgroup.enclose(&mut command))
            .transpose()?;
        let mut joined_ns = now_ns();
        let mut child = command.spawn()?;
        if let Some(mut joined) = joined {
            let mut bytes = [0; 8];
            joined.read_exact(&mut bytes)?;
            joined_ns = u64::from_ne_bytes(bytes);
        }
        let output = child.stdout.take().ok_or("a child without a pipe")?;
        Ok(Self {
            child,
            output: BufReader::new(output),
            joined_ns,
        })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The number in the next line that it prints, which must have this name.
    pub(crate) fn next(&mut self, name: &str) -> Result<u64> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let (found, value) = parse(&line).ok_or_else(|| format!("it printed {line:?}"))?;
        ensure!(found == name, "it printed {line:?} instead of {name}");
        Ok(value)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result {
        let pid = Pid::from_raw(self.pid().cast_signed()).ok_or("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Whether it has come to its end by itself.
    pub(crate) fn has_exited(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Result<Facts> {
        let mut text = String::new();
        self.output.read_to_string(&mut text)?;
        let status = self.child.wait()?;
        let lived_ns = now_ns() - self.joined_ns;
        ensure!(status.success(), "the workload ended with {status}: {text}");
        let lines = text.lines().filter_map(parse);
        Ok(Facts {
            lines: lines
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            lived_ns,
        })
    }

    /// Kills it; for how long it has lived.
    pub(crate) fn kill(mut self) -> Result<u64> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(now_ns() - self.joined_ns)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Only a trial that failed leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Facts {
    /// The sum of the numbers with this name.
    pub(crate) fn get(&self, name: &str) -> Result<u64> {
        let mut found = self
            .lines
            .iter()
            .filter(|(found, _)| found == name)
            .peekable();
        ensure!(found.peek().is_some(), "no {name} in {:?}", self.lines);
        Ok(found.map(|(_, value)| value).sum())
    }
}

fn parse(line: &str) -> Option<(&str, u64)> {
    let (name, value) = line.trim().split_once(' ')?;
    Some((name, value.parse().ok()?))
}

/// The clock of the kernel half, in ns.
pub(crate) fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
