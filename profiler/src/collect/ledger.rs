//! The ledger's raw figures, by slot.

use std::collections::{BTreeMap, HashMap};
use std::thread;
use std::time::{Duration, Instant};

use ctprof_ebpf::abi::ledger::{DelayKey, visit};

use crate::Result;
use crate::bpf::probes::{self, Probe};
use crate::bpf::{Kernel, LedgerMaps, ProbeState, SlotFigures};
use crate::host::btf::{Layout, Throttle};
use crate::host::syscalls;
use crate::model::{ProcessKey, Unavailable, ViewId};

/// How long a ledger that is closed waits for threads to end.
const LAST_ENDS: Duration = Duration::from_millis(300);
/// Time between two looks, which doubles: an exit takes less than a millisecond, unless its thread waits for a CPU.
const FIRST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// What the ledger brought home.
#[derive(Clone, Debug, Default)]
pub struct RawLedger {
    /// Figures by slot; a slot in which nothing ever happened is absent.
    pub slots: BTreeMap<u32, SlotFigures>,
    /// The delay matrix.
    pub delays: Vec<(DelayKey, u64)>,
    /// Whether throttled time is told from run-queue time.
    pub tells_throttled: bool,
    /// Whether the reason of a sleep is told.
    pub tells_reasons: bool,
}

impl RawLedger {
    /// What was counted between an earlier reading and this one. Threads have not left: their lifetime is what the states say.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let slots = self.slots.iter().map(|(slot, now)| {
            let figures = before
                .slots
                .get(slot)
                .map_or_else(|| now.clone(), |then| now.since(then));
            (*slot, figures.of_unended())
        });
        let mut delays: HashMap<DelayKey, u64> = HashMap::new();
        for (key, ns) in &self.delays {
            *delays.entry(*key).or_default() += ns;
        }
        for (key, ns) in &before.delays {
            if let Some(sum) = delays.get_mut(key) {
                *sum = sum.saturating_sub(*ns);
            }
        }
        delays.retain(|_, ns| *ns > 0);
        Self {
            slots: slots.collect(),
            delays: delays.into_iter().collect(),
            tells_throttled: self.tells_throttled,
            tells_reasons: self.tells_reasons,
        }
    }

    /// Time of the threads of each slot, in whatever state.
    #[must_use]
    pub fn thread_time_ns(&self) -> HashMap<u32, u64> {
        let slots = self.slots.iter();
        slots
            .map(|(slot, figures)| (*slot, figures.account.time_ns.iter().sum()))
            .collect()
    }
}

/// A running ledger.
#[derive(Debug)]
pub(super) struct LedgerRun {
    maps: LedgerMaps,
    extra: Vec<&'static Probe>,
    /// What it can tell; its figures are in the maps.
    raw: RawLedger,
    /// Visits that settled, modulo what fits.
    visits: u32,
    closed: bool,
}

impl LedgerRun {
    /// Loads the scheduler's hooks. `None` where the kernel refuses: what is missing, and why, is then in
    /// `unavailable`.
    pub(super) fn load(
        kernel: &mut Kernel,
        layout: &Layout,
        throttle: Throttle,
        unavailable: &mut Vec<Unavailable>,
    ) -> Result<Option<Self>> {
        if let Some(missing) = &layout.lacks_for_ledger {
            unavailable.push(no_ledger(&missing.to_string()));
            return Ok(None);
        }
        let maps = LedgerMaps::of(kernel, &syscalls::reasons())?;
        for probe in probes::LEDGER.iter().chain([&probes::VISIT]) {
            if let Err(cause) = done(kernel.load_probe(probe)) {
                unavailable.push(no_ledger(&format!("cannot load {}: {cause}", probe.id)));
                return Ok(None);
            }
        }
        let mut extra = Vec::new();
        for probe in probes::LEDGER_EXTRA {
            match done(kernel.load_probe(probe)) {
                Ok(()) => extra.push(probe),
                Err(cause) => unavailable.push(without(probe, &cause)),
            }
        }
        match throttle {
            Throttle::Unknown => unavailable.push(Unavailable {
                view: ViewId::THROTTLED,
                cause: "this kernel does not say when a quota stops a thread: throttled time is part of the run queue".to_owned(),
            }),
            Throttle::ByPelt => unavailable.push(Unavailable {
                view: ViewId::THROTTLED_EXACT,
                cause: probes::THROTTLE[0][0].without.to_owned(),
            }),
            Throttle::ByThread | Throttle::ByQueue | Throttle::ByHook => {}
        }
        if !layout.tells_syscalls() {
            unavailable.push(Unavailable {
                view: ViewId::BLOCKED_REASONS,
                cause: "this kernel does not say which system call a thread sleeps in: all blocked time is \"other\"".to_owned(),
            });
        }
        Ok(Some(Self {
            maps,
            extra,
            raw: RawLedger {
                tells_throttled: throttle != Throttle::Unknown,
                tells_reasons: layout.tells_syscalls(),
                ..RawLedger::default()
            },
            visits: 0,
            closed: false,
        }))
    }

