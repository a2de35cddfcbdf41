//! A recording without an end: the ledger can be read while it goes on, and slots of cgroups that are gone are given to
//! others.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::ledger::LedgerRun;
use super::pace::Pace;
use super::session::causes_of;
use super::{Observer, RawLedger, RawViews, Session, SessionPlan, WatchList};
use crate::bpf::{ProgramFigures, SlotFigures};
use crate::model::{Loss, Losses, Unavailable, ViewId};
use crate::{Error, Result};
use ctprof_ebpf::abi::ledger::DelayKey;

/// How long a cgroup has been gone before its slot is given away: a wait that began before it went has long ended.
const QUARANTINE: Duration = Duration::from_secs(5);

/// How often the whole hierarchy is listed again, at most: for each 262,144 cgroups that takes a second.
const RELIST: Duration = Duration::from_secs(15);
/// And what part of the time that may take.
const RELIST_PART: u32 = 50;

/// The running ledger.
#[derive(Debug)]
pub struct Live<'a> {
    pub(super) session: Session<'a>,
    pace: Pace,
    dropped: u64,
    /// Cgroups that the kernel half gave no slot, as of the last try to give them one.
    refused: u64,
    /// There may be slots for those that have none.
    has_room: bool,
    /// When the hierarchy may be listed again.
    relist: Instant,
    /// The last reading, for what has not changed since.
    pub(super) last: RawLedger,
}

/// The ledger at one moment.
#[derive(Debug)]
pub struct Settled<'a> {
    /// Figures of every slot that is in use. Threads have not left: there is no lifetime to compare them with.
    pub ledger: &'a RawLedger,
    /// What was counted for views so far.
    pub raw: RawViews,
    /// Threads alive, by slot; those without any are absent.
    pub threads: HashMap<u32, u32>,
}

/// A cgroup that is gone, with everything that it ever did.
#[derive(Debug)]
pub struct Retired {
    /// Its slot, which is another's from now on.
    pub slot: u32,
    /// Path of the cgroup.
    pub path: String,
    /// Its figures; `None` where nothing ever happened in it.
    pub figures: Option<SlotFigures>,
}

/// Cgroups that are gone, and the delays in which they had a part, as culprit or victim.
#[derive(Debug, Default)]
pub struct Retirement {
    /// The cgroups.
    pub cgroups: Vec<Retired>,
    /// Their part of the delay matrix; the other slot may be in use.
    pub delays: Vec<(DelayKey, u64)>,
    /// What was counted for views of them.
    pub raw: RawViews,
}

impl<'a> Live<'a> {
    /// Attaches everything and enters every thread that there is.
    ///
    /// # Errors
    /// The kernel refuses something: without the ledger there is nothing to read.
    pub fn start(plan: SessionPlan<'a>) -> Result<Self> {
        let mut session = Session::start(plan)?;
        session.open()?;
        if session.ledger.is_none() {
            return Err(Error::Unsupported(format!(
                "{}; run `ctprof check` for what is missing",
                causes_of(&session.unavailable, &ViewId::LEDGER)
            )));
        }
        let pace = session.pace()?;
        Ok(Self {
            session,
            pace,
            dropped: 0,
            refused: 0,
            has_room: true,
            relist: Instant::now(),
            last: RawLedger::default(),
        })
    }

    /// Waits for the next thing that happens, and acts on it. Cancel-safe.
    ///
    /// # Errors
    /// A map cannot be read any more.
    pub async fn happens(&mut self, observer: &mut impl Observer) -> Result<()> {
        self.session.step(&mut self.pace, observer).await?;
        Ok(())
    }

