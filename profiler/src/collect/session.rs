//! The recording itself: load, attach, drain on an interval.

use std::time::{Duration, Instant};

use ctprof_ebpf::abi::syscall::CallKey;
use tokio::time::MissedTickBehavior;

use super::ledger::LedgerRun;
use super::observer::{Ended, Observer, SlowCallSeen, Snapshot};
use super::pace::{Pace, Step, cannot_wait};
use super::refusals::Refusals;
use super::side_band::SideBands;
use super::start::{SessionPlan, check, early, load, needed, rows_of};
use super::syscalls::CallRun;
use super::takes::Takes;
use super::unwinding::Unwinding;
use super::{RawLedger, Samples, WatchList};
use crate::bpf::{
    self, Events, Kernel, KernelEvent, SampleMaps, Sampler, ScopeMap, UnwindMaps, WantedMap, probes,
};
use crate::host::{Host, clock};
use crate::model::{ProcessKey, StateGroup, Unavailable, ViewId};
use crate::requirements::CGROUP_NAMESPACE;
use crate::{Error, Result};

/// Notices that are acted on before the event loop looks at the clock and at signals again.
const EVENTS_PER_TURN: usize = 256;

/// Turns after the end: the ring holds about 480 notices.
const LAST_TURNS: usize = 4;

/// Processes that are looked at because they are there when a recording begins; others are when they are first seen.
const FOUND_AT_START: usize = 1_024;

