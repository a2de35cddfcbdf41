//! Typed readers of the ledger's maps.

use std::collections::HashSet;
use std::os::fd::AsFd;

use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, PerCpuValues, Queue};
use ctprof_ebpf::abi::ledger::{Account, DelayKey, Present, population};
use ctprof_ebpf::histogram::BUCKETS;
use ctprof_ebpf::timeline::Timeline;

use super::loader::Owned;
use super::maps::{Plain, failed};
use super::slot_figures::{SlotFigures, add};
use super::{Kernel, batch, batch::Retries};
use crate::{Error, Result};

// SAFETY: records of the border: `#[repr(C)]` integers without padding, so every bit pattern is a value.
unsafe impl aya::Pod for Plain<Account> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<DelayKey> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<Timeline> {}
// SAFETY: as above.
unsafe impl aya::Pod for Plain<Present> {}

/// The ledger's maps.
pub struct LedgerMaps {
    accounts: PerCpuArray<Owned, Plain<Account>>,
    waits: Array<Owned, [u64; BUCKETS]>,
    stops: Array<Owned, [u64; BUCKETS]>,
    delays: HashMap<Owned, Plain<DelayKey>, u64>,
    timelines: PerCpuArray<Owned, Plain<Timeline>>,
    burnt: HashMap<Owned, u64, u8>,
    control: Array<Owned, u32>,
    population: MapData,
    freed: Queue<Owned, u32>,
    present: PerCpuArray<Owned, Plain<Present>>,
    retries: Retries,
    /// Held open: programs that are loaded later refer to it.
    _reasons: Array<Owned, u32>,
}

impl LedgerMaps {
    /// The object's maps, with the table of reasons by system call filled in.
    ///
    /// # Errors
    /// The object lacks one of them.
    pub fn of(kernel: &mut Kernel, reasons: &[u32]) -> Result<Self> {
        let mut table: Array<Owned, u32> = kernel.take("CALL_REASONS")?;
        for (number, reason) in (0_u32..).zip(reasons) {
            table
                .set(number, *reason, 0)
                .map_err(|error| failed("fill in the system calls", &error))?;
        }
        Ok(Self {
            accounts: kernel.take("ACCOUNTS")?,
            waits: kernel.take("WAITS")?,
            stops: kernel.take("STOPS")?,
            delays: kernel.take("DELAYS")?,
            timelines: kernel.take("TIMELINES")?,
            burnt: kernel.take("BURNT")?,
            control: kernel.take("CONTROL")?,
            population: kernel.take_raw("POPULATION")?,
            freed: kernel.take("FREED")?,
            present: kernel.take("PRESENT")?,
            retries: kernel.retries(),
            _reasons: table,
        })
    }

    /// Says what the next visit to the threads is for: one of `ctprof_ebpf::abi::ledger::visit`.
    ///
    /// # Errors
    /// The map is gone.
    pub fn set_visit(&mut self, what: u32) -> Result<()> {
        self.control
            .set(0, what, 0)
            .map_err(|error| failed("control the visit to the threads", &error))
    }

    /// Says which number the next visit has.
    ///
    /// # Errors
    /// The map is gone.
    pub fn number_visit(&mut self, number: u32) -> Result<()> {
        self.control
            .set(1, number, 0)
            .map_err(|error| failed("control the visit to the threads", &error))
    }

