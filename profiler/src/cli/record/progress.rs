//! How far a recording is, for whoever watches it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::say;
use crate::collect::Ended;

/// A line on a terminal, a sentence elsewhere.
pub(in crate::cli) struct Progress {
    bar: ProgressBar,
    limit: Option<Duration>,
}

impl Progress {
    /// `limit` is how long the recording is to take, if that is known. Says that it has begun, where no progress
    /// line shows it.
    pub(in crate::cli) fn begin(what: &str, limit: Option<Duration>) -> Self {
        let bar = ProgressBar::with_draw_target(
            limit.map(|limit| limit.as_millis() as u64),
            ProgressDrawTarget::stderr(),
        );
        let template = if limit.is_some() {
            "recording {bar:30} {elapsed} of {msg}"
        } else {
            "recording {spinner} {elapsed}, {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if bar.is_hidden() {
            let limit = limit
                .map(|limit| format!(" for {limit:?}"))
                .unwrap_or_default();
            say(&format!("recording {what}{limit}; Ctrl-C ends it early"));
        }
        Self { bar, limit }
    }

    /// So much time has passed, so many samples were taken.
    pub(in crate::cli) fn show(&self, elapsed: Duration, samples: u64) {
        if self.bar.is_hidden() {
            return;
        }
        let total = self
            .limit
            .map(|limit| format!("{}s, ", limit.as_secs_f64()))
            .unwrap_or_default();
        self.bar.set_position(elapsed.as_millis() as u64);
        self.bar.set_message(format!("{total}{samples} samples"));
    }

    /// Takes the progress line away.
    pub(in crate::cli) fn end(&self, ended: Ended) {
        self.bar.finish_and_clear();
        match ended {
            Ended::InTime | Ended::CommandExited => {}
            Ended::Interrupted | Ended::Terminated => say("interrupted: writing what was recorded"),
            Ended::TargetsGone => {
                say("everything that was to be recorded has ended: writing what there is");
            }
        }
    }
}
