//! The ledger's raw figures, by slot.

use std::collections::{BTreeMap, HashMap};

use ctprof_ebpf::abi::ledger::{DelayKey, visit};

use crate::Result;
use crate::bpf::probes::{self, Probe};
use crate::bpf::{Kernel, LedgerMaps, ProbeState, SlotFigures};
use crate::host::btf::{Layout, Throttle};
use crate::host::syscalls;
use crate::model::Unavailable;

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
                view: "throttled".to_owned(),
                cause: "this kernel does not say when a quota stops a thread: throttled time is part of the run queue".to_owned(),
            }),
            Throttle::ByPelt => unavailable.push(Unavailable {
                view: "throttled.exact".to_owned(),
                cause: probes::THROTTLE[0][0].without.to_owned(),
            }),
            Throttle::ByThread | Throttle::ByQueue | Throttle::ByHook => {}
        }
        if !layout.tells_syscalls() {
            unavailable.push(Unavailable {
                view: "blocked_reasons".to_owned(),
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

    /// Enters every thread that there is: the ledger begins.
    pub(super) fn open(&mut self, kernel: &mut Kernel) -> Result<()> {
        self.maps.set_visit(visit::OPEN)?;
        kernel.visit(&probes::VISIT)
    }

    /// Looks which threads are in another cgroup by now.
    pub(super) fn follow(&mut self, kernel: &mut Kernel) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        self.maps.set_visit(visit::FOLLOW)?;
        kernel.visit(&probes::VISIT)
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

    /// Charges what every thread has done since its last event: nothing is charged after this.
    pub(super) fn close(&mut self, kernel: &mut Kernel) -> Result<()> {
        if !std::mem::replace(&mut self.closed, true) {
            self.maps.set_visit(visit::CLOSE)?;
            kernel.visit(&probes::VISIT)?;
        }
        Ok(())
    }

    /// Charges what every thread has done since its last event, and counts the threads of every slot.
    pub(super) fn settle(&mut self, kernel: &mut Kernel) -> Result<()> {
        self.visits = self.visits.wrapping_add(1).max(1);
        self.maps.number_visit(self.visits)?;
        self.maps.set_visit(visit::SETTLE)?;
        kernel.visit(&probes::VISIT)
    }

    /// The figures of these slots and the delay matrix, as they are now.
    ///
    /// `before` is an earlier reading, in which no slot had another cgroup.
    pub(super) fn read(
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
        raw.delays = self.maps.delays()?;
        Ok(raw)
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
        view: probe.id.to_owned(),
        cause: format!("{}: {cause}", probe.without),
    }
}

fn no_ledger(cause: &str) -> Unavailable {
    Unavailable {
        view: "ledger".to_owned(),
        cause: format!("no time ledger, only on-CPU samples: {cause}"),
    }
}
