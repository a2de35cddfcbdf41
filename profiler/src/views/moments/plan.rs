//! What is asked of the kernel half.

use ctprof_ebpf::views::moments::abi::global;

use super::Moments;
use super::run::Run;
use crate::Result;
use crate::bpf::probes::{Probe, tracepoint};
use crate::bpf::{Kernel, Settings};
use crate::collect::{Environment, Hooked, Hooks};
use crate::host::kernel;
use crate::model::{Figures as _, ViewId};

const WAKES: Probe = tracepoint(
    "sched_waking",
    "sched_waking",
    "sched_waking",
    "who ends waits for locks",
    "who holds a lock is not known",
);

const KILLS: Probe = tracepoint(
    "oom_kill",
    "oom_kill",
    "mark_victim",
    "processes that are killed because memory is short",
    "processes that are killed because memory is short are not known",
);

/// Threads whose longest stretch is kept: 80 bytes each where they are used.
const THREADS: u32 = 16_384;

/// Cgroups with killed processes.
const KILLED: u32 = 4_096;

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct MomentsPlan {
    is_on: bool,
    victim_is_task: bool,
}

impl MomentsPlan {
    /// Both programs, and maps as small as they can be.
    pub(super) const LEAST: Self = Self {
        is_on: false,
        victim_is_task: false,
    };

    /// For this host.
    pub(super) fn of(_: &Environment) -> Self {
        Self {
            is_on: true,
            victim_is_task: has_thread(&kernel::release()),
        }
    }
}

/// Whether the tracepoint `mark_victim` of this release has the thread: from 6.8 on.
fn has_thread(release: &str) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (6, 8),
        _ => false,
    }
}

impl Hooks for MomentsPlan {
    fn id(&self) -> ViewId {
        Moments::VIEW
    }

    fn probes(&self) -> Vec<&'static Probe> {
        vec![&WAKES, &KILLS]
    }

    fn settings(&self) -> Settings {
        let flag = |is_set: bool| u32::from(is_set).to_ne_bytes().to_vec();
        let size = |entries: u32| if self.is_on { entries } else { 1 };
        Settings {
            globals: if self.is_on {
                vec![
                    (global::MOMENTS, flag(true)),
                    (global::VICTIM_IS_TASK, flag(self.victim_is_task)),
                ]
            } else {
                Vec::new()
            },
            map_sizes: vec![("LONGEST", size(THREADS)), ("OOM_KILLS", size(KILLED))],
        }
    }

    fn open(&self, kernel: &mut Kernel) -> Result<Box<dyn Hooked>> {
        Ok(Box::new(Run::of(kernel)?))
    }
}

#[cfg(test)]
mod tests {
    use super::has_thread;

    #[test]
    fn releases() {
        for (release, expected) in [
            ("6.8.0-31-generic", true),
            ("6.18.44", true),
            ("7.0", true),
            ("6.1.192", false),
            ("5.15", false),
            ("x", false),
        ] {
            assert_eq!(has_thread(release), expected, "{release}");
        }
    }
}
