//! What is asked of the kernel half.

use ctprof_ebpf::views::syscalls::abi::{CACHE, JUDGED, global, view};

use super::Syscalls;
use super::maps::CallMaps;
use super::run::CallRun;
use crate::Result;
use crate::bpf::probes::{Probe, tracepoint};
use crate::bpf::{Kernel, Settings};
use crate::collect::{Hooked, Hooks};
use crate::model::{Figures as _, ViewId};

const BEGINS: Probe = tracepoint(
    "sys_enter",
    "sys_enter",
    "sys_enter",
    "how long system calls take",
    "no view of system calls",
);

const NEVER: Probe = tracepoint(
    "call_never",
    "call_never",
    "sched_process_exit",
    "system calls that do not return",
    "no view of system calls",
);

const RETURNS: Probe = tracepoint(
    "sys_exit",
    "sys_exit",
    "sys_exit",
    "system calls and their results",
    "no view of system calls",
);

/// How system calls are counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallPlan {
    /// Their beginnings are seen as well, and how long they take.
    pub timed: bool,
    /// Tell calls under a seccomp filter from others.
    pub confined: bool,
    /// Rows that there may be at once.
    pub rows: u32,
    /// Calls that take at least this long are sent one by one; 0 for none.
    pub slow_ns: u64,
    /// Calls that a seccomp profile would deny, and refused ones, are sent one by one, too.
    pub judge: bool,
    /// With their user stacks.
    pub slow_stacks: bool,
}

/// Rows that there may be at once, by cgroup; least and most: 13 MiB and 112 MiB if all are used.
const ROWS_A_CGROUP: u32 = 1_024;
const ROWS: (u32, u32) = (131_072, 1_048_576);

impl CallPlan {
    /// All programs, and maps as small as they can be.
    pub(super) const LEAST: Self = Self {
        timed: true,
        confined: false,
        rows: 1,
        slow_ns: 0,
        judge: false,
        slow_stacks: false,
    };

    /// Calls, errors and times of a host with so many cgroups.
    #[must_use]
    pub fn timed(cgroups: usize) -> Self {
        let cgroups = u32::try_from(cgroups).unwrap_or(u32::MAX);
        Self {
            timed: true,
            rows: cgroups.saturating_mul(ROWS_A_CGROUP).clamp(ROWS.0, ROWS.1),
            ..Self::default()
        }
    }
}

impl Hooks for CallPlan {
    fn id(&self) -> ViewId {
        Syscalls::VIEW
    }

    /// No return is seen whose beginning could have been.
    fn probes(&self) -> Vec<&'static Probe> {
        if self.timed {
            vec![&BEGINS, &NEVER, &RETURNS]
        } else {
            vec![&RETURNS]
        }
    }

    fn settings(&self) -> Settings {
        let view = if self.timed {
            view::TIMES
        } else {
            view::COUNTS
        };
        let flag = |is_set| u32::from(is_set).to_ne_bytes().to_vec();
        let judged = if self.judge { JUDGED * 3 } else { 1 };
        Settings {
            globals: vec![
                (global::CALL_VIEW, view.to_ne_bytes().to_vec()),
                (global::CALL_CONFINED, flag(self.confined)),
                (global::SLOW_NS, self.slow_ns.to_ne_bytes().to_vec()),
                (global::JUDGE, flag(self.judge)),
                (global::SLOW_STACKS, flag(self.slow_stacks)),
            ],
            map_sizes: vec![
                ("JUDGED_CALLS", judged),
                ("CALLS", self.rows.max(1)),
                ("CALL_CACHE", if self.rows > 1 { CACHE } else { 1 }),
            ],
        }
    }

    fn has_stacks(&self) -> bool {
        self.slow_stacks
    }

    fn open(&self, kernel: &mut Kernel) -> Result<Box<dyn Hooked>> {
        Ok(Box::new(CallRun::new(CallMaps::of(kernel)?, self.timed)))
    }
}
