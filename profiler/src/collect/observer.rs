//! Who is told what happens while recording.

use std::any::Any;
use std::collections::HashMap;
use std::time::Duration;

use super::{Notice, RawViews, Samples, WatchList};
use crate::Result;
use crate::model::{ContainerIdentity, ProcessKey, SideBand};
use crate::unwind::News;

/// Who is told what happens while recording.
pub trait Observer {
    /// A process was sampled for the first time, or replaced its image: now its binaries can be opened. `parent` is the
    /// image that it was forked from, where both still have it. Must not wait for the process.
    /// `at_ns` is when, by `CLOCK_MONOTONIC`.
    fn process_seen(&mut self, process: ProcessKey, parent: Option<ProcessKey>, at_ns: u64);
    /// What happened to the processes of the host, in order; all of it before [`process_seen`](Self::process_seen) of a
    /// later moment.
    fn happened(&mut self, _: Vec<SideBand>) {}
    /// What the kernel half has to be told to unwind the stacks of the processes that were seen.
    fn unwind_news(&mut self) -> Vec<News> {
        Vec::new()
    }
    /// Whoever was told has forgotten it: all of it is news again.
    fn unwind_anew(&mut self) {}
    /// A cgroup was created: who its owner is, as far as that is known now.
    fn cgroup_born(&mut self, path: &str) -> ContainerIdentity;
    /// An interval is over.
    ///
    /// # Errors
    /// What it has to say cannot be written: this ends the recording.
    fn snapshot(&mut self, _: &Snapshot<'_>) -> Result<()> {
        Ok(())
    }
    /// The kernel half told something of a view.
    ///
    /// # Errors
    /// What it has to say cannot be written: this ends the recording.
    fn noticed(&mut self, _: &Noticed<'_>) -> Result<()> {
        Ok(())
    }
    /// The event loop has done something, which it does ten times a second at least: what waits for a moment to come may be
    /// said now. Must not wait for a container.
    ///
    /// # Errors
    /// What it has to say cannot be written: this ends the recording.
    fn turn(&mut self) -> Result<()> {
        Ok(())
    }
    /// The maps were drained. Returns the containers whose names have become known since the last time.
    fn drained(&mut self, elapsed: Duration, samples: &Samples) -> Vec<ContainerIdentity>;
}

/// What was counted since the recording began, while it goes on.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// Time since the start.
    pub elapsed: Duration,
    /// Slots and cgroups.
    pub watch: &'a WatchList,
    /// What was counted for views.
    pub raw: RawViews,
    /// Thread time by slot; `None` without a ledger.
    pub thread_time_ns: Option<HashMap<u32, u64>>,
}

/// What the kernel half told of a view.
#[derive(Debug)]
pub struct Noticed<'a> {
    /// What it says.
    pub notice: &'a dyn Notice,
    /// Addresses of its user stack, leaf first, as they are to be looked up.
    pub stack: Vec<u64>,
    /// Slots and cgroups.
    pub watch: &'a WatchList,
}

impl Noticed<'_> {
    /// What it says, if it is of this type.
    #[must_use]
    pub fn get<N: Notice>(&self) -> Option<&N> {
        let notice: &dyn Any = self.notice;
        notice.downcast_ref()
    }
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was as long as asked for.
    InTime,
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// The command that it was to record has exited.
    CommandExited,
    /// Everything that it was to record is gone.
    TargetsGone,
}
