//! The recording itself: load, attach, drain on an interval, stop.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ctprof_ebpf::abi::scope::{SLOT_HOST, SLOT_KERNEL};
use ctprof_ebpf::abi::syscall::CallKey;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::MissedTickBehavior;

use super::ledger::LedgerRun;
use super::observer::{Ended, Observer, SlowCallSeen, Snapshot};
use super::refusals::Refusals;
use super::side_band::SideBands;
use super::start::{DRAIN_INTERVAL, SessionPlan, check, early, load, needed, rows};
use super::syscalls::CallRun;
use super::{RawCalls, RawLedger, Samples, WatchList};
use crate::bpf::{Events, Kernel, KernelEvent, Losses, SampleMaps, Sampler, ScopeMap, probes};
use crate::model::{ProcessKey, StateGroup, Unavailable};
use crate::requirements::CGROUP_NAMESPACE;
use crate::{Error, Result};

/// Notices that are acted on before the event loop looks at the clock and at signals again.
const EVENTS_PER_TURN: usize = 256;

/// Turns after the end: the ring holds about 480 notices.
const LAST_TURNS: usize = 4;

/// How often the records of what happens to processes are read: their rings hold what 2,000 programs a second and CPU write
/// in that time.
const SIDE_BAND_INTERVAL: Duration = Duration::from_millis(100);

/// Whether there are more notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    More,
}

/// A running recording. Dropping it detaches everything.
pub struct Session<'a> {
    pub(super) plan: SessionPlan<'a>,
    pub(super) kernel: Kernel,
    pub(super) scope: ScopeMap,
    pub(super) maps: SampleMaps,
    pub(super) losses: Losses,
    pub(super) events: Option<Events>,
    pub(super) sampler: Option<Sampler>,
    pub(super) ledger: Option<LedgerRun>,
    pub(super) calls: Option<CallRun>,
    pub(super) watch: WatchList,
    refused: Refusals,
    pub(super) samples: Samples,
    pub(super) unavailable: Vec<Unavailable>,
    pub(super) unknown_events: u64,
    side_bands: SideBands,
    pub(super) started: Instant,
    pub(super) ended: Option<Duration>,
}

/// What a recording brought home.
#[derive(Debug)]
pub struct Recorded {
    /// Samples and stacks.
    pub samples: Samples,
    /// The ledger's figures; `None` where there is no ledger.
    pub ledger: Option<RawLedger>,
    /// System calls; `None` where there is no such view.
    pub calls: Option<RawCalls>,
    /// Slots and cgroups.
    pub watch: WatchList,
    /// Cause -> count; every cause is there.
    pub lost: BTreeMap<String, u64>,
    /// What this kernel could not give.
    pub unavailable: Vec<Unavailable>,
    /// Time from the first sample to the last.
    pub window: Duration,
    /// CPUs sampled.
    pub cpus: usize,
}

