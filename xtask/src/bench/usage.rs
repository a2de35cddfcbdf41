//! What processes take until they end.

use std::process::Child;

use anyhow::{Result, ensure};

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
