//! Scheduling policies other than the usual one.

use std::io::{Error, Result};

use super::Options;

/// `struct sched_attr` in the kernel's `sched/types.h`.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime_ns: u64,
    deadline_ns: u64,
    period_ns: u64,
}

/// Gives the calling thread the policy that `--policy` names, if any: `batch`, `fifo`, or `deadline` with `--runtime` of
/// `--period`, in us.
pub(super) fn apply(options: &Options) -> Result<()> {
    let us = |name| options.number(name, 0) * 1000;
    let (policy, priority) = match options.text("--policy") {
        // Preempts nobody when it wakes up.
        "batch" => (libc::SCHED_BATCH, 0),
        "fifo" => (libc::SCHED_FIFO, 50),
        "deadline" => (libc::SCHED_DEADLINE, 0),
        _ => return Ok(()),
    };
    let attributes = Attributes {
        size: u32::try_from(size_of::<Attributes>()).unwrap_or_default(),
        policy: policy.cast_unsigned(),
        priority,
        runtime_ns: us("--runtime"),
        deadline_ns: us("--period"),
        period_ns: us("--period"),
        ..Attributes::default()
    };
    // SAFETY: the attributes live during the call, and say how large they are.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}
