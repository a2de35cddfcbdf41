//! A session of recording: load, attach, begin.
//!
//! - `run`: its loop, which drains on an interval
//! - `notices`: what the kernel half tells meanwhile

mod notices;
mod run;

use std::time::{Duration, Instant};

use super::completing::Completing;
use super::hooked::{Hooked, HookedViews};
use super::ledger::LedgerRun;
use super::pace::Pace;
use super::refusals::Refusals;
use super::side_band::SideBands;
use super::slices::Slicer;
use super::start::{SessionPlan, check, completes, early, load, needed, rows_of};
use super::takes::Takes;
use super::unwinding::Unwinding;
use super::{Samples, WatchList};
use crate::bpf::{
    self, Events, Kernel, SampleMaps, Sampler, ScopeMap, UnwindMaps, WantedMap, probes,
};
use crate::host::Host;
use crate::model::{ProcessKey, StateGroup, Unavailable, ViewId};
use crate::requirements::CGROUP_NAMESPACE;
use crate::{Error, Result};

/// A running recording. Dropping it detaches everything.
pub struct Session<'a> {
    pub(super) plan: SessionPlan<'a>,
    pub(super) kernel: Kernel,
    pub(super) scope: ScopeMap,
    pub(super) maps: SampleMaps,
    pub(super) losses: bpf::Losses,
    pub(super) events: Option<Events>,
    pub(super) sampler: Option<Sampler>,
    pub(super) ledger: Option<LedgerRun>,
    pub(super) views: HookedViews,
    pub(super) watch: WatchList,
    pub(super) refused: Refusals,
    pub(super) samples: Samples,
    /// Where figures are kept second by second.
    pub(super) slicer: Option<Slicer>,
    /// Where stacks are taken on demand.
    pub(super) takes: Option<Takes>,
    pub(super) unavailable: Vec<Unavailable>,
    pub(super) unknown_events: u64,
    pub(super) side_bands: SideBands,
    /// Where user stacks are unwound by tables.
    pub(super) unwinding: Option<Unwinding>,
    /// Where those of sleeping threads are completed.
    pub(super) completing: Option<Completing>,
    /// Processes that were there at the start, until they are told of.
    pub(super) found: Vec<ProcessKey>,
    pub(super) started: Instant,
    pub(super) ended: Option<Duration>,
    /// The same moment by `CLOCK_MONOTONIC`.
    pub(super) ended_ns: u64,
    /// Since when nothing of what was chosen exists.
    pub(super) gone_since: Option<Instant>,
}

impl<'a> Session<'a> {
    /// Loads and attaches; the recording begins with [`open`](Self::open).
    ///
    /// # Errors
    /// The kernel refuses something that recording cannot do without.
    pub fn start(plan: SessionPlan<'a>) -> Result<Self> {
        let hierarchy = &plan.env.hierarchy;
        let mut watch = WatchList::new(&hierarchy.walk("/")?, plan.targets, plan.endless);
        let mut unavailable = Vec::new();
        if hierarchy.is_namespaced() {
            unavailable.push(Unavailable {
                view: ViewId::CGROUPS,
                cause: CGROUP_NAMESPACE.join("; "),
            });
        }
        let (mut kernel, throttle) = load(&plan, rows_of(&plan), watch.slots())?;
        let mut scope = ScopeMap::of(&mut kernel)?;
        let maps = SampleMaps::of(&mut kernel)?;
        let losses = bpf::Losses::of(&mut kernel)?;
        let takes = plan.stacks_on_demand.then(|| WantedMap::of(&mut kernel));
        let takes = takes.transpose()?.map(Takes::new);
        let events = Events::of(&mut kernel)?;
        let unwinding = plan.unwinds().then(|| UnwindMaps::of(&mut kernel));
        let unwinding = unwinding.transpose()?.map(Unwinding::new);

        let mut ready = Vec::new();
        kernel.load_probes(&needed(&plan));
        for probe in early(&plan) {
            if check(probe, kernel.load_probe(probe), &mut unavailable)? {
                ready.push(probe);
            }
        }
        if plan.stacks.contains(&StateGroup::OnCpu) {
            let probe = &probes::ON_CPU;
            check(probe, kernel.load_probe(probe), &mut unavailable)?;
        }
        if plan.unwinds() && !plan.stacks.is_empty() {
            let probe = &probes::ASK_MAPPING;
            check(probe, kernel.load_probe(probe), &mut unavailable)?;
        }
        let completing = if completes(&plan) {
            let probe = &probes::COMPLETE_STACKS;
            check(probe, kernel.load_probe(probe), &mut unavailable)?.then(Completing::default)
        } else {
            None
        };
        let ledger = LedgerRun::load(&mut kernel, &plan.env.layout, throttle, &mut unavailable)?;

        let views = if ledger.is_some() {
            HookedViews::load(plan.views, &mut kernel, &mut unavailable)?
        } else {
            HookedViews::default()
        };

        kernel.all_loaded();
        let side_bands = if plan.stacks.is_empty() || plan.stacks_on_demand {
            SideBands::default()
        } else {
            side_bands(&mut unavailable)
        };

        // Births of cgroups come first, so that none falls between them and the listing.
        for probe in ready {
            check(probe, kernel.attach(probe), &mut unavailable)?;
        }
        watch.fill(&mut scope, hierarchy)?;
        watch.choose(&mut scope, &plan.targets.processes)?;
        let refused = Refusals::at_start(&losses, &watch)?;
        let ledger = ledger.filter(|ledger| ledger.attach(&mut kernel, &mut unavailable));
        if ledger.is_none() && !plan.targets.processes.is_empty() {
            return Err(Error::Unsupported(format!(
                "cannot record a process alone: {}; choose its container",
                causes_of(&unavailable, &ViewId::LEDGER)
            )));
        }
        let views = ledger.as_ref().map(|_| views).unwrap_or_default();
        let slicer = plan.slices.map(Slicer::new);
        let mut samples = Samples::default();
        if slicer.is_some() {
            samples.keep_recent();
        }
        Ok(Self {
            plan,
            kernel,
            scope,
            maps,
            losses,
            events: Some(events),
            sampler: None,
            ledger,
            views,
            watch,
            refused,
            samples,
            slicer,
            takes,
            unavailable,
            unknown_events: 0,
            side_bands,
            unwinding,
            completing,
            found: Vec::new(),
            started: Instant::now(),
            ended: None,
            ended_ns: 0,
            gone_since: None,
        })
    }

