//! What a recording needs before it can begin: its plan, and the loaded kernel half.

use std::time::Duration;

use super::Environment;
use super::hooked::{Hooks, settings};
use super::ledger::attach_throttle;
use super::watch::Endless;
use crate::bpf::probes::{self, Probe};
use crate::bpf::{Kernel, LoadPlan, ProbeState, SamplingEvent, Slots, possible_cpus};
use crate::host::btf::Throttle;
use crate::host::cgroup::Version;
use crate::model::{StateGroup, Unavailable, ViewId};
use crate::target::Resolved;
use crate::{Error, Result};

/// How often the kernel's maps are emptied while recording.
pub(super) const DRAIN_INTERVAL: Duration = Duration::from_millis(500);
/// Least and most rows of a half of the counts, and stacks: 1 MiB to 17 MiB, and 8 MiB to 128 MiB.
const ROWS: (u64, u64) = (8_192, 131_072);

/// How user stacks are unwound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Unwind {
    /// By tables made from the frame descriptions (`.eh_frame`) of programs and libraries, by frame pointers where there are
    /// none.
    #[default]
    Auto,
    /// By frame pointers alone: programs that keep none have stacks of a few frames.
    FramePointer,
}

/// What to record, and how.
#[derive(Clone, Copy, Debug)]
pub struct SessionPlan<'a> {
    /// What this host has.
    pub env: &'a Environment,
    /// What to record.
    pub targets: &'a Resolved,
    /// What triggers samples.
    pub event: SamplingEvent,
    /// Samples per second and CPU.
    pub frequency_hz: u64,
    /// Entries of the maps of counts and stacks; `None` for as many as the frequency and CPUs ask for.
    pub map_entries: Option<u32>,
    /// Of which states stacks are taken; the CPU's are sampled. Without any there is the ledger alone.
    pub stacks: &'a [StateGroup],
    /// Nobody's stacks are taken until somebody asks for them: see [`Takes`](super::takes::Takes).
    pub stacks_on_demand: bool,
    /// How user stacks are unwound.
    pub unwind: Unwind,
    /// Intervals off the CPU shorter than this are counted without their stacks.
    pub min_block: Duration,
    /// Views that the kernel half counts for.
    pub views: &'a [&'a dyn Hooks],
    /// How often the observer is shown what was counted so far; `None` for never.
    pub interval: Option<Duration>,
    /// The length of the pieces that figures are kept for one by one; `None` for none.
    pub slices: Option<Duration>,
    /// How to tell throttled time; `None` for the best way that the kernel has.
    pub throttle: Option<Throttle>,
    /// Go on for as long as the host does.
    pub endless: Option<Endless>,
    /// Let the kernel half log what it does.
    pub log: bool,
}

impl<'a> SessionPlan<'a> {
    /// The ledger of these targets alone, without an end.
    #[must_use]
    pub fn new(env: &'a Environment, targets: &'a Resolved) -> Self {
        Self {
            env,
            targets,
            event: SamplingEvent::CpuClock,
            frequency_hz: 1,
            map_entries: None,
            stacks: &[],
            stacks_on_demand: false,
            unwind: Unwind::FramePointer,
            min_block: Duration::ZERO,
            views: &[],
            interval: None,
            slices: None,
            throttle: None,
            endless: None,
            log: false,
        }
    }

    /// Whether user stacks are unwound by tables.
    pub(super) fn unwinds(&self) -> bool {
        self.unwind == Unwind::Auto && self.has_stacks()
    }

    /// Whether anything of this recording has stacks.
    pub(super) fn has_stacks(&self) -> bool {
        !self.stacks.is_empty() || self.views.iter().any(|view| view.has_stacks())
    }
}

/// Rows that a plan needs: none without stacks.
pub(super) fn rows_of(plan: &SessionPlan<'_>) -> u32 {
    let needed = if plan.has_stacks() {
        rows(plan.frequency_hz)
    } else {
        1
    };
    plan.map_entries.unwrap_or(needed)
}

