//! What is done while recording: naming newborn containers, holding binaries, telling how far it is.

use std::time::Duration;

use crate::collect::{Counted, Counters, Observer, Samples};
use crate::host::containers::Containers;
use crate::model::{ProcessKey, SideBand};
use crate::symbolize::{Options, Symbolizer};

/// Follows a recording.
pub(super) struct Live<'a, P> {
    containers: Containers,
    symbolizer: Symbolizer,
    counters: Option<Counters<'a>>,
    progress: P,
}

impl<'a, P: FnMut(Duration, u64)> Live<'a, P> {
    pub(super) fn new(containers: Containers, counters: Option<Counters<'a>>, progress: P) -> Self {
        Self {
            containers,
            symbolizer: Symbolizer::new(Options::default()),
            counters,
            progress,
        }
    }

    /// Stops the counters, and hands over what was gathered.
    pub(super) fn end(self) -> (Containers, Symbolizer, Option<Counted>) {
        let counted = self.counters.map(Counters::stop);
        (self.containers, self.symbolizer, counted)
    }
}

impl<P: FnMut(Duration, u64)> Observer for Live<'_, P> {
    fn process_seen(&mut self, process: ProcessKey, parent: Option<ProcessKey>, at_ns: u64) {
        self.symbolizer.notice_at(process, parent, at_ns);
    }

    fn happened(&mut self, records: Vec<SideBand>) {
        self.symbolizer.happened(records);
    }

    fn cgroup_born(&mut self, path: &str) {
        // Now, because a short-lived container takes its runtime's files with it.
        self.containers.identify(path);
    }

    fn drained(&mut self, elapsed: Duration, samples: &Samples) {
        self.symbolizer.take_in();
        self.containers.retry();
        if let Some(counters) = &mut self.counters {
            counters.follow_cpus();
        }
        (self.progress)(elapsed, samples.total());
    }
}
