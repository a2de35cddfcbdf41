//! What the kernel says of the CPU time of a container, while Prometheus watches.

use std::time::Instant;

use crate::daemon::{Container, docker};
use crate::harness::Result;
use crate::harness::ctprof::stolen_ns;

/// A measurement that goes on.
pub(super) struct Meter {
    pid: String,
    began: Instant,
    ran_ns: u64,
    stolen_ns: u64,
}

/// What it found, per second.
pub(super) struct Used {
    /// Of the container's threads.
    pub(super) cores: f64,
    /// What the hypervisor took from all CPUs: any part of it may be the container's.
    pub(super) stolen_cores: f64,
}

impl Meter {
    pub(super) fn begin(container: &Container) -> Result<Self> {
        let pid = docker(&["inspect", "--format", "{{.State.Pid}}", &container.id()?])?;
        Ok(Self {
            began: Instant::now(),
            ran_ns: ran_ns(&pid)?,
            stolen_ns: stolen_ns()?,
            pid,
        })
    }

    /// The same threads have to be there still.
    pub(super) fn end(&self) -> Result<Used> {
        let seconds = self.began.elapsed().as_secs_f64();
        let of = |now: u64, then: u64| (now - then) as f64 / 1e9 / seconds;
        Ok(Used {
            cores: of(ran_ns(&self.pid)?, self.ran_ns),
            stolen_cores: of(stolen_ns()?, self.stolen_ns),
        })
    }
}

/// What its threads have been on a CPU since their births: the first number of their `schedstat`.
fn ran_ns(pid: &str) -> Result<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let first = text.split_whitespace().next();
        sum += first.ok_or("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(sum)
}