/// Whether there are more notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    More,
}

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
    pub(super) calls: Option<CallRun>,
    pub(super) watch: WatchList,
    pub(super) refused: Refusals,
    pub(super) samples: Samples,
    /// Where stacks are taken on demand.
    pub(super) takes: Option<Takes>,
    pub(super) unavailable: Vec<Unavailable>,
    pub(super) unknown_events: u64,
    pub(super) side_bands: SideBands,
    /// Where user stacks are unwound by tables.
    pub(super) unwinding: Option<Unwinding>,
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
        let ledger = LedgerRun::load(&mut kernel, &plan.env.layout, throttle, &mut unavailable)?;

        let calls = if ledger.is_some() {
            CallRun::load(&mut kernel, &plan.calls, &mut unavailable)?
        } else {
            None
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
        Ok(Self {
            plan,
            kernel,
            scope,
            maps,
            losses,
            events: Some(events),
            sampler: None,
            ledger,
            calls,
            watch,
            refused,
            samples: Samples::default(),
            takes,
            unavailable,
            unknown_events: 0,
            side_bands,
            unwinding,
            found: Vec::new(),
            started: Instant::now(),
            ended: None,
            ended_ns: 0,
            gone_since: None,
        })
    }

    /// Begins to sample, and the ledger, when everything else is ready: ctprof's own start is nobody's business.
    ///
    /// # Errors
    /// The kernel refuses something that recording cannot do without.
    pub fn open(&mut self) -> Result<()> {
        self.started = Instant::now();
        if self.plan.stacks.contains(&StateGroup::OnCpu) && self.takes.is_none() {
            self.sample()?;
        }
        if let Some(ledger) = &mut self.ledger {
            let calls = self.calls.take();
            self.calls =
                calls.and_then(|calls| calls.attach(&mut self.kernel, &mut self.unavailable));
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

    /// Records until `stop` resolves, `duration` has passed since the start, or every target is gone.
    ///
    /// # Errors
    /// A map cannot be read any more.
    pub async fn run(
        &mut self,
        duration: Option<Duration>,
        stop: impl Future<Output = Ended>,
        observer: &mut impl Observer,
    ) -> Result<Ended> {
        let mut pace = self.pace()?;
        let now_ns = clock::monotonic_ns();
        for process in self.found.drain(..).take(FOUND_AT_START) {
            observer.process_seen(process, None, now_ns);
        }
        let period = self.plan.interval.unwrap_or(Duration::MAX);
        let mut snapshots = tokio::time::interval_at(far(period), period);
        snapshots.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let rest = duration.map_or(Duration::MAX, |duration| {
            duration.saturating_sub(self.started.elapsed())
        });
        let deadline = tokio::time::sleep(rest);
        tokio::pin!(deadline, stop);
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut stop => break ended,
                () = &mut deadline => break Ended::InTime,
                _ = snapshots.tick() => self.snapshot(observer)?,
                stepped = self.step(&mut pace, observer) => {
                    let stepped = stepped?;
                    observer.turn()?;
                    if stepped == Step::Tick && self.targets_are_gone()? {
                        break Ended::TargetsGone;
                    }
                }
            }
        };
        self.stop()?;
        self.take_side_band(observer, true);
        // What came until now, and no more: others of the host go on.
        let mut events = pace.events.into_inner();
        for _ in 0..LAST_TURNS {
            if self.take_events(&mut events, observer)? == Left::Nothing {
                break;
            }
        }
        Ok(ended)
    }

    /// Waits for the next thing that happens, and acts on it. Cancel-safe.
    ///
    /// # Errors
    /// A map cannot be read any more.
    pub(super) async fn step(
        &mut self,
        pace: &mut Pace,
        observer: &mut impl Observer,
    ) -> Result<Step> {
        tokio::select! {
            biased;
            _ = pace.ticks.tick() => {
                self.tick(observer)?;
                Ok(Step::Tick)
            }
            _ = pace.unwind_ticks.tick(), if self.unwinds() => {
                self.tell_unwinding(observer);
                Ok(Step::Other)
            }
            _ = pace.side_ticks.tick() => {
                self.side_bands.follow_cpus();
                self.take_side_band(observer, false);
                Ok(Step::Other)
            }
            ready = pace.events.readable_mut() => {
                let mut ready = ready.map_err(|error| cannot_wait(&error))?;
                if self.take_events(ready.get_inner_mut(), observer)? == Left::Nothing {
                    ready.clear_ready();
                }
                Ok(Step::Other)
            }
        }
    }

    fn tick(&mut self, observer: &mut impl Observer) -> Result<()> {
        self.kernel.flush_log();
        self.drain()?;
        if let Some(sampler) = &mut self.sampler {
            sampler.follow_cpus(&mut self.kernel)?;
        }
        let mut has_more = false;
        for identity in observer.drained(self.started.elapsed(), &self.samples) {
            has_more |= self.include(&identity.cgroup, &identity)?;
        }
        self.look_again(has_more)
    }

    /// Takes over what was counted since the last drain, but for where nobody wants it.
    pub(super) fn drain(&mut self) -> Result<()> {
        if self.takes.as_ref().is_some_and(Takes::is_empty) {
            return Ok(());
        }
        let mut new = Samples::default();
        let samples = match &self.takes {
            Some(_) => &mut new,
            None => &mut self.samples,
        };
        samples.drain(&mut self.maps)?;
        if let Some(ledger) = &mut self.ledger {
            samples.add_burnt(ledger.burnt_periods()?);
        }
        if let Some(takes) = &mut self.takes {
            takes.give(&new, &self.watch);
        }
        Ok(())
    }

    /// Hands over what happened to processes.
    fn take_side_band(&mut self, observer: &mut impl Observer, is_end: bool) {
        let records = self.side_bands.take(is_end);
        if !records.is_empty() {
            observer.happened(records);
        }
    }

    /// Whether there may be something to tell of unwinding, or to take back.
    fn unwinds(&self) -> bool {
        let Some(unwinding) = &self.unwinding else {
            return false;
        };
        let takes = self.takes.as_ref();
        takes.is_none_or(|takes| !takes.is_empty()) || unwinding.has_told()
    }

    /// Has the kernel half unwind the stacks of what has become known since the last time.
    fn tell_unwinding(&mut self, observer: &mut impl Observer) {
        if let Some(unwinding) = &mut self.unwinding {
            unwinding.tell(observer.unwind_news());
        }
    }

    fn snapshot(&mut self, observer: &mut impl Observer) -> Result<()> {
        let Some(calls) = &mut self.calls else {
            return Ok(());
        };
        let thread_time_ns = match &mut self.ledger {
            Some(ledger) => {
                ledger.settle(&mut self.kernel)?;
                let figures = ledger.read(self.watch.every_slot(), &RawLedger::default())?;
                Some(figures.thread_time_ns())
            }
            None => None,
        };
        observer.snapshot(&Snapshot {
            thread_time_ns,
            elapsed: self.started.elapsed(),
            watch: &self.watch,
            calls: calls.read()?,
        })
    }

    /// Acts on the kernel's notices, on so many at once: whoever makes the kernel send them without an end keeps neither
    /// the clock nor signals waiting.
    fn take_events(&mut self, events: &mut Events, observer: &mut impl Observer) -> Result<Left> {
        // Before the notices: whoever is told of a process knows what it had mapped by then.
        self.take_side_band(observer, false);
        let mut moved = false;
        let mut has_more = false;
        let mut left = Left::More;
        for _ in 0..EVENTS_PER_TURN {
            let Some(event) = events.take() else {
                left = Left::Nothing;
                break;
            };
            match event {
                KernelEvent::CgroupBorn { id, slot, path } => {
                    let Some(path) = self.plan.env.hierarchy.path_from_kernel(&path) else {
                        // Out of sight from this cgroup namespace: its samples count as unknown.
                        continue;
                    };
                    let identity = observer.cgroup_born(&path);
                    has_more |= self.watch.born(&mut self.scope, id, slot, path.clone())?;
                    if let Some(takes) = &mut self.takes {
                        takes.born(slot, &path, clock::monotonic_ns())?;
                    }
                    has_more |= self.include(&path, &identity)?;
                }
                KernelEvent::CgroupGone { id } => self.watch.gone(id),
                KernelEvent::Process {
                    pid,
                    exec_id,
                    parent,
                    at_ns,
                } => {
                    let parent = parent.map(|(pid, exec_id)| ProcessKey { pid, exec_id });
                    observer.process_seen(ProcessKey { pid, exec_id }, parent, at_ns);
                }
                KernelEvent::ThreadsMoved => moved = true,
                KernelEvent::SlowCall(call) => {
                    if call.user_stack != 0 {
                        // Its stack may be newer than the last drain.
                        self.samples.drain(&mut self.maps)?;
                    }
                    let stack = self.samples.call_sites(call.user_stack).collect();
                    observer.slow_call(&SlowCallSeen {
                        call: &call,
                        stack,
                        watch: &self.watch,
                    })?;
                }
                KernelEvent::Unknown(_) => self.unknown_events += 1,
            }
        }
        if let (Some(ledger), true) = (&mut self.ledger, moved) {
            ledger.follow(&mut self.kernel)?;
        }
        self.look_again(has_more)?;
        Ok(left)
    }

    /// Has these calls, which a profile would deny, sent one by one. Before [`open`](Self::open).
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn judge(&mut self, denied: impl IntoIterator<Item = CallKey>) -> Result<()> {
        match &mut self.calls {
            Some(calls) => calls.judge(denied),
            None => Ok(()),
        }
    }

    /// The view of system calls has to be there.
    ///
    /// # Errors
    /// It is not: why.
    pub fn require_calls(&self) -> Result<()> {
        if self.calls.is_some() {
            return Ok(());
        }
        let causes =
            [ViewId::SYSCALLS, ViewId::LEDGER].map(|view| causes_of(&self.unavailable, &view));
        let causes: Vec<String> = causes.into_iter().filter(|it| !it.is_empty()).collect();
        Err(Error::Unsupported(format!(
            "cannot count system calls: {}; run `ctprof check` for what is missing",
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

/// This long from now; a year from now if that is beyond the clock.
fn far(period: Duration) -> tokio::time::Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let now = tokio::time::Instant::now();
    now.checked_add(period).unwrap_or(now + YEAR)
}
