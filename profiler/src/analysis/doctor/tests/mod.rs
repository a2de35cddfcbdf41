//! What each rule finds, and what it does not.
//!
//! - `resources`: quotas, CPUs, memory
//! - `waits`: locks, disks, peers, events
//! - `itself`: what it does by itself

mod itself;
mod resources;
mod waits;

use super::made::{Made, SECOND};
use super::{Confidence, Severity};
use crate::model::{Culprit, State};
use crate::views::limits::{Cpu, Disk, Limits, Memory, Quota, Weight};
use crate::views::moments::{Moments, Waker};
use crate::views::psi::{Psi, Stall};
use crate::views::syscalls::{Syscall, Syscalls};
use crate::views::workload::{Language, Peer, Program, Traffic, Waiting, Workload};

const RUNS: (State, &str) = (State::OnCpuUser, "");
const POLLS: (State, &str) = (State::BlockedPoll, "epoll_wait");
const LOCK: (State, &str) = (State::BlockedLock, "futex");

fn quota(quota_us: u64, is_own: bool) -> Limits {
    Limits {
        cpu: Cpu {
            quota: Some(Quota {
                quota_us,
                period_us: 100_000,
                burst_us: 0,
                cgroup: if is_own { "/docker/app" } else { "/docker" }.to_owned(),
                is_own,
            }),
            ..Cpu::default()
        },
        ..Limits::default()
    }
}

fn memory(memory: Memory) -> Limits {
    Limits {
        memory: Some(memory),
        ..Limits::default()
    }
}

fn program(language: Language, settings: &[(&str, &str)]) -> Program {
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Program {
        name: "app".to_owned(),
        language,
        settings: settings.collect(),
        cpus: 2,
        processes: 1,
        threads: 8,
        ..Program::default()
    }
}

fn workload(programs: Vec<Program>, peers: &[(&str, Waiting, u64, u64)]) -> Workload {
    let peers = peers
        .iter()
        .map(|(address, waiting, looks, longest_ms)| Peer {
            address: (*address).to_owned(),
            container: None,
            waiting: *waiting,
            looks: *looks,
            longest_ms: *longest_ms,
        });
    Workload {
        programs,
        looks: 100,
        peers: peers.collect(),
        ..Workload::default()
    }
}

/// Half a CPU of four that are wanted.
fn throttled() -> Made {
    Made::new()
        .runs("worker-1", &["render", "main"], 5 * SECOND)
        .stack(
            "worker-1",
            (State::Throttled, ""),
            &["render", "main"],
            (95, 15 * SECOND),
        )
        .periods(95, 100)
}
