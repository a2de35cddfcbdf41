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

/// The attached perf events, by CPU.
#[derive(Debug)]
pub struct Sampler {
    event: SamplingEvent,
    frequency_hz: u64,
    links: BTreeMap<u32, PerfEventLinkId>,
    most_cpus: usize,
}

impl Sampler {
    /// Attaches the program, which has to be loaded, on every CPU that is online.
    ///
    /// # Errors
    /// Perf refuses the event on every CPU.
    pub fn start(kernel: &mut Kernel, event: SamplingEvent, frequency_hz: u64) -> Result<Self> {
        let mut sampler = Self {
            event,
            frequency_hz,
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
            if let Some(link) = self.links.remove(&cpu) {
                // The event died with its CPU; detaching frees what is left of it.
                let _ = program(kernel)?.detach(link);
            }
        }
        let mut refused = None;
        for cpu in online {
            if self.links.contains_key(&cpu) {
                continue;
            }
            let scope = PerfEventScope::AllProcessesOneCpu { cpu };
            let policy = SamplePolicy::Frequency(self.frequency_hz);
            match program(kernel)?.attach(self.event.config(), scope, policy, false) {
                Ok(link) => {
                    self.links.insert(cpu, link);
                }
                Err(error) => refused = Some((cpu, describe(&error))),
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
        for (_, link) in std::mem::take(&mut self.links) {
            if let Ok(program) = program(kernel) {
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

fn program(kernel: &mut Kernel) -> Result<&mut PerfEvent> {
    kernel
        .ebpf
        .program_mut(ON_CPU.program)
        .ok_or_else(|| Error::Failed(format!("the BPF object has no program {}", ON_CPU.program)))?
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
