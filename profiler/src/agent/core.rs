//! Keeps the ledger running and answers with readings.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::followed::FollowedStolen;
use super::groups::Groups;
use super::handle::{Request, Requests};
use super::windows::{Windows, Witness};
use crate::Result;
use crate::bpf::{SamplingEvent, Statistics};
use crate::collect::{Endless, Environment, Hooks, Live, SessionPlan, Unwind};
use crate::host::stolen::stolen;
use crate::host::{Host, kernel};
use crate::model::{Grouping, ProgramCost, Reading, StateGroup, Unavailable, ViewId};
use crate::target::Resolved;
use crate::views;

/// A reading is not made anew more often than this, however often somebody asks.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(500);
/// Samples per second and CPU of windows with stacks; does not beat with timers that tick 100 times a second.
const FREQUENCY_HZ: u64 = 99;
/// How often names are looked for, and cgroups that are gone put away.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two visits to the threads that nobody asked for: they are needed to put cgroups away.
const TICKS_A_VISIT: u32 = 5;

/// What the core is to do.
#[derive(Clone, Debug)]
pub struct CorePlan {
    /// By what rows are told apart.
    pub grouping: Grouping,
    /// Windows with stacks may be asked for.
    pub profiles: bool,
    /// How their user stacks are unwound.
    pub unwind: Unwind,
    /// Views that are measured because somebody asked.
    pub views: BTreeSet<ViewId>,
    /// Views that are measured because nobody said not to.
    pub standing: BTreeSet<ViewId>,
    /// Let the kernel measure what BPF programs cost.
    pub bpf_statistics: bool,
    /// Most rows of a reading; those beyond count as `other`.
    pub max_groups: usize,
    /// Culprits that each row names; the others are summed up.
    pub top_culprits: usize,
    /// How long a group that ended still appears, at least; it always appears once.
    pub linger: Duration,
    /// Slots for cgroups born from now on, fewer than the host may need: makes giving them again testable.
    pub born_slots: Option<u32>,
    /// Let the kernel half log what it does.
    pub log: bool,
}

impl Default for CorePlan {
    fn default() -> Self {
        Self {
            grouping: Grouping::default(),
            profiles: false,
            unwind: Unwind::Auto,
            views: BTreeSet::new(),
            standing: BTreeSet::new(),
            bpf_statistics: false,
            max_groups: 2_000,
            top_culprits: 5,
            linger: Duration::from_secs(120),
            born_slots: None,
            log: false,
        }
    }
}

/// Runs until `stop` resolves. `ready` becomes true when everything is attached. A plan that comes later through
/// `plans` takes effect as far as it can without a restart: grouping, limits, linger.
///
/// # Errors
/// The kernel refuses something that the agent cannot do without.
pub async fn run(
    env: &Environment,
    mut plans: watch::Receiver<CorePlan>,
    mut requests: Requests,
    ready: watch::Sender<bool>,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let plan = plans.borrow_and_update().clone();
    let statistics = plan.bpf_statistics.then(Statistics::enable).transpose()?;
    let everything = Resolved::default();
    let event = SamplingEvent::best();
    let mut unavailable = Vec::new();
    let mut views = views::asked(env, &plan.views)?;
    for (_, it) in views::standing().filter(|(view, _)| plan.standing.contains(view)) {
        match (it.hooks)(env, event) {
            Ok(hooks) => views.push(hooks),
            Err(cause) => unavailable.push(cause),
        }
    }
    let views: Vec<&dyn Hooks> = views.iter().map(|view| &**view).collect();
    let session = SessionPlan {
        event,
        frequency_hz: frequency(&env.host),
        stacks: if plan.profiles { &StateGroup::ALL } else { &[] },
        stacks_on_demand: plan.profiles,
        unwind: plan.unwind,
        views: &views,
        endless: Some(Endless {
            born_slots: plan.born_slots,
        }),
        log: plan.log,
        ..SessionPlan::new(env, &everything)
    };
    let frequency_hz = session.frequency_hz;
    let live = Live::start(session)?;
    let groups = Groups::new(&plan, &env.hierarchy, env.containers());
    let mut core = Core {
        host: &env.host,
        live,
        groups,
        windows: Windows::new(frequency_hz, event),
        plan: plan.clone(),
        started: Instant::now(),
        last: None,
        stolen: FollowedStolen::default(),
        statistics,
        unavailable,
    };
    let _ = ready.send(true);
    // What the kernel counted before does not count: its figures are compared with those of now.
    core.reading()?;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut until_visit = TICKS_A_VISIT;
    tokio::pin!(stop);
    loop {
        let mut witness = Witness {
            groups: &mut core.groups,
            windows: &mut core.windows,
        };
        tokio::select! {
            () = &mut stop => return Ok(()),
            Some(request) = requests.next() => core.answer(request)?,
            result = core.live.happens(&mut witness) => result?,
            _ = ticks.tick() => {
                until_visit = until_visit.checked_sub(1).unwrap_or(TICKS_A_VISIT);
                core.tick(until_visit == 0)?;
            }
            Ok(()) = plans.changed() => {
                core.plan = plans.borrow_and_update().clone();
                core.groups.reload(&core.plan);
                core.last = None;
            }
        }
    }
}