    /// Begins to sample, and the ledger, when everything else is ready, so that ctprof's own start is in no recording.
    ///
    /// # Errors
    /// The kernel refuses something that recording cannot do without.
    pub fn open(&mut self) -> Result<()> {
        self.started = Instant::now();
        if self.plan.stacks.contains(&StateGroup::OnCpu) && self.takes.is_none() {
            self.sample()?;
        }
        if let Some(ledger) = &mut self.ledger {
            self.views.attach(&mut self.kernel, &mut self.unavailable);
            // Before the first thread is entered: the window holds everything that is charged.
            self.started = Instant::now();
            let is_by_process = !self.plan.targets.processes.is_empty();
            if is_by_process {
                // From here on, whom a process creates is seen by the kernel half.
                self.watch
                    .choose_descendants(&mut self.scope, &Host::default())?;
            }
            self.found = ledger.open(&mut self.kernel)?;
            if is_by_process {
                self.scope.all_chosen();
            }
        }
        Ok(())
    }

    /// Begins to sample.
    pub(super) fn sample(&mut self) -> Result<()> {
        let plan = &self.plan;
        let sampler = Sampler::start(&mut self.kernel, plan.event, plan.frequency_hz)?;
        self.sampler = Some(sampler);
        Ok(())
    }

    /// What a session that is open waits for.
    ///
    /// # Errors
    /// It has been taken already, or the system refuses.
    pub(super) fn pace(&mut self) -> Result<Pace> {
        let Some(events) = self.events.take() else {
            return Err(Error::Failed("the recording has already ended".to_owned()));
        };
        Pace::of(events)
    }

    /// The view whose maps have this type; `None` where it is not counted.
    pub fn view<H: Hooked>(&mut self) -> Option<&mut H> {
        self.views.get_mut()
    }

    /// This view has to be there.
    ///
    /// # Errors
    /// It is not: why. `cannot` is what cannot be done without it.
    pub fn require(&self, view: &ViewId, cannot: &str) -> Result<()> {
        if self.views.has(view) {
            return Ok(());
        }
        let causes = [view, &ViewId::LEDGER].map(|view| causes_of(&self.unavailable, view));
        let causes: Vec<String> = causes.into_iter().filter(|it| !it.is_empty()).collect();
        Err(Error::Unsupported(format!(
            "{cannot}: {}; run `ctprof check` for what is missing",
            causes.join("; ")
        )))
    }

    /// When nothing was recorded any more; `None` while it goes on.
    #[must_use]
    pub fn ended_at(&self) -> Option<Instant> {
        Some(self.started + self.ended?)
    }

    /// Every cgroup that is watched so far.
    #[must_use]
    pub const fn watch(&self) -> &WatchList {
        &self.watch
    }
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// Why a view is not available.
pub(super) fn causes_of(unavailable: &[Unavailable], view: &ViewId) -> String {
    let causes = unavailable.iter().filter(|it| it.view == *view);
    let causes: Vec<&str> = causes.map(|it| it.cause.as_str()).collect();
    causes.join("; ")
}

/// The records of what happens to processes, where the kernel lets them be had.
pub(super) fn side_bands(unavailable: &mut Vec<Unavailable>) -> SideBands {
    SideBands::open().unwrap_or_else(|cause| {
        unavailable.push(Unavailable {
            view: ViewId::MAPPINGS,
            cause: format!(
                "processes that exit before they can be looked at have no names, and libraries that take each other's place \
                 may go unnoticed: {cause}"
            ),
        });
        SideBands::default()
    })
}