    /// Finds births and ends of cgroups whose notices were dropped, if any were, and gives those a slot that had none
    /// where there are slots again.
    ///
    /// # Errors
    /// The hierarchy cannot be read.
    pub fn catch_up(&mut self) -> Result<()> {
        let begun = Instant::now();
        if begun < self.relist {
            return Ok(());
        }
        let lost = self.lost()?;
        let of = |cause| lost.get(&cause).copied().unwrap_or(0);
        let dropped = of(Loss::EventDropped);
        let refused = of(Loss::ScopeFull) + of(Loss::SubtreeFull);
        let session = &mut self.session;
        let is_short = session.watch.has_refused() || refused != self.refused;
        if dropped == self.dropped && !(is_short && self.has_room) {
            return Ok(());
        }
        self.dropped = dropped;
        self.refused = refused;
        self.has_room = false;
        let before = session.scope.all();
        let existing = session.plan.env.hierarchy.walk("/")?;
        let mut maps = session.ledger.as_mut().map(LedgerRun::maps);
        let new = session.watch.list(&mut session.scope, &existing, || {
            maps.as_mut()?.take_freed()
        })?;
        session
            .watch
            .keep_only(&session.scope, &before, &existing)?;
        if let Some(ledger) = &mut session.ledger
            && new > 0
        {
            ledger.look_again(&mut session.kernel)?;
        }
        self.relist = Instant::now() + RELIST.max(begun.elapsed() * RELIST_PART);
        Ok(())
    }

    /// Charges what every thread has done so far; threads alive, by slot, those without any absent.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn visit(&mut self) -> Result<HashMap<u32, u32>> {
        let session = &mut self.session;
        let Some(ledger) = &mut session.ledger else {
            return Err(no_ledger());
        };
        ledger.settle(&mut session.kernel)?;
        ledger.population()
    }

    /// The ledger of now, and which slot is which cgroup.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn settle(&mut self) -> Result<(Settled<'_>, &WatchList)> {
        let threads = self.visit()?;
        let session = &mut self.session;
        let Some(ledger) = &mut session.ledger else {
            return Err(no_ledger());
        };
        let raw = session.views.read()?;
        self.last = ledger.read(session.watch.every_slot(), &self.last)?;
        let settled = Settled {
            ledger: &self.last,
            raw,
            threads,
        };
        Ok((settled, &session.watch))
    }

    /// Takes cgroups that are gone out of the ledger and frees their slots. `threads` are those of the last
    /// [`visit`](Self::visit): a slot with one in it is not free yet.
    ///
    /// # Errors
    /// A map cannot be read or written.
    pub fn retire(&mut self, threads: &HashMap<u32, u32>) -> Result<Retirement> {
        let session = &mut self.session;
        let Some(ledger) = &mut session.ledger else {
            return Ok(Retirement::default());
        };
        let mut slots: HashSet<u32> = session
            .watch
            .gone_for(QUARANTINE)
            .filter(|slot| !threads.contains_key(slot))
            // What a window in the making holds is still read.
            .filter(|slot| {
                !session
                    .takes
                    .as_ref()
                    .is_some_and(|takes| takes.wants(*slot))
            })
            .collect();
        if slots.is_empty() {
            return Ok(Retirement::default());
        }
        let maps = ledger.maps();
        for slot in maps.held_back()? {
            slots.remove(&slot);
        }
        let raw = session.views.take(&mut slots)?;
        let mut retirement = Retirement {
            cgroups: Vec::new(),
            delays: maps.take_delays(&slots)?,
            raw,
        };
        for slot in slots {
            let figures = maps.figures(slot)?;
            let Some(path) = session.watch.forget(&mut session.scope, slot)? else {
                continue;
            };
            maps.clear(slot)?;
            if let Some(takes) = &mut session.takes {
                takes.forget(slot)?;
            }
            maps.free(slot)?;
            self.last.slots.remove(&slot);
            self.has_room = true;
            retirement.cgroups.push(Retired {
                slot,
                path,
                figures,
            });
        }
        Ok(retirement)
    }

    /// Slots and cgroups.
    #[must_use]
    pub const fn watch(&self) -> &WatchList {
        &self.session.watch
    }

    /// What was lost so far.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn lost(&self) -> Result<Losses> {
        self.session.lost()
    }

    /// What this kernel could not give.
    #[must_use]
    pub fn unavailable(&self) -> &[Unavailable] {
        &self.session.unavailable
    }

    /// What each program has cost so far.
    #[must_use]
    pub fn programs(&self) -> Vec<ProgramFigures> {
        self.session.kernel.programs()
    }
}

fn no_ledger() -> Error {
    Error::Failed("there is no ledger".to_owned())
}
