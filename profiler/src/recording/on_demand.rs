//! A recording out of a session that goes on: it has stacks and names of its own, and all else of the session.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::beside::Figures;
use super::live::Live;
use super::{Finished, assemble, deadline};
use crate::bpf::SamplingEvent;
use crate::collect::{Ended, Observer, Recorded};
use crate::grouping::Naming;
use crate::host::cgroup::Hierarchy;
use crate::symbolize::debuginfod::Keep;
use crate::views::{Recorder, Scope};

/// What is done for one window while it is in the making.
pub struct OnDemand {
    hierarchy: Hierarchy,
    frequency_hz: u64,
    event: SamplingEvent,
    start_unix: Duration,
    live: Live<fn(Duration, u64)>,
}

impl OnDemand {
    /// Begins now. `frequency_hz` and `event` are the session's.
    #[must_use]
    pub fn new(
        hierarchy: Hierarchy,
        naming: Naming,
        frequency_hz: u64,
        event: SamplingEvent,
    ) -> Self {
        let views = Recorder::prepare(&Scope {
            hierarchy: &hierarchy,
            grouping: naming.grouping(),
            stacks: true,
            is_part: true,
            owners: Vec::new(),
        });
        Self {
            hierarchy,
            frequency_hz,
            event,
            start_unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            // Whoever records on demand, an agent, writes no files.
            live: Live::new(naming, views, Keep::InMemory, |_, _| ()),
        }
    }

    /// Who is to be told what happens meanwhile.
    pub fn observer(&mut self) -> &mut impl Observer {
        &mut self.live
    }

    /// It has ended with this.
    #[must_use]
    pub fn end(self, recorded: Recorded) -> Finished {
        let (naming, symbolizer, views) = self.live.end();
        Finished {
            ended: Ended::InTime,
            input: assemble::Input {
                hierarchy: self.hierarchy,
                frequency_hz: self.frequency_hz,
                event: self.event,
                start_unix: self.start_unix,
                recorded,
                before: Figures::default(),
                after: Figures::default(),
                views,
                naming,
                symbolizer,
                deadline: deadline::for_names(Instant::now()),
            },
        }
    }
}

impl std::fmt::Debug for OnDemand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnDemand").finish_non_exhaustive()
    }
}
