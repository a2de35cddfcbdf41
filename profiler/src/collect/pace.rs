//! What a session waits for.

use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Interval, MissedTickBehavior};

use super::start::DRAIN_INTERVAL;
use crate::bpf::Events;
use crate::{Error, Result};

/// How often the records of what happens to processes are read: their rings hold what 2,000 programs a second and CPU write
/// in that time.
const SIDE_BAND_INTERVAL: Duration = Duration::from_millis(100);

/// How often the kernel half is told which processes and files there are: until then stacks are unwound by frame pointers.
const UNWIND_INTERVAL: Duration = Duration::from_millis(20);

/// What a session has just done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Drained its maps: another interval is over.
    Tick,
    /// Something in between.
    Other,
}

/// What a session waits for.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) events: AsyncFd<Events>,
    /// Maps are drained.
    pub(super) ticks: Interval,
    /// Side-band records are read.
    pub(super) side_ticks: Interval,
    /// The kernel half is told how to unwind.
    pub(super) unwind_ticks: Interval,
}

impl Pace {
    pub(super) fn of(events: Events) -> Result<Self> {
        let every = |period| {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        Ok(Self {
            events: wait_on(events)?,
            ticks: every(DRAIN_INTERVAL),
            side_ticks: every(SIDE_BAND_INTERVAL),
            unwind_ticks: every(UNWIND_INTERVAL),
        })
    }
}

/// Has the event loop wait for notices.
fn wait_on(events: Events) -> Result<AsyncFd<Events>> {
    // SAFETY: `Events` owns its descriptor, always names the same one, and lives in the `AsyncFd`.
    unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) }
        .map_err(|error| cannot_wait(&error))
}

pub(super) fn cannot_wait(error: &impl std::fmt::Display) -> Error {
    Error::Failed(format!("cannot wait for kernel events: {error}"))
}
