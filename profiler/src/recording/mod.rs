//! One recording from its plan to its window: of `ctprof record`, and of an agent that is asked for a profile.
//!
//! - `live`: what is done while recording: names, binaries
//! - `on_demand`: a recording out of a session that goes on
//! - `beside`: what the kernel itself counts for each cgroup, and whose cgroups views may look at
//! - `assemble`: raw samples to a window
//! - `deadline`: when names have to be there

mod assemble;
mod beside;
mod deadline;
mod live;
mod on_demand;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Result;
use crate::collect::{Ended, Session, SessionPlan};
use crate::grouping::Naming;
use crate::host::containers::Containers;
use crate::model::{Grouping, Window};
use crate::symbolize::debuginfod::Keep;
use crate::views::{Recorder, Scope};
use beside::Figures;
use live::Live;
pub use on_demand::{OnDemand, Opening};

/// A recording that has begun. Dropping it detaches everything.
pub struct Recording<'a> {
    plan: SessionPlan<'a>,
    start_unix: Duration,
    session: Session<'a>,
    views: Recorder,
    naming: Naming,
    before: Figures,
    names_within: Option<Duration>,
}

impl<'a> Recording<'a> {
    /// Loads, attaches and begins.
    ///
    /// # Errors
    /// The kernel refuses something that recording cannot do without.
    pub fn begin(
        plan: SessionPlan<'a>,
        grouping: Grouping,
        containers: Containers,
    ) -> Result<Self> {
        let start_unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut session = Session::start(plan)?;
        let hierarchy = &plan.env.hierarchy;
        let mut naming = Naming::new(grouping, hierarchy.clone(), containers);
        if grouping != Grouping::Container {
            // Now, while their processes are there.
            for (_, path) in session.watch().recorded() {
                naming.of(path);
            }
        }
        let mut views = Recorder::prepare(&Scope {
            hierarchy,
            grouping,
            stacks: !plan.stacks.is_empty(),
            is_part: false,
            owners: beside::owners(session.watch(), &mut naming),
        });
        session.open()?;
        let cgroups = beside::recorded(session.watch());
        let before = Figures::read(hierarchy, &cgroups);
        views.start(&cgroups);
        Ok(Self {
            plan,
            start_unix,
            session,
            views,
            naming,
            before,
            names_within: None,
        })
    }

    /// How long naming may take after the end; `None` for as long as leaves time to answer within a second.
    #[must_use]
    pub const fn names_within(mut self, time: Option<Duration>) -> Self {
        self.names_within = time;
        self
    }

    /// Records for `limit`, until `stop` resolves, or until every target is gone. `progress` is told the time since
    /// the start and the samples so far.
    ///
    /// # Errors
    /// A map cannot be read any more.
    pub async fn run(
        mut self,
        limit: Option<Duration>,
        stop: impl Future<Output = Ended>,
        progress: impl FnMut(Duration, u64),
    ) -> Result<Finished> {
        let mut live = Live::new(self.naming, self.views, Keep::OnDisk, progress);
        let ended = self.session.run(limit, stop, &mut live).await?;
        let end = self.session.ended_at().unwrap_or_else(Instant::now);
        let (naming, symbolizer, mut views) = live.end();
        let recorded = self.session.finish()?;
        let cgroups = beside::recorded(&recorded.watch);
        let after = Figures::read(&self.plan.env.hierarchy, &cgroups);
        views.last_look(&cgroups);
        let deadline = match self.names_within {
            Some(time) => end + time,
            None => deadline::for_names(end),
        };
        Ok(Finished {
            ended,
            input: assemble::Input {
                hierarchy: self.plan.env.hierarchy.clone(),
                frequency_hz: self.plan.frequency_hz,
                event: self.plan.event,
                start_unix: self.start_unix,
                recorded,
                before: self.before,
                after: Some(after),
                views,
                naming,
                symbolizer,
                deadline,
            },
        })
    }
}

impl std::fmt::Debug for Recording<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// A recording that is over: nothing of it is attached any more.
pub struct Finished {
    /// Why it ended.
    pub ended: Ended,
    input: assemble::Input,
}

impl Finished {
    /// Names what was recorded, and puts the window together. This is what takes time.
    #[must_use]
    pub fn profile(self) -> Window {
        assemble::profile(self.input)
    }
}

impl std::fmt::Debug for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finished")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Every binary of every sampled process is held open: the usual soft limit of 1,024 files is soon reached, the
/// hard limit is not. Where it cannot be raised, what is not held is counted and reported.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
}
