//! On-CPU sampling: one perf event on every CPU that is online, now and later.

use std::collections::BTreeMap;

use aya::programs::perf_event::{
    HardwareEvent, PerfEvent, PerfEventConfig, PerfEventLinkId, PerfEventScope, SamplePolicy,
    SoftwareEvent,
};
use aya::util::nr_cpus;

use super::{Kernel, describe, probes::ON_CPU};
use crate::{Error, Result};

/// What makes a CPU take a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplingEvent {
    /// Hardware cycles: can look into code that runs with interrupts off. Often absent in virtual machines.
    Cycles,
    /// The kernel's per-CPU clock: works everywhere, at an exact rate.
    CpuClock,
}

impl SamplingEvent {
    /// The name that perf uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cycles => "cycles",
            Self::CpuClock => "cpu-clock",
        }
    }

    /// Whether the hardware under this kernel counts cycles.
    fn has_cycles() -> bool {
        perf_event::Builder::new()
            .kind(perf_event::events::Hardware::CPU_CYCLES)
            .build()
            .is_ok()
    }

    /// Cycles where the hardware has them, else the clock.
    #[must_use]
    pub fn best() -> Self {
        if Self::has_cycles() {
            Self::Cycles
        } else {
            Self::CpuClock
        }
    }

    const fn config(self) -> PerfEventConfig {
        match self {
            Self::Cycles => PerfEventConfig::Hardware(HardwareEvent::CpuCycles),
            Self::CpuClock => PerfEventConfig::Software(SoftwareEvent::CpuClock),
        }
    }
}

/// Above this frequency there are several clocks a CPU, of about half as much each.
const ONE_CLOCK_HZ: u64 = 2_000;

/// The frequencies of the clocks that sample a CPU. A single fast clock beats with loops that take about as long as its
/// period: it then sees the same function each time, however many samples there are. Of several slow ones, none of them a
/// multiple of another, each sees another phase.
fn clocks(event: SamplingEvent, frequency_hz: u64) -> Vec<u64> {
    if event != SamplingEvent::CpuClock || frequency_hz <= ONE_CLOCK_HZ {
        return vec![frequency_hz];
    }
    let count = frequency_hz.div_ceil(ONE_CLOCK_HZ / 2);
    let mean = frequency_hz / count;
    // From 7/10 to 13/10 of the mean, evenly spread; what rounding leaves goes to the last.
    let mut clocks: Vec<u64> = (0..count)
        .map(|clock| mean * 7 / 10 + mean * 6 * clock / (10 * (count - 1)))
        .collect();
    let sum: u64 = clocks.iter().sum();
    if let Some(last) = clocks.last_mut() {
        *last = (*last + frequency_hz).saturating_sub(sum).max(1);
    }
    clocks
}

/// The attached perf events, by CPU.
#[derive(Debug)]
pub struct Sampler {
    program: &'static str,
    event: SamplingEvent,
    clocks: Vec<u64>,
    links: BTreeMap<u32, Vec<PerfEventLinkId>>,
    most_cpus: usize,
}

impl Sampler {
    /// Attaches the program, which has to be loaded, on every CPU that is online.
    ///
    /// # Errors
    /// Perf refuses the event on every CPU.
    pub fn start(kernel: &mut Kernel, event: SamplingEvent, frequency_hz: u64) -> Result<Self> {
        Self::of(ON_CPU.program, kernel, event, frequency_hz)
    }

    /// The same with another program.
    ///
    /// # Errors
    /// As above.
    pub fn of(
        program: &'static str,
        kernel: &mut Kernel,
        event: SamplingEvent,
        frequency_hz: u64,
    ) -> Result<Self> {
        let mut sampler = Self {
            program,
            event,
            clocks: clocks(event, frequency_hz),
            links: BTreeMap::new(),
            most_cpus: 0,
        };
        sampler.follow_cpus(kernel)?;
        Ok(sampler)
    }

    /// Attaches to CPUs that came online and forgets those that went.
    ///
    /// # Errors
    /// No CPU can be sampled.
    pub fn follow_cpus(&mut self, kernel: &mut Kernel) -> Result<()> {
        let online = online_cpus()?;
        if online.len() == self.links.len() && online.iter().all(|cpu| self.links.contains_key(cpu))
        {
            return Ok(());
        }
        let gone: Vec<u32> = self
            .links
            .keys()
            .copied()
            .filter(|cpu| !online.contains(cpu))
            .collect();
        for cpu in gone {
            for link in self.links.remove(&cpu).into_iter().flatten() {
                // The event died with its CPU; detaching frees what is left of it.
                let _ = program(kernel, self.program)?.detach(link);
            }
        }
        let mut refused = None;
        for cpu in online {
            if self.links.contains_key(&cpu) {
                continue;
            }
            let scope = PerfEventScope::AllProcessesOneCpu { cpu };
            for clock in &self.clocks {
                let policy = SamplePolicy::Frequency(*clock);
                match program(kernel, self.program)?.attach(
                    self.event.config(),
                    scope,
                    policy,
                    false,
                ) {
                    Ok(link) => self.links.entry(cpu).or_default().push(link),
                    Err(error) => refused = Some((cpu, describe(&error))),
                }
            }
        }
        self.most_cpus = self.most_cpus.max(self.links.len());
        match refused {
            Some((cpu, cause)) if self.links.is_empty() => Err(Error::Unsupported(format!(
                "cannot sample {} on CPU {cpu}: {cause}; run as root, or see kernel.perf_event_paranoid and kernel.perf_event_max_sample_rate",
                self.event.name()
            ))),
            Some((cpu, cause)) => {
                tracing::warn!("CPU {cpu} is not sampled: {cause}");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Detaches everywhere: no sample is taken after this returns.
    pub fn stop(&mut self, kernel: &mut Kernel) {
        for link in std::mem::take(&mut self.links).into_values().flatten() {
            if let Ok(program) = program(kernel, self.program) {
                let _ = program.detach(link);
            }
        }
    }

    /// How many CPUs were sampled at once, at most.
    #[must_use]
    pub const fn cpus(&self) -> usize {
        self.most_cpus
    }
}

fn program<'a>(kernel: &'a mut Kernel, name: &str) -> Result<&'a mut PerfEvent> {
    kernel
        .ebpf
        .program_mut(name)
        .ok_or_else(|| Error::Failed(format!("the BPF object has no program {name}")))?
        .try_into()
        .map_err(|error: aya::programs::ProgramError| Error::Failed(describe(&error)))
}

/// CPUs that are online now.
///
/// # Errors
/// The kernel's list of them cannot be read.
pub fn online_cpus() -> Result<Vec<u32>> {
    aya::util::online_cpus()
        .map_err(|(path, error)| Error::Failed(format!("cannot read {path}: {error}")))
}

/// CPUs that this machine can have, offline ones included; at least 1.
#[must_use]
pub fn possible_cpus() -> usize {
    nr_cpus().unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::{SamplingEvent, clocks};

    #[test]
    fn clocks_add_up_and_none_is_a_multiple_of_another() {
        for frequency in [1, 99, 2_000, 2_001, 4_999, 7_999, 10_000] {
            let clocks = clocks(SamplingEvent::CpuClock, frequency);
            assert_eq!(clocks.iter().sum::<u64>(), frequency, "{clocks:?}");
            for (at, one) in clocks.iter().enumerate() {
                let others = clocks[at + 1..].iter();
                assert!(others.clone().all(|it| it % one != 0), "{clocks:?}");
            }
        }
        assert_eq!(clocks(SamplingEvent::Cycles, 7_999), [7_999]);
    }
}