struct Core<'a> {
    host: &'a Host,
    live: Live<'a>,
    groups: Groups<'a>,
    windows: Windows,
    plan: CorePlan,
    started: Instant,
    last: Option<(Instant, Arc<Reading>)>,
    stolen: FollowedStolen,
    statistics: Option<Statistics>,
    /// What was known not to be there before the session began.
    unavailable: Vec<Unavailable>,
}

impl Core<'_> {
    fn answer(&mut self, request: Request) -> Result<()> {
        // Whoever asked may have gone.
        match request {
            Request::Reading(answer) => _ = answer.send(self.reading()?),
            Request::Begin(begin) => self.windows.begin(&mut self.live, *begin),
            Request::Found(found) => {
                self.groups.found(found);
                self.last = None;
            }
            Request::End(id, answer) => {
                let _ = answer.send(self.windows.end(&mut self.live, id));
            }
        }
        Ok(())
    }

    /// The figures of now, or those of a moment ago.
    fn reading(&mut self) -> Result<Arc<Reading>> {
        if let Some((at, reading)) = &self.last
            && at.elapsed() < SHORTEST_INTERVAL
        {
            return Ok(Arc::clone(reading));
        }
        let reading = Arc::new(self.read()?);
        self.last = Some((Instant::now(), Arc::clone(&reading)));
        Ok(reading)
    }

    fn read(&mut self) -> Result<Reading> {
        self.groups.refresh();
        let (mut reading, threads) = {
            let (settled, watch) = self.live.settle()?;
            let reading = self.groups.read(&settled, watch);
            (reading, settled.threads)
        };
        self.put_away(&threads)?;
        reading.uptime = self.started.elapsed();
        reading.stolen = self.stolen.follow(stolen(self.host));
        reading.lost = self.live.lost()?;
        reading.unavailable = [self.live.unavailable(), &self.unavailable].concat();
        reading.programs = self.programs();
        Ok(reading)
    }

    fn tick(&mut self, visit: bool) -> Result<()> {
        self.live.catch_up()?;
        self.windows.end_forgotten(&mut self.live)?;
        self.groups.refresh();
        if visit && self.live.watch().has_gone() {
            let threads = self.live.visit()?;
            self.put_away(&threads)?;
        }
        Ok(())
    }

    /// Takes over what cgroups that are gone did; `threads` are those of the last visit.
    fn put_away(&mut self, threads: &HashMap<u32, u32>) -> Result<()> {
        let retirement = self.live.retire(threads)?;
        self.groups.retire(&retirement, self.live.watch());
        Ok(())
    }

    fn programs(&self) -> Vec<ProgramCost> {
        self.live
            .programs()
            .into_iter()
            .map(|program| ProgramCost {
                name: program.name,
                verified_instructions: program.verified,
                runs: self
                    .statistics
                    .as_ref()
                    .map(|_| (program.runs, program.time)),
            })
            .collect()
    }
}

/// perf lowers its own limit when interrupts take long.
fn frequency(host: &Host) -> u64 {
    match kernel::sysctl(host, "kernel/perf_event_max_sample_rate") {
        Some(limit) if limit > 0 => FREQUENCY_HZ.min(limit.unsigned_abs()),
        _ => FREQUENCY_HZ,
    }
}
