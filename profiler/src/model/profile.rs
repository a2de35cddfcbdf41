//! A whole recording.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Container, FrameTable};

/// A view that could not be measured, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// The view's id.
    pub view: String,
    /// One line: cause and remedy.
    pub cause: String,
}

/// Why some frames have no names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unnamed {
    /// The cause's id.
    pub cause: String,
    /// Processes or files that it befell, not frames.
    pub count: u64,
    /// One line for people: the cause and, where there is one, the remedy.
    pub explanation: String,
}

/// CPU time over the window, summed over CPUs, that no thread of this host had. The ledger counts it as time on the CPU
/// of the thread that it was taken from: the scheduler is not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stolen {
    /// Taken by the hypervisor ("steal").
    pub hypervisor_ns: u64,
    /// Spent in interrupts, hard and soft.
    pub interrupts_ns: u64,
}

/// Everything that one recording found out.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Version of the ctprof that recorded.
    pub ctprof_version: String,
    /// `uname -r` of the recorded host.
    pub kernel: String,
    /// Start of the recording, in ns since the Unix epoch.
    pub start_unix_ns: u64,
    /// Length of the recording.
    pub window_ns: u64,
    /// Samples per second and CPU.
    pub frequency_hz: u64,
    /// Event that triggers samples: `cpu-clock` or `cycles`.
    pub event: String,
    /// CPUs that were sampled.
    pub cpus: u64,
    /// CPU time that was taken from all threads; `None` where the kernel does not say.
    pub stolen: Option<Stolen>,
    /// What was lost: cause to count, every cause present, 0 included.
    pub lost: BTreeMap<String, u64>,
    /// Views that this host could not give.
    pub unavailable: Vec<Unavailable>,
    /// Why some frames have no names; empty if nothing stood in the way.
    pub unnamed: Vec<Unnamed>,
    /// One entry for each container with samples or threads.
    pub containers: Vec<Container>,
    /// Frames and modules that the containers' stacks refer to.
    pub frames: FrameTable,
}
