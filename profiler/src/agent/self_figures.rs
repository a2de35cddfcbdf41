//! What the agent knows of itself, beside what the core knows: HTTP counts here, metrics read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of [`SelfFigures::scrape_buckets`], in seconds; one more bucket holds what took longer.
pub const SCRAPE_BOUNDS: [f64; 8] = [0.001, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 10.0];

/// Figures since the start of the agent, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelfFigures {
    /// Answers by page (a route such as `/metrics`, or `other`) and status code.
    pub requests: BTreeMap<(&'static str, u16), u64>,
    /// Scrapes that took at most so long, each once: the first bucket that it fits, see [`SCRAPE_BOUNDS`].
    pub scrape_buckets: [u64; SCRAPE_BOUNDS.len() + 1],
    /// Time of all scrapes, from request to answer.
    pub scrape_time: Duration,
    /// Recordings on demand that run now.
    pub profiles_running: u64,
    /// Recordings on demand by how they ended: `done`, `cancelled` (the client went away), `refused` (too many at
    /// once), `failed`.
    pub profiles: BTreeMap<&'static str, u64>,
    /// Connections that are open now.
    pub connections: u64,
    /// Connections that were closed because there were too many.
    pub connections_evicted: u64,
    /// When containers were last looked at for what is wrong with them, since 1970; `None` if they are not.
    pub looked: Option<Duration>,
    /// Reloads of the configuration that succeeded, and those that left the old one in place.
    pub reloads: (u64, u64),
}

/// The figures where they are counted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Counted(Arc<Mutex<SelfFigures>>);

impl Counted {
    /// Counts.
    pub fn count(&self, change: impl FnOnce(&mut SelfFigures)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The figures of now.
    #[must_use]
    pub fn now(&self) -> SelfFigures {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl SelfFigures {
    /// A scrape took so long.
    pub fn scraped(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = SCRAPE_BOUNDS.iter().position(|bound| seconds <= *bound);
        self.scrape_buckets[bucket.unwrap_or(SCRAPE_BOUNDS.len())] += 1;
        self.scrape_time += time;
    }
}
