//! A recording out of a session that goes on: it has stacks and names of its own, and all else of the session.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::beside::Figures;
use super::live::Live;
use super::{Finished, assemble, deadline};
use crate::bpf::SamplingEvent;
use crate::collect::{Ended, Observer, Recorded};
use crate::grouping::Naming;
use crate::host::cgroup::Hierarchy;
use crate::symbolize::debuginfod::Keep;
use crate::target::Resolved;
use crate::views::{Recorder, Scope};

/// What is there before one window begins: names, and what the kernel has counted of its cgroups. Reading that takes time, so an
/// agent does it elsewhere than where its session goes on.
pub struct Opening {
    hierarchy: Hierarchy,
    naming: Naming,
    views: Recorder,
    before: Figures,
}

impl Opening {
    /// Reads it, for a window of these targets that begins in a moment.
    #[must_use]
    pub fn read(hierarchy: Hierarchy, naming: Naming, targets: &Resolved) -> Self {
        let mut views = Recorder::prepare(&Scope {
            hierarchy: &hierarchy,
            grouping: naming.grouping(),
            stacks: true,
            is_part: true,
            owners: Vec::new(),
        });
        let cgroups = cgroups(&hierarchy, targets);
        let cgroups: Vec<&str> = cgroups.iter().map(String::as_str).collect();
        let before = Figures::read(&hierarchy, &cgroups);
        views.start(&cgroups);
        Self {
            hierarchy,
            naming,
            views,
            before,
        }
    }
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}

/// Those that are there of what is to be recorded. One that comes later starts from nothing.
fn cgroups(hierarchy: &Hierarchy, targets: &Resolved) -> BTreeSet<String> {
    let below = |root: &str| hierarchy.walk(root).unwrap_or_default();
    let all = if targets.is_everything() {
        below("/")
    } else {
        let roots = targets.roots.iter();
        roots.flat_map(|root| below(&root.cgroup)).collect()
    };
    all.into_iter().map(|it| it.path).collect()
}

/// What is done for one window while it is in the making.
pub struct OnDemand {
    hierarchy: Hierarchy,
    frequency_hz: u64,
    event: SamplingEvent,
    start_unix: Duration,
    before: Figures,
    live: Live<fn(Duration, u64)>,
}

impl OnDemand {
    /// Begins now. `frequency_hz` and `event` are the session's.
    #[must_use]
    pub fn new(opening: Opening, frequency_hz: u64, event: SamplingEvent) -> Self {
        let Opening {
            hierarchy,
            naming,
            views,
            before,
        } = opening;
        Self {
            hierarchy,
            frequency_hz,
            event,
            start_unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            before,
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
                before: self.before,
                after: None,
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