impl<'a> Session<'a> {
    /// Loads and attaches; the recording begins with [`open`](Self::open).
    ///
    /// # Errors
    /// The kernel refuses something that recording cannot do without.
    pub fn start(plan: SessionPlan<'a>) -> Result<Self> {
        let rows = plan.map_entries.unwrap_or_else(|| rows(plan.frequency_hz));
        let mut watch = WatchList::new(&plan.hierarchy.walk("/")?, plan.roots, plan.endless);
        let mut unavailable = Vec::new();
        if plan.hierarchy.is_namespaced() {
            unavailable.push(Unavailable {
                view: "cgroups".to_owned(),
                cause: CGROUP_NAMESPACE.join("; "),
            });
        }
        let (mut kernel, throttle) = load(&plan, rows, watch.slots())?;
        let mut scope = ScopeMap::of(&mut kernel)?;
        let maps = SampleMaps::of(&mut kernel)?;
        let losses = Losses::of(&mut kernel)?;
        let events = Events::of(&mut kernel)?;

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
        let ledger = LedgerRun::load(&mut kernel, plan.layout, throttle, &mut unavailable)?;

        let calls = if ledger.is_some() {
            CallRun::load(&mut kernel, &plan.calls, &mut unavailable)?
        } else {
            None
        };

        kernel.all_loaded();
        let side_bands = side_bands(&plan, &mut unavailable);

        // Births of cgroups come first, so that none falls between them and the listing.
        for probe in ready {
            check(probe, kernel.attach(probe), &mut unavailable)?;
        }
        watch.fill(&mut scope, plan.hierarchy)?;
        let refused = Refusals::at_start(&losses, &watch)?;
        let ledger = ledger.filter(|ledger| ledger.attach(&mut kernel, &mut unavailable));
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
            unavailable,
            unknown_events: 0,
            side_bands,
            started: Instant::now(),
            ended: None,
        })
    }

    /// Begins to sample, and the ledger, when everything else is ready: ctprof's own start is nobody's business.
    ///
    /// # Errors
    /// The kernel refuses something that recording cannot do without.
    pub fn open(&mut self) -> Result<()> {
        self.started = Instant::now();
        if self.plan.stacks.contains(&StateGroup::OnCpu) {
            let plan = &self.plan;
            self.sampler = Some(Sampler::start(
                &mut self.kernel,
                plan.event,
                plan.frequency_hz,
            )?);
        }
        if let Some(ledger) = &mut self.ledger {
            let calls = self.calls.take();
            self.calls =
                calls.and_then(|calls| calls.attach(&mut self.kernel, &mut self.unavailable));
            // Before the first thread is entered: the window holds everything that is charged.
            self.started = Instant::now();
            ledger.open(&mut self.kernel)?;
        }
        Ok(())
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
        let Some(events) = self.events.take() else {
            return Err(Error::Failed("the recording has already ended".to_owned()));
        };
        let mut events = wait_on(events)?;
        let mut ticks = tokio::time::interval(DRAIN_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut side_ticks = tokio::time::interval(SIDE_BAND_INTERVAL);
        side_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
                _ = ticks.tick() => {
                    self.tick(observer)?;
                    if self.targets_are_gone()? {
                        break Ended::TargetsGone;
                    }
                }
                _ = side_ticks.tick() => self.take_side_band(observer, false),
                _ = snapshots.tick() => self.snapshot(observer)?,
                ready = events.readable_mut() => {
                    let mut ready = ready.map_err(|error| cannot_wait(&error))?;
                    if self.take_events(ready.get_inner_mut(), observer)? == Left::Nothing {
                        ready.clear_ready();
                    }
                }
            }
        };
        self.stop()?;
        self.take_side_band(observer, true);
        // What came until now, and no more: others of the host go on.
        let mut events = events.into_inner();
        for _ in 0..LAST_TURNS {
            if self.take_events(&mut events, observer)? == Left::Nothing {
                break;
            }
        }
        Ok(ended)
    }

    fn tick(&mut self, observer: &mut impl Observer) -> Result<()> {
        self.kernel.flush_log();
        self.samples.drain(&mut self.maps)?;
        if let Some(ledger) = &mut self.ledger {
            self.samples.add_burnt(ledger.burnt_periods()?);
        }
        if let Some(sampler) = &mut self.sampler {
            sampler.follow_cpus(&mut self.kernel)?;
        }
        observer.drained(self.started.elapsed(), &self.samples);
        Ok(())
    }

    /// Hands over what happened to processes.
    fn take_side_band(&mut self, observer: &mut impl Observer, is_end: bool) {
        let records = self.side_bands.take(is_end);
        if !records.is_empty() {
            observer.happened(records);
        }
    }

    fn snapshot(&mut self, observer: &mut impl Observer) -> Result<()> {
        let Some(calls) = &mut self.calls else {
            return Ok(());
        };
        let thread_time_ns = match &mut self.ledger {
            Some(ledger) => {
                ledger.settle(&mut self.kernel)?;
                let slots = self.watch.iter().map(|(slot, _)| slot);
                let slots = [SLOT_HOST, SLOT_KERNEL].into_iter().chain(slots);
                Some(ledger.read(slots, &RawLedger::default())?.thread_time_ns())
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
    pub(super) fn take_events(
        &mut self,
        events: &mut Events,
        observer: &mut impl Observer,
    ) -> Result<Left> {
        // Before the notices: whoever is told of a process knows what it had mapped by then.
        self.take_side_band(observer, false);
        let mut moved = false;
        let mut left = Left::More;
        for _ in 0..EVENTS_PER_TURN {
            let Some(event) = events.take() else {
                left = Left::Nothing;
                break;
            };
            match event {
                KernelEvent::CgroupBorn { id, slot, path } => {
                    let Some(path) = self.plan.hierarchy.path_from_kernel(&path) else {
                        // Out of sight from this cgroup namespace: its samples count as unknown.
                        continue;
                    };
                    observer.cgroup_born(&path);
                    self.watch.born(&mut self.scope, id, slot, path)?;
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
        Ok(left)
    }

    fn targets_are_gone(&self) -> Result<bool> {
        let Some(roots) = self.plan.roots else {
            return Ok(false);
        };
        for root in roots {
            if self.plan.hierarchy.lookup(root)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Nothing is sampled or charged after this.
    fn stop(&mut self) -> Result<()> {
        if self.ended.is_some() {
            return Ok(());
        }
        if let Some(calls) = &mut self.calls {
            calls.detach();
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.close(&mut self.kernel)?;
        }
        if let Some(sampler) = &mut self.sampler {
            sampler.stop(&mut self.kernel);
        }
        self.ended = Some(self.started.elapsed());
        match &mut self.ledger {
            Some(ledger) => ledger.wait_for_ends(&mut self.kernel),
            None => Ok(()),
        }
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
        let causes: Vec<String> = self
            .unavailable
            .iter()
            .filter(|it| matches!(it.view.as_str(), "syscalls" | "ledger"))
            .map(|it| it.cause.clone())
            .collect();
        Err(Error::Unsupported(format!(
            "cannot count system calls: {}; run `ctprof check` for what is missing",
            causes.join("; ")
        )))
    }

    /// Every cgroup that is watched so far.
    #[must_use]
    pub const fn watch(&self) -> &WatchList {
        &self.watch
    }

    /// What was lost so far: cause -> count; every cause is there.
    pub(super) fn lost(&self) -> Result<BTreeMap<String, u64>> {
        let mut lost: BTreeMap<String, u64> = self
            .losses
            .read()?
            .into_iter()
            .map(|(cause, count)| (cause.to_owned(), count))
            .collect();
        lost.insert("unknown_event".to_owned(), self.unknown_events);
        lost.insert("program_missed".to_owned(), self.kernel.missed_runs());
        lost.insert("map_read_again".to_owned(), self.kernel.batch_retries());
        lost.insert("mapping_dropped".to_owned(), self.side_bands.lost());
        self.refused.correct(&mut lost);
        Ok(lost)
    }

    /// Brings in what is left and unloads everything.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn finish(mut self) -> Result<Recorded> {
        self.stop()?;
        self.samples.finish(&mut self.maps)?;
        let ledger = match self.ledger.take() {
            Some(mut ledger) => {
                self.samples.add_burnt(ledger.burnt_periods()?);
                let slots = [SLOT_HOST, SLOT_KERNEL].into_iter();
                let watched = self.watch.iter().map(|(slot, _)| slot);
                Some(ledger.read(slots.chain(watched), &RawLedger::default())?)
            }
            None => None,
        };
        let calls = self.calls.take().map(CallRun::finish).transpose()?;
        self.kernel.flush_log();
        let lost = self.lost()?;
        drop(self.scope);
        Ok(Recorded {
            samples: self.samples,
            ledger,
            calls,
            watch: self.watch,
            lost,
            unavailable: self.unavailable,
            window: self.ended.unwrap_or_else(|| self.started.elapsed()),
            cpus: self.sampler.as_ref().map_or(0, Sampler::cpus),
        })
    }
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// The records of what happens to processes, where anything has stacks and the kernel lets them be had.
fn side_bands(plan: &SessionPlan<'_>, unavailable: &mut Vec<Unavailable>) -> SideBands {
    if plan.stacks.is_empty() {
        return SideBands::default();
    }
    SideBands::open().unwrap_or_else(|cause| {
        unavailable.push(Unavailable {
            view: "mappings".to_owned(),
            cause: format!(
                "processes that exit before they can be looked at have no names, and libraries that take each other's place \
                 may go unnoticed: {cause}"
            ),
        });
        SideBands::default()
    })
}

/// Has the event loop wait for notices.
pub(super) fn wait_on(events: Events) -> Result<AsyncFd<Events>> {
    // SAFETY: `Events` owns its descriptor, always names the same one, and lives in the `AsyncFd`.
    unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) }
        .map_err(|error| cannot_wait(&error))
}

pub(super) fn cannot_wait(error: &impl std::fmt::Display) -> Error {
    Error::Failed(format!("cannot wait for kernel events: {error}"))
}

/// This long from now; a year from now if that is beyond the clock.
fn far(period: Duration) -> tokio::time::Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let now = tokio::time::Instant::now();
    now.checked_add(period).unwrap_or(now + YEAR)
}
