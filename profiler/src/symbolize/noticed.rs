//! Processes that were noticed: they are looked at while they are there, followed by what the kernel writes down of them, and
//! looked at again where they may have mapped more since.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::process::{Image, PerfMap};
use super::{PATIENCE, Problem, Symbolizer};
use crate::model::{Happened, ProcessKey, SideBand};

impl Symbolizer {
    /// A process was seen running: has its mappings read, and what is needed to name its frames later held. Never waits.
    ///
    /// May be called again and again, to see what was mapped since (`dlopen`, JIT): a process is looked at when its last
    /// look is over, and the less often the longer that took. One that is gone already is remembered as such: its
    /// frames will read `[exited+0xaddress]`.
    ///
    /// `parent` is the process that it was forked from, if both still have the image of then. Such a fork maps what its
    /// parent maps: one that is gone before it could be looked at, such as a subshell, is named through its parent.
    pub fn notice(&mut self, process: ProcessKey, parent: Option<ProcessKey>) {
        self.receive();
        if let Some(parent) = parent.filter(|parent| *parent != process) {
            if self.parents.len() < self.options.max_processes {
                self.parents.insert(process, parent);
            }
            // What a parent has compiled may be younger than the look at it, and is the child's as well.
            let may_lack_map = |image: &Image| matches!(image.perf_map, PerfMap::None);
            if self.processes.image(parent).is_none_or(may_lack_map) {
                self.want_soon(parent);
            }
        }
        self.want_soon(process);
    }

    /// Wants a look now, or as soon as the pause after the last one is over.
    fn want_soon(&mut self, process: ProcessKey) {
        if !self.want(process, None) && self.paused.len() < self.options.max_processes {
            self.paused.insert(process);
        }
    }

    /// As [`Symbolizer::notice`], of an image that ran at a moment of `CLOCK_MONOTONIC`: what
    /// [`Symbolizer::happened`] says of the process at that moment is kept.
    pub fn notice_at(&mut self, process: ProcessKey, parent: Option<ProcessKey>, at_ns: u64) {
        self.notice(process, parent);
        if self.seen_at.len() < self.options.max_processes {
            self.seen_at.entry(process).or_insert(at_ns);
        }
        if at_ns <= self.following.newest_ns() {
            self.want_followed(process.pid, at_ns);
        } else if self.too_new.len() < self.options.max_processes {
            self.too_new.push((process.pid, at_ns));
        }
    }

    fn want_followed(&mut self, pid: u32, at_ns: u64) {
        if let Some((files, relatives)) = self.following.want(pid, at_ns) {
            self.processes.search(files, &relatives, &self.pool);
        }
    }

    /// Keeps what is followed of the processes that were noticed, as far as it is known until `ns`.
    pub(super) fn want_until(&mut self, ns: u64) {
        let known = |(_, at_ns): &mut (u32, u64)| *at_ns <= ns;
        let known: Vec<(u32, u64)> = self.too_new.extract_if(.., known).collect();
        for (pid, at_ns) in known {
            self.want_followed(pid, at_ns);
        }
    }

    /// Takes over what the kernel has written down, all until a moment, in order. Processes that were noticed are known
    /// from it, although no look at them came in time. Never waits.
    pub fn happened(&mut self, records: impl IntoIterator<Item = SideBand>) {
        for record in records {
            let pid = record.pid;
            // A library that was loaded now is to be unwound now.
            if self.options.unwind
                && matches!(record.what, Happened::Mapped(_))
                && let Some(process) = self.processes.latest(pid)
            {
                self.want_soon(process);
            }
            if let Some(file) = self.following.add(record) {
                let relatives = self.following.relatives(pid);
                self.processes.search(vec![file], &relatives, &self.pool);
            }
        }
        self.want_until(self.following.newest_ns());
    }

    fn want(&mut self, process: ProcessKey, patience: Option<Duration>) -> bool {
        let (pool, problems) = (&self.pool, &mut self.problems);
        self.processes.want(process, patience, pool, problems)
    }

    pub(super) fn receive(&mut self) {
        self.processes.take_in(&self.pool, &mut self.problems);
    }

    /// Takes over what was found since the last call, and has those looked at again that were to be within a pause. To be
    /// called now and then. Never waits.
    pub fn take_in(&mut self) {
        self.receive();
        for process in std::mem::take(&mut self.paused) {
            self.want_soon(process);
        }
    }

    /// As [`Symbolizer::notice`], and waits until the process was looked at, but no longer than a second.
    pub fn observe(&mut self, process: ProcessKey) {
        self.observe_within(process, PATIENCE);
    }

    /// The same with another patience. Where the last look took more than half as long, there is none: what is known has
    /// to do.
    pub fn observe_within(&mut self, process: ProcessKey, patience: Duration) {
        self.look_again([process], Instant::now() + patience);
    }

    /// Looks at these processes once more, as many as there is time for until `deadline`: they may have mapped libraries
    /// and compiled code since.
    pub fn look_again(
        &mut self,
        processes: impl IntoIterator<Item = ProcessKey>,
        deadline: Instant,
    ) {
        self.receive();
        let patience = deadline.saturating_duration_since(Instant::now());
        let (mut wanted, mut late) = (HashSet::new(), Vec::new());
        for process in processes {
            if self.want(process, Some(patience)) {
                wanted.insert(process);
            } else {
                late.push(process);
            }
        }
        let (pool, problems) = (&self.pool, &mut self.problems);
        late.extend(self.processes.wait_for(&wanted, deadline, pool, problems));
        for process in late {
            self.tell(process, Problem::ProcessLate);
        }
    }

    /// No process that has not been looked at will be: samples are at their end, and who has any is known.
    pub fn drop_waiting(&mut self) {
        self.processes.drop_waiting();
        self.unwinding.end();
    }
}