    /// Attaches the hooks; false where the kernel refuses one that it cannot do without.
    pub(super) fn attach(&self, kernel: &mut Kernel, unavailable: &mut Vec<Unavailable>) -> bool {
        for probe in &self.extra {
            if let Err(cause) = done(kernel.attach(probe)) {
                unavailable.push(without(probe, &cause));
            }
        }
        for probe in probes::LEDGER {
            if let Err(cause) = done(kernel.attach(probe)) {
                unavailable.push(no_ledger(&format!("cannot attach {}: {cause}", probe.id)));
                return false;
            }
        }
        true
    }

    /// Enters every thread that there is: the ledger begins. Returns the processes whose stacks are wanted.
    pub(super) fn open(&mut self, kernel: &mut Kernel) -> Result<Vec<ProcessKey>> {
        self.maps.set_visit(visit::OPEN)?;
        kernel.visit(&probes::VISIT)
    }

    /// Looks which threads are in another cgroup by now.
    pub(super) fn follow(&mut self, kernel: &mut Kernel) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        self.maps.set_visit(visit::FOLLOW)?;
        kernel.visit(&probes::VISIT).map(drop)
    }

    /// Finds out which threads are in a cgroup that has a slot only now.
    pub(super) fn look_again(&mut self, kernel: &mut Kernel) -> Result<()> {
        self.maps.set_visit(visit::LOOK_AGAIN)?;
        kernel.visit(&probes::VISIT)?;
        self.follow(kernel)
    }

    /// The quota periods in which a thread was stopped since the last call.
    pub(super) fn burnt_periods(&mut self) -> Result<Vec<u64>> {
        self.maps.drain_burnt()
    }

    /// Ends the ledger: nothing that happens after this counts.
    pub(super) fn end(&mut self, kernel: &mut Kernel) -> Result<()> {
        self.closed = true;
        self.maps.set_visit(visit::END)?;
        kernel.visit(&probes::VISIT).map(drop)
    }

    /// After [`end`](Self::end): charges what every thread had done by then since its last event, but for a few that no visit
    /// sees.
    pub(super) fn close(&mut self, kernel: &mut Kernel) -> Result<()> {
        grace_period();
        self.maps.set_visit(visit::CLOSE)?;
        kernel.visit(&probes::VISIT).map(drop)
    }

    /// After [`close`](Self::close): waits for the end of threads that are on their way out, which the kernel shows to no
    /// visit any more, and takes out those that were on their way in. Usually there are none, and this returns at once. One
    /// that has not ended after 300 ms never will in time: `RawLedger` tells by its slot's account.
    pub(super) fn wait_for_ends(&mut self, kernel: &mut Kernel) -> Result<()> {
        let deadline = Instant::now() + LAST_ENDS;
        let mut pause = FIRST_PAUSE;
        while !self.maps.all_have_ended()? && Instant::now() < deadline {
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            kernel.visit(&probes::VISIT)?;
        }
        Ok(())
    }

    /// Charges what every thread has done since its last event, and counts the threads of every slot.
    pub(super) fn settle(&mut self, kernel: &mut Kernel) -> Result<()> {
        self.visits = self.visits.wrapping_add(1).max(1);
        self.maps.number_visit(self.visits)?;
        self.maps.set_visit(visit::SETTLE)?;
        kernel.visit(&probes::VISIT).map(drop)
    }

    /// The figures of these slots and the delay matrix, as they are now.
    ///
    /// `before` is an earlier reading, in which no slot had another cgroup.
    pub(super) fn read(
        &self,
        slots: impl Iterator<Item = u32>,
        before: &RawLedger,
    ) -> Result<RawLedger> {
        let mut raw = self.read_accounts(slots, before)?;
        raw.delays = self.maps.delays()?;
        Ok(raw)
    }

    /// The same without the delay matrix.
    pub(super) fn read_accounts(
        &self,
        slots: impl Iterator<Item = u32>,
        before: &RawLedger,
    ) -> Result<RawLedger> {
        let mut raw = self.raw.clone();
        for slot in slots {
            if let Some(figures) = self.maps.figures_since(slot, before.slots.get(&slot))? {
                raw.slots.insert(slot, figures);
            }
        }
        Ok(raw)
    }

    /// Whose stacks are wanted has changed, or is about to: counts what is open of those that are wanted now, and takes or
    /// forgets the stacks of threads that do not run.
    pub(super) fn stacks(&mut self, kernel: &mut Kernel) -> Result<()> {
        self.maps.set_visit(visit::STACKS)?;
        kernel.visit(&probes::VISIT).map(drop)
    }

    /// Whether any thread's time goes on in this slot.
    pub(super) fn has_threads(&self, slot: u32) -> Result<bool> {
        let figures = self.maps.figures(slot)?;
        Ok(figures.is_some_and(|figures| figures.account.present != 0))
    }

    /// Threads by slot at the last [`settle`](Self::settle); slots without any are absent.
    pub(super) fn population(&self) -> Result<HashMap<u32, u32>> {
        self.maps.population(self.visits)
    }

    /// The maps, to take slots out of them.
    pub(super) const fn maps(&mut self) -> &mut LedgerMaps {
        &mut self.maps
    }
}

