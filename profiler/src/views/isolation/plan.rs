//! What is asked of the kernel half.

use std::path::PathBuf;

use super::Sampled;
use super::run::Samples;
use crate::Result;
use crate::bpf::probes::{Hook, Probe};
use crate::bpf::{Kernel, SamplingEvent, Settings, possible_cpus};
use crate::collect::{Environment, Hooked, Hooks};
use crate::host::kernel::shows_kernel_addresses;
use crate::model::{Figures as _, Problem, Unavailable, ViewId};

/// Samples per second and CPU: next to nothing, and enough for shares over minutes.
const FREQUENCY_HZ: u64 = 19;

/// What a CPU sends between two looks at the ring, twice over.
const BYTES_A_CPU: usize = 8 * 1024;
/// Least and most: the ring also holds what comes until the kernel's functions are known.
const RING: (usize, usize) = (256 * 1024, 2 << 20);

const SAMPLES: Probe = Probe {
    id: "isolation",
    program: "isolation",
    hook: Hook::PerfEvent,
    required: false,
    gives: "what isolation costs, for the agent",
    without: "no metrics of what isolation costs",
};

/// How it is sampled.
#[derive(Clone, Debug)]
pub(super) struct IsolationPlan {
    event: SamplingEvent,
    /// The kernel's list of its functions; `None` where nothing is to be sampled.
    kallsyms: Option<PathBuf>,
    /// Size of the ring of samples.
    bytes: u32,
}

impl IsolationPlan {
    /// The program, and a ring as small as it can be.
    pub(super) const LEAST: Self = Self {
        event: SamplingEvent::CpuClock,
        kallsyms: None,
        bytes: 4096,
    };

    /// For this host.
    ///
    /// # Errors
    /// Functions of the kernel have no names here: why there is no such view.
    pub(super) fn of(env: &Environment, event: SamplingEvent) -> Result<Self, Unavailable> {
        let kallsyms = env.host.at("/proc/kallsyms");
        let bytes = possible_cpus().saturating_mul(BYTES_A_CPU);
        let bytes = bytes.clamp(RING.0, RING.1).next_power_of_two();
        if !shows_kernel_addresses(&env.host) {
            let problem = Problem::KernelAddressesHidden;
            return Err(Unavailable {
                view: Sampled::VIEW,
                cause: format!("{}: {}", SAMPLES.without, problem.explain()),
            });
        }
        Ok(Self {
            event,
            kallsyms: Some(kallsyms),
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        })
    }
}

impl Hooks for IsolationPlan {
    fn id(&self) -> ViewId {
        Sampled::VIEW
    }

    fn probes(&self) -> Vec<&'static Probe> {
        vec![&SAMPLES]
    }

    fn settings(&self) -> Settings {
        Settings {
            globals: Vec::new(),
            map_sizes: vec![("ISOLATION", self.bytes)],
        }
    }

    fn sampling(&self) -> Option<(SamplingEvent, u64)> {
        Some((self.event, FREQUENCY_HZ))
    }

    fn open(&self, kernel: &mut Kernel) -> Result<Box<dyn Hooked>> {
        let period_ns = 1_000_000_000 / FREQUENCY_HZ;
        Ok(Box::new(Samples::open(
            kernel,
            self.kallsyms.as_deref(),
            period_ns,
        )?))
    }
}
