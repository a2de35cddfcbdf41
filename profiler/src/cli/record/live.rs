//! What is done while recording: naming newborn containers, holding binaries, showing progress.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::collect::{Counters, Ended, Observer, Samples};
use crate::host::containers::Containers;
use crate::model::ProcessKey;
use crate::symbolize::{Options, Symbolizer};

/// Follows a recording.
pub(super) struct Live<'a> {
    pub(super) containers: Containers,
    pub(super) symbolizer: Symbolizer,
    pub(super) counters: Option<Counters<'a>>,
    progress: ProgressBar,
}

impl<'a> Live<'a> {
    /// `limit` is how long the recording is to take, if that is known. Progress shows on a terminal only.
    pub(super) fn new(
        containers: Containers,
        counters: Option<Counters<'a>>,
        limit: Option<Duration>,
    ) -> Self {
        let progress = ProgressBar::with_draw_target(
            limit.map(|limit| limit.as_millis() as u64),
            ProgressDrawTarget::stderr(),
        );
        let template = if limit.is_some() {
            "recording {bar:30} {elapsed} of {msg}"
        } else {
            "recording {spinner} {elapsed}, {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            progress.set_style(style);
        }
        Self {
            containers,
            symbolizer: Symbolizer::new(Options::default()),
            counters,
            progress,
        }
    }

    /// Says that recording has begun, where no progress line shows it.
    pub(super) fn begin(&self, what: &str, limit: Option<Duration>) {
        if self.progress.is_hidden() {
            let limit = limit
                .map(|limit| format!(" for {limit:?}"))
                .unwrap_or_default();
            super::say(&format!("recording {what}{limit}; Ctrl-C ends it early"));
        }
    }

    /// Takes the progress line away.
    pub(super) fn end(&self, ended: Ended) {
        self.progress.finish_and_clear();
        match ended {
            Ended::InTime | Ended::CommandExited => {}
            Ended::Interrupted => super::say("interrupted: writing what was recorded"),
            Ended::TargetsGone => {
                super::say("the recorded cgroups are gone: writing what was recorded");
            }
        }
    }
}

impl Observer for Live<'_> {
    fn process_seen(&mut self, process: ProcessKey, parent: ProcessKey) {
        self.symbolizer.observe_fork(process, parent);
    }

    fn cgroup_born(&mut self, path: &str) {
        // Now, because a short-lived container takes its runtime's files with it.
        self.containers.identify(path);
    }

    fn drained(&mut self, elapsed: Duration, samples: &Samples) {
        self.containers.retry();
        if let Some(counters) = &mut self.counters {
            counters.follow_cpus();
        }
        if self.progress.is_hidden() {
            return;
        }
        let limit = self.progress.length().map(Duration::from_millis);
        let total = limit
            .map(|limit| format!("{}s, ", limit.as_secs_f64()))
            .unwrap_or_default();
        self.progress.set_position(elapsed.as_millis() as u64);
        self.progress
            .set_message(format!("{total}{} samples", samples.total()));
    }
}
