//! What processes take: so far, or until they end.

use std::process::Child;

use anyhow::{Context, Result, ensure};

/// What a process and the children that it waited for took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// CPU time, user and system, in ns.
    pub(super) cpu_ns: f64,
    /// Highest resident memory of one of them, in bytes.
    pub(super) peak_bytes: f64,
}

impl Usage {
    /// Both at once.
    pub(super) fn beside(self, other: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns + other.cpu_ns,
            peak_bytes: self.peak_bytes + other.peak_bytes,
        }
    }

    /// One after the other.
    pub(super) fn then(self, other: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns + other.cpu_ns,
            peak_bytes: self.peak_bytes.max(other.peak_bytes),
        }
    }
}

/// Waits for the end of `child`.
///
/// # Errors
/// It failed; `what` says which it was.
pub(super) fn wait(child: &Child, what: &str) -> Result<Usage> {
    let pid = i32::try_from(child.id())?;
    let mut status = 0;
    // SAFETY: all zeros is a value of the structure, which has nothing but integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child is ours and nobody else has waited for it; both pointers are to live values.
    let ended = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    ensure!(ended == pid && status == 0, "{what} failed");
    let ns = |time: libc::timeval| time.tv_sec as f64 * 1e9 + time.tv_usec as f64 * 1e3;
    Ok(Usage {
        cpu_ns: ns(usage.ru_utime) + ns(usage.ru_stime),
        peak_bytes: usage.ru_maxrss as f64 * 1024.0,
    })
}

/// CPU time that a process has taken so far, in ns.
///
/// # Errors
/// There is no such process.
pub(super) fn cpu_ns(pid: u32) -> Result<f64> {
    let pid = i32::try_from(pid)?;
    let (mut clock, mut time) = (
        0,
        libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
    );
    // SAFETY: both pointers are to live values.
    let failed = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) != 0
            || libc::clock_gettime(clock, &raw mut time) != 0
    };
    ensure!(!failed, "cannot read the CPU time of process {pid}");
    #[allow(clippy::cast_precision_loss, reason = "2^52 ns are 52 days")]
    Ok(time.tv_sec as f64 * 1e9 + time.tv_nsec as f64)
}

/// Resident memory of a process, in bytes.
///
/// # Errors
/// There is no such process.
pub(super) fn resident_bytes(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let line = line.context("the process has no memory")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024.0)
}
