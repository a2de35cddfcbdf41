//! Keeps the ledger running and answers with readings.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::followed::FollowedStolen;
use super::groups::Groups;
use super::handle::Requests;
use crate::Result;
use crate::bpf::{CallPlan, SamplingEvent, Statistics};
use crate::collect::{Endless, Live, Observer, Samples, SessionPlan};
use crate::host::Host;
use crate::host::cgroup::Hierarchy;
use crate::host::containers::Containers;
use crate::host::stolen::stolen;
use crate::model::{Grouping, ProcessKey, ProgramCost, Reading};
use crate::recording::layout;

/// A reading is not made anew more often than this, however often somebody asks.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(500);
/// How often names are looked for, and cgroups that are gone put away.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two visits to the threads that nobody asked for: they are needed to put cgroups away.
const TICKS_A_VISIT: u32 = 5;

/// What the core is to do.
#[derive(Clone, Debug)]
pub struct CorePlan {
    /// The kernel's type information, if not where the kernel publishes it.
    pub btf: Option<PathBuf>,
    /// By what rows are told apart.
    pub grouping: Grouping,
    /// Count system calls, too.
    pub syscalls: bool,
    /// Let the kernel measure what BPF programs cost.
    pub bpf_statistics: bool,
    /// Most rows of a reading; those beyond count as `other`.
    pub max_groups: usize,
    /// Culprits that are told by name, a row.
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
            btf: None,
            grouping: Grouping::default(),
            syscalls: false,
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
    mut plans: watch::Receiver<CorePlan>,
    mut requests: Requests,
    ready: watch::Sender<bool>,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let plan = plans.borrow_and_update().clone();
    let host = Host::default();
    let hierarchy = Hierarchy::detect(&host)?;
    let layout = layout(plan.btf.as_deref(), &hierarchy)?;
    let statistics = plan.bpf_statistics.then(Statistics::enable).transpose()?;
    let live = Live::start(SessionPlan {
        layout: &layout,
        btf: plan.btf.as_deref(),
        hierarchy: &hierarchy,
        roots: None,
        event: SamplingEvent::CpuClock,
        frequency_hz: 1,
        map_entries: Some(1),
        throttle: None,
        stacks: &[],
        min_block: Duration::ZERO,
        calls: if plan.syscalls {
            CallPlan::timed(hierarchy.walk("/")?.len())
        } else {
            CallPlan::default()
        },
        interval: None,
        endless: Some(Endless {
            born_slots: plan.born_slots,
        }),
        log: plan.log,
    })?;
    let groups = Groups::new(&plan, &hierarchy, Containers::new(&host, &hierarchy));
    let mut core = Core {
        host,
        live,
        groups,
        plan: plan.clone(),
        started: Instant::now(),
        last: None,
        stolen: FollowedStolen::default(),
        statistics,
    };
    let _ = ready.send(true);
    // What the kernel counted before does not count: its figures are compared with those of now.
    core.reading()?;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut until_visit = TICKS_A_VISIT;
    tokio::pin!(stop);
    loop {
        let mut births = Births(&mut core.groups);
        tokio::select! {
            () = &mut stop => return Ok(()),
            Some(answer) = requests.next() => {
                // Whoever asked may have gone.
                let _ = answer.send(core.reading()?);
            }
            result = core.live.happens(&mut births) => result?,
            _ = ticks.tick() => {
                until_visit = until_visit.checked_sub(1).unwrap_or(TICKS_A_VISIT);
                core.tick(until_visit == 0)?;
            }
            Ok(()) = plans.changed() => {
                core.plan = plans.borrow_and_update().clone();
                core.groups.regroup(core.plan.grouping);
                core.last = None;
            }
        }
    }
}

struct Core<'a> {
    host: Host,
    live: Live<'a>,
    groups: Groups<'a>,
    plan: CorePlan,
    started: Instant,
    last: Option<(Instant, Arc<Reading>)>,
    stolen: FollowedStolen,
    statistics: Option<Statistics>,
}

impl Core<'_> {
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
            let reading = self.groups.read(&settled, watch, &self.plan);
            (reading, settled.threads)
        };
        self.put_away(&threads)?;
        reading.uptime = self.started.elapsed();
        reading.stolen = self.stolen.follow(stolen(&self.host));
        reading.lost = self.live.lost()?;
        reading.unavailable = self.live.unavailable().to_vec();
        reading.programs = self.programs();
        Ok(reading)
    }

    fn tick(&mut self, visit: bool) -> Result<()> {
        self.live.catch_up()?;
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
        self.groups
            .retire(retirement, self.live.watch(), &self.plan);
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

/// Names newborn cgroups while their runtime's files are there.
struct Births<'g, 'a>(&'g mut Groups<'a>);

impl Observer for Births<'_, '_> {
    fn process_seen(&mut self, _: ProcessKey, _: ProcessKey) {}

    fn cgroup_born(&mut self, path: &str) {
        self.0.born(path);
    }

    fn drained(&mut self, _: Duration, _: &Samples) {}
}