/// Rows that hold what can be new between two drains: a sample brings at most one row and two stacks, and
/// the half that rests holds one interval while the other fills for the next.
fn rows(frequency_hz: u64) -> u32 {
    let cpus = possible_cpus() as u64;
    let interval = DRAIN_INTERVAL.as_millis() as u64;
    let rows = (cpus * frequency_hz * interval * 4 / 1000).clamp(ROWS.0, ROWS.1);
    u32::try_from(rows).unwrap_or(u32::MAX)
}

/// Loads the object. Where only hooks can tell throttled time, and the kernel refuses them, it is loaded again for
/// the next best way: how it is told cannot change once the programs are verified.
pub(super) fn load(plan: &SessionPlan<'_>, rows: u32, slots: Slots) -> Result<(Kernel, Throttle)> {
    let env = plan.env;
    let load = |throttle| {
        Kernel::load(&LoadPlan {
            layout: &env.layout,
            btf: env.btf.as_deref(),
            cgroup_v1: env.hierarchy.version() == Version::V1,
            hierarchy_id: env.hierarchy.id(),
            record_host: plan.targets.is_everything(),
            processes: plan.targets.processes.len(),
            slots,
            reuse_slots: plan.endless.is_some(),
            throttle,
            stack_states: plan.stacks,
            stacks_by_slot: plan.stacks_on_demand,
            unwind: plan.unwinds(),
            min_block_ns: u64::try_from(plan.min_block.as_nanos()).unwrap_or(u64::MAX),
            views: settings(plan.views),
            count_rows: rows,
            stacks: rows,
            log: plan.log,
        })
    };
    let throttle = plan.throttle.unwrap_or_else(|| env.layout.throttle());
    let mut kernel = load(throttle)?;
    if throttle == Throttle::ByHook
        && let Err(cause) = attach_throttle(&mut kernel)
    {
        tracing::debug!("throttled time by the load-tracking clock: {cause}");
        let throttle = env.layout.pelt();
        return Ok((load(throttle)?, throttle));
    }
    Ok((kernel, throttle))
}

/// The programs that a recording needs, those that take the kernel longest to verify first.
pub(super) fn needed(plan: &SessionPlan<'_>) -> Vec<&'static Probe> {
    let mut needed = Vec::new();
    if plan.env.layout.lacks_for_ledger.is_none() {
        needed.extend(&probes::LEDGER[..1]);
        needed.push(&probes::VISIT);
        needed.extend(plan.views.iter().flat_map(|view| view.probes()));
        needed.extend(&probes::LEDGER[1..]);
        needed.extend(probes::LEDGER_EXTRA);
    }
    if plan.stacks.contains(&StateGroup::OnCpu) {
        needed.push(&probes::ON_CPU);
    }
    if plan.unwinds() && !plan.stacks.is_empty() {
        needed.push(&probes::ASK_MAPPING);
    }
    if completes(plan) {
        needed.push(&probes::COMPLETE_STACKS);
    }
    needed.extend(early(plan));
    needed
}

/// Whether stacks of sleeping threads are completed.
pub(super) fn completes(plan: &SessionPlan<'_>) -> bool {
    plan.unwinds() && !plan.stacks.is_empty() && plan.env.layout.lacks_for_ledger.is_none()
}

/// Those that are attached before the cgroups are listed.
pub(super) fn early(plan: &SessionPlan<'_>) -> Vec<&'static Probe> {
    let mut early = vec![&probes::CGROUP_MKDIR];
    if plan.endless.is_some() {
        early.push(&probes::CGROUP_RMDIR);
    }
    // Nobody looks at processes where nothing has stacks.
    if plan.has_stacks() {
        early.push(&probes::PROCESS_EXEC);
    }
    early
}

/// Whether a probe is loaded or attached; if not, an error or a line in `unavailable`.
pub(super) fn check(
    probe: &Probe,
    state: ProbeState,
    unavailable: &mut Vec<Unavailable>,
) -> Result<bool> {
    let cause = match state {
        ProbeState::Attached => return Ok(true),
        ProbeState::Skipped(cause) | ProbeState::Failed(cause) => cause,
    };
    if probe.required {
        return Err(Error::Unsupported(format!(
            "cannot use {}: {cause}",
            probe.id
        )));
    }
    unavailable.push(Unavailable {
        view: ViewId::new(probe.id),
        cause: format!("{}: {cause}", probe.without),
    });
    Ok(false)
}
