//! One recording from its plan to its profile: of `ctprof record`, and of an agent that is asked for a profile.
//!
//! - `live`: what is done while recording: names, binaries
//! - `beside`: what the kernel itself counts for each cgroup
//! - `assemble`: raw samples to a profile

mod assemble;
mod beside;
mod live;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::collect::{Counters, Ended, Session, SessionPlan};
use crate::host::btf::{Btf, Layout};
use crate::host::cgroup::{Hierarchy, Version};
use crate::host::containers::Containers;
use crate::host::kernel;
use crate::model::Profile;
use crate::{Error, Result};
pub use assemble::{CALL_NAMES, owner, owners};
use beside::Figures;
use live::Live;

/// How long looking at processes and reading their files may take after the end: with what else there is to do, an
/// answer comes within a second. An unoptimised build reads ten times as slowly.
pub const NAMES_WITHIN: Duration =
    Duration::from_millis(if cfg!(debug_assertions) { 120_000 } else { 700 });

/// A recording that has begun. Dropping it detaches everything.
pub struct Recording<'a> {
    plan: SessionPlan<'a>,
    start_unix: Duration,
    session: Session<'a>,
    counters: Option<Counters<'a>>,
    containers: Containers,
    before: Figures,
    names_within: Duration,
}

impl<'a> Recording<'a> {
    /// Loads, attaches and begins.
    ///
    /// # Errors
    /// The kernel refuses something that recording cannot do without.
    pub fn begin(plan: SessionPlan<'a>, mut containers: Containers) -> Result<Self> {
        let start_unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut session = Session::start(plan)?;
        let mut counters = (!plan.stacks.is_empty()).then(|| {
            beside::counters(plan.hierarchy, session.watch(), plan.roots, &mut containers)
        });
        session.open()?;
        let before = Figures::read(plan.hierarchy, session.watch());
        if let Some(counters) = &mut counters {
            counters.start();
        }
        Ok(Self {
            plan,
            start_unix,
            session,
            counters,
            containers,
            before,
            names_within: NAMES_WITHIN,
        })
    }

    /// How long naming may take after the end, [`NAMES_WITHIN`] if nothing else is said.
    #[must_use]
    pub const fn names_within(mut self, time: Duration) -> Self {
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
    ) -> Result<Finished<'a>> {
        let mut live = Live::new(self.containers, self.counters, progress);
        let ended = self.session.run(limit, stop, &mut live).await?;
        let deadline = Instant::now() + self.names_within;
        let (containers, symbolizer, counted) = live.end();
        let recorded = self.session.finish()?;
        let after = Figures::read(self.plan.hierarchy, &recorded.watch);
        Ok(Finished {
            ended,
            input: assemble::Input {
                plan: self.plan,
                start_unix: self.start_unix,
                recorded,
                before: self.before,
                after,
                counted,
                containers,
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
pub struct Finished<'a> {
    /// Why it ended.
    pub ended: Ended,
    input: assemble::Input<'a>,
}

impl Finished<'_> {
    /// Names what was recorded, and puts the profile together. This is what takes time.
    #[must_use]
    pub fn profile(self) -> Profile {
        assemble::profile(self.input)
    }
}

impl std::fmt::Debug for Finished<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finished")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Where this kernel has the fields that the kernel half reads.
///
/// # Errors
/// No type information, or a field that cannot be done without is not in it.
pub fn layout(path: Option<&Path>, hierarchy: &Hierarchy) -> Result<Layout> {
    let path = path.unwrap_or(Path::new(kernel::BTF_PATH));
    let btf = Btf::from_file(path).map_err(|error| Error::Unsupported(error.to_string()))?;
    Layout::resolve(&btf, hierarchy.version() == Version::V1)
        .map_err(|error| Error::Unsupported(error.to_string()))
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
