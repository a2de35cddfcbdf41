//! What is done while recording: naming newborn containers, holding binaries, telling how far it is.

use std::time::{Duration, Instant};

use crate::aggregate::Addresses;
use crate::collect::{Observer, Samples};
use crate::grouping::Naming;
use crate::model::{ContainerIdentity, ProcessKey, SideBand};
use crate::symbolize::debuginfod::{Keep, Servers};
use crate::symbolize::{Options, Symbolizer};
use crate::unwind::News;
use crate::views::Recorder;

/// How often samples are looked through for files whose debug information servers have, at most, and what part of the time
/// that may take.
const FETCH: Duration = Duration::from_millis(500);
const FETCH_PART: u32 = 50;

/// Follows a recording.
pub(super) struct Live<P> {
    naming: Naming,
    symbolizer: Symbolizer,
    views: Recorder,
    progress: P,
    next_fetch: Instant,
}

impl<P: FnMut(Duration, u64)> Live<P> {
    pub(super) fn new(naming: Naming, views: Recorder, keep: Keep, progress: P) -> Self {
        Self {
            naming,
            symbolizer: Symbolizer::new(Options {
                unwind: true,
                debuginfod: Servers::from_env(keep),
                ..Options::default()
            }),
            views,
            progress,
            next_fetch: Instant::now(),
        }
    }

    /// Downloads take longer than anybody waits at the end: they begin as soon as samples lie in a file.
    fn fetch_ahead(&mut self, samples: &Samples) {
        let now = Instant::now();
        if !self.symbolizer.fetches() || now < self.next_fetch {
            return;
        }
        self.symbolizer.fetch_ahead(&Addresses::of(samples).user);
        self.next_fetch = Instant::now() + FETCH.max(now.elapsed() * FETCH_PART);
    }

    /// Stops what views measure, and hands over what was gathered.
    pub(super) fn end(mut self) -> (Naming, Symbolizer, Recorder) {
        self.views.stop();
        (self.naming, self.symbolizer, self.views)
    }
}

impl<P: FnMut(Duration, u64)> Observer for Live<P> {
    fn process_seen(&mut self, process: ProcessKey, parent: Option<ProcessKey>, at_ns: u64) {
        self.symbolizer.notice_at(process, parent, at_ns);
    }

    fn happened(&mut self, records: Vec<SideBand>) {
        self.symbolizer.happened(records);
    }

    fn unwind_news(&mut self) -> Vec<News> {
        self.symbolizer.unwind_news()
    }

    fn unwind_anew(&mut self) {
        self.symbolizer.unwind_anew();
    }

    fn cgroup_born(&mut self, path: &str) -> ContainerIdentity {
        self.naming.born(path)
    }

    fn drained(&mut self, elapsed: Duration, samples: &Samples) -> Vec<ContainerIdentity> {
        self.symbolizer.take_in();
        self.fetch_ahead(samples);
        self.views.follow();
        (self.progress)(elapsed, samples.total());
        self.naming.settle()
    }
}