/// Waits until every BPF program that runs now is through: `membarrier(2)` with this command is the kernel's
/// `synchronize_rcu()`. Where there is none (`CONFIG_MEMBARRIER`, `nohz_full`), a pause longer than any program runs.
pub(super) fn grace_period() {
    // SAFETY: the call has no effect on memory.
    let failed = unsafe {
        libc::syscall(
            libc::SYS_membarrier,
            libc::MEMBARRIER_CMD_GLOBAL,
            0_u32,
            0_i32,
        )
    };
    if failed != 0 {
        thread::sleep(LONGEST_PAUSE);
    }
}

/// Hooks the stops and releases of run queues, one way or the other.
pub(super) fn attach_throttle(kernel: &mut Kernel) -> Result<(), String> {
    let mut causes = Vec::new();
    for way in &probes::THROTTLE {
        let both = way.iter().try_for_each(|probe| {
            done(kernel.load_probe(probe))?;
            done(kernel.attach(probe))
        });
        match both {
            Ok(()) => return Ok(()),
            Err(cause) => causes.push(cause),
        }
    }
    Err(causes.join("; "))
}

fn done(state: ProbeState) -> Result<(), String> {
    match state {
        ProbeState::Attached => Ok(()),
        ProbeState::Skipped(cause) | ProbeState::Failed(cause) => Err(cause),
    }
}

fn without(probe: &Probe, cause: &str) -> Unavailable {
    Unavailable {
        view: ViewId::new(probe.id),
        cause: format!("{}: {cause}", probe.without),
    }
}

fn no_ledger(cause: &str) -> Unavailable {
    Unavailable {
        view: ViewId::LEDGER,
        cause: format!("no time ledger, only on-CPU samples: {cause}"),
    }
}