    /// Whether every thread whose time began has had its end, and nothing was in progress a moment ago.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn all_have_ended(&self) -> Result<bool> {
        // In this order: what ended was counted before.
        let ended = self.present(|it| it.ended)?;
        Ok(self.present(|it| it.begun)? == ended)
    }

    fn present(&self, figure: impl Fn(&Present) -> u64) -> Result<u64> {
        let of_cpus = self
            .present
            .get(&0, 0)
            .map_err(|error| failed("count the threads that are in the ledger", &error))?;
        Ok(of_cpus
            .iter()
            .fold(0, |sum, Plain(it)| sum.wrapping_add(figure(it))))
    }

    /// Threads of every slot that has any, as the visit of this number found them.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn population(&self, visit: u32) -> Result<std::collections::HashMap<u32, u32>> {
        let map: &MapData = &self.population;
        let entries = map
            .info()
            .map_err(|error| failed("count the threads", &error))?;
        let mut values = vec![0; entries.max_entries() as usize];
        batch::read_array(map.fd().as_fd(), &mut values)
            .map_err(|error| Error::Failed(format!("cannot count the threads: {error}")))?;
        Ok((0..)
            .zip(values)
            .map(|(slot, value)| (slot, population::of(value, visit)))
            .filter(|(_, threads)| *threads > 0)
            .collect())
    }

    /// Empties a slot's account, for the next cgroup.
    ///
    /// # Errors
    /// A map cannot be written.
    pub fn clear(&mut self, slot: u32) -> Result<()> {
        let cannot = |error: &MapError| failed("free a slot of the ledger", error);
        let cpus = self.accounts.get(&slot, 0).map_err(|e| cannot(&e))?.len();
        let empty = PerCpuValues::try_from(vec![Plain(Account::default()); cpus])
            .map_err(|error| cannot(&MapError::from(error)))?;
        self.accounts.set(slot, empty, 0).map_err(|e| cannot(&e))?;
        self.waits
            .set(slot, [0; BUCKETS], 0)
            .map_err(|e| cannot(&e))?;
        self.stops
            .set(slot, [0; BUCKETS], 0)
            .map_err(|e| cannot(&e))
    }

    /// Slots that a CPU holds delays of back, for now.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn held_back(&self) -> Result<HashSet<u32>> {
        let timelines = self
            .timelines
            .get(&0, 0)
            .map_err(|error| failed("read the delays", &error))?;
        Ok(timelines
            .iter()
            .flat_map(|Plain(timeline)| timeline.pending)
            .filter(|pending| pending.ns > 0)
            .flat_map(|pending| [pending.victim, pending.culprit])
            .collect())
    }

    /// Takes the delays out of the matrix in which one of these slots has a part.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn take_delays(&mut self, slots: &HashSet<u32>) -> Result<Vec<(DelayKey, u64)>> {
        let mut taken = Vec::new();
        batch::read(&self.delays, &self.retries, |Plain(key), ns| {
            if slots.contains(&key.victim) || slots.contains(&key.culprit) {
                taken.push((key, ns));
            }
        })
        .map_err(|error| failed("read the delay matrix", &error))?;
        for (key, _) in &taken {
            let _ = self.delays.remove(&Plain(*key));
        }
        Ok(taken)
    }

    /// Gives a slot to whichever cgroup is born next and finds no other.
    ///
    /// # Errors
    /// The queue is full or gone.
    pub fn free(&mut self, slot: u32) -> Result<()> {
        self.freed
            .push(slot, 0)
            .map_err(|error| failed("free a slot of the ledger", &error))
    }

    /// Takes a slot back that was freed, if no cgroup has taken it meanwhile.
    pub fn take_freed(&mut self) -> Option<u32> {
        self.freed.pop(0).ok()
    }

    /// What was charged to a slot so far; `None` if nothing ever was.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn figures(&self, slot: u32) -> Result<Option<SlotFigures>> {
        self.figures_since(slot, None)
    }

    /// The same; histograms in which nothing was counted since `before` are those that it has.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn figures_since(
        &self,
        slot: u32,
        before: Option<&SlotFigures>,
    ) -> Result<Option<SlotFigures>> {
        let cannot = |error: &MapError| failed("read the ledger", error);
        let mut account = Account::default();
        for Plain(of_cpu) in self.accounts.get(&slot, 0).map_err(|e| cannot(&e))?.iter() {
            add(&mut account, of_cpu);
        }
        if account == Account::default() {
            return Ok(None);
        }
        let then = before.map(|it| it.account).unwrap_or_default();
        let waits = match before {
            Some(before) if account.waits.count == then.waits.count => before.waits,
            None if account.waits.count == 0 => [0; BUCKETS],
            _ => self.waits.get(&slot, 0).map_err(|e| cannot(&e))?,
        };
        let stops = match before {
            Some(before) if account.stops.count == then.stops.count => before.stops,
            None if account.stops.count == 0 => [0; BUCKETS],
            _ => self.stops.get(&slot, 0).map_err(|e| cannot(&e))?,
        };
        Ok(Some(SlotFigures {
            account,
            waits,
            stops,
        }))
    }

    /// The delay matrix.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn delays(&self) -> Result<Vec<(DelayKey, u64)>> {
        const ACTION: &str = "read the delay matrix";
        let mut delays = Vec::new();
        batch::read(&self.delays, &self.retries, |Plain(key), ns| {
            delays.push((key, ns));
        })
        .map_err(|error| failed(ACTION, &error))?;
        let timelines = self
            .timelines
            .get(&0, 0)
            .map_err(|error| failed(ACTION, &error))?;
        for pending in timelines
            .iter()
            .flat_map(|Plain(timeline)| timeline.pending)
        {
            let key = DelayKey {
                victim: pending.victim,
                culprit: pending.culprit,
            };
            delays.push((key, pending.ns));
        }
        Ok(delays)
    }

    /// Hands over the quota periods in which a thread was stopped since the last call.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn drain_burnt(&mut self) -> Result<Vec<u64>> {
        let mut periods = Vec::new();
        batch::drain(&mut self.burnt, &self.retries, |period, _| {
            periods.push(period);
        })
        .map_err(|error| failed("read the throttled periods", &error))?;
        Ok(periods)
    }
}

impl std::fmt::Debug for LedgerMaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerMaps").finish_non_exhaustive()
    }
}
