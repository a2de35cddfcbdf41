//! Recordings on demand: profiles and flame graphs of what runs now.
//!
//! Each is a recording of its own, as `ctprof record` makes one, with its own BPF programs and on a thread of its
//! own: the ledger of the agent goes on beside it, undisturbed. When nobody waits for the answer any more, the
//! recording ends.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::self_figures::Counted;
use super::settings::Settings;
use crate::bpf::{CallPlan, SamplingEvent};
use crate::collect::{Ended, SessionPlan, block_on};
use crate::host::cgroup::Hierarchy;
use crate::host::containers::Containers;
use crate::host::{Host, kernel};
use crate::model::{Profile, StateGroup};
use crate::output::flamegraph::{self, Graph};
use crate::output::{View, pprof};
use crate::recording::{Recording, layout};
use crate::target::{self, TargetArgs};
use crate::{Error, Result};

/// Samples per second and CPU; does not beat with timers that tick 100 times a second.
const FREQUENCY_HZ: u64 = 99;

/// Makes recordings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Profiler {
    settings: watch::Receiver<Arc<Settings>>,
    counted: Counted,
    stopping: watch::Receiver<bool>,
}

/// What to record.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Of which containers; everything if none is named.
    pub target: TargetArgs,
    /// How long.
    pub time: Duration,
    /// What to make of it.
    pub form: Form,
}

/// What a recording becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// pprof, compressed.
    Pprof,
    /// A flame graph as SVG.
    Graph(Graph),
}

/// Why there is no recording.
#[derive(Debug)]
pub enum Refusal {
    /// As many as allowed run already.
    Busy(u64),
    /// It failed.
    Failed(Error),
}

impl Profiler {
    /// `stopping` ends recordings early, when the agent ends: they answer with what they have.
    #[must_use]
    pub const fn new(
        settings: watch::Receiver<Arc<Settings>>,
        counted: Counted,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            settings,
            counted,
            stopping,
        }
    }

    /// Records. Dropping the future ends the recording.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn profile(&self, wanted: Wanted) -> Result<Vec<u8>, Refusal> {
        let settings = Arc::clone(&self.settings.borrow());
        let slot = Slot::take(&self.counted, settings.max_profiles as u64)?;
        let (answer, answered) = oneshot::channel();
        // Held as long as somebody waits.
        let (_waiting, gone) = oneshot::channel::<()>();
        let (btf, stopping) = (settings.btf.clone(), self.stopping.clone());
        let thread = std::thread::Builder::new().name("ctprof-profile".to_owned());
        let started = thread.spawn(move || {
            let result = record(&wanted, btf.as_deref(), gone, stopping);
            slot.end(&result);
            let _ = answer.send(result);
        });
        started.map_err(|error| {
            Refusal::Failed(Error::Failed(format!("cannot start a recording: {error}")))
        })?;
        match answered.await {
            Ok(Ok(Some(bytes))) => Ok(bytes),
            Ok(Err(error)) => Err(Refusal::Failed(error)),
            Ok(Ok(None)) | Err(_) => Err(Refusal::Failed(Error::Failed(
                "the recording broke off; the agent's log may say why".to_owned(),
            ))),
        }
    }
}

/// The right to run one recording.
struct Slot {
    counted: Counted,
    outcome: &'static str,
}

impl Slot {
    fn take(counted: &Counted, most: u64) -> Result<Self, Refusal> {
        let mut free = false;
        counted.count(|own| {
            free = own.profiles_running < most;
            if free {
                own.profiles_running += 1;
            } else {
                *own.profiles.entry("refused").or_default() += 1;
            }
        });
        let slot = || Self {
            counted: counted.clone(),
            // What it stays if the thread does not come to its end.
            outcome: "failed",
        };
        free.then(slot).ok_or(Refusal::Busy(most))
    }

    fn end(mut self, result: &Result<Option<Vec<u8>>>) {
        self.outcome = match result {
            Ok(Some(_)) => "done",
            Ok(None) => "cancelled",
            Err(_) => "failed",
        };
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let outcome = self.outcome;
        self.counted.count(|own| {
            own.profiles_running -= 1;
            *own.profiles.entry(outcome).or_default() += 1;
        });
    }
}

/// Records from start to end. `None` when nobody waits for it any more.
fn record(
    wanted: &Wanted,
    btf: Option<&Path>,
    mut gone: oneshot::Receiver<()>,
    mut stopping: watch::Receiver<bool>,
) -> Result<Option<Vec<u8>>> {
    let host = Host::default();
    let hierarchy = Hierarchy::detect(&host)?;
    let mut containers = Containers::new(&host, &hierarchy);
    let resolved = target::resolve(&wanted.target, &host, &hierarchy, &mut containers)?;
    let layout = layout(btf, &hierarchy)?;
    let roots: Vec<String> = resolved.roots.into_iter().map(|root| root.cgroup).collect();
    let recording = Recording::begin(
        SessionPlan {
            layout: &layout,
            btf,
            hierarchy: &hierarchy,
            roots: (!roots.is_empty()).then_some(&roots),
            event: SamplingEvent::best(),
            frequency_hz: frequency(&host),
            map_entries: None,
            throttle: None,
            stacks: stacks(wanted.form),
            min_block: Duration::ZERO,
            calls: CallPlan::default(),
            interval: None,
            endless: None,
            log: false,
        },
        containers,
    )?;
    tracing::info!(
        "recording {} for {:?}",
        describe(&wanted.target),
        wanted.time
    );
    let mut is_gone = false;
    let finished = block_on(recording.run(
        Some(wanted.time),
        async {
            tokio::select! {
                _ = &mut gone => is_gone = true,
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
            Ended::Interrupted
        },
        |_, _| (),
    ))?;
    if is_gone {
        tracing::info!(
            "the client is gone: its recording of {} ended",
            describe(&wanted.target)
        );
        return Ok(None);
    }
    draw(&finished.profile(), wanted.form).map(Some)
}

/// The states whose stacks are needed.
const fn stacks(form: Form) -> &'static [StateGroup] {
    match form {
        Form::Pprof | Form::Graph(Graph::WallClock | Graph::Syscalls) => &StateGroup::ALL,
        Form::Graph(Graph::OnCpu) => &[StateGroup::OnCpu],
        Form::Graph(Graph::OffCpu) => &[StateGroup::Blocked],
        Form::Graph(Graph::RunQueue) => &[StateGroup::RunQueue],
        // What burnt the quota is beside it.
        Form::Graph(Graph::Throttled) => &[StateGroup::OnCpu, StateGroup::Throttled],
    }
}

/// perf lowers its own limit when interrupts take long.
fn frequency(host: &Host) -> u64 {
    match kernel::sysctl(host, "kernel/perf_event_max_sample_rate") {
        Some(limit) if limit > 0 => FREQUENCY_HZ.min(limit.unsigned_abs()),
        _ => FREQUENCY_HZ,
    }
}

fn draw(profile: &Profile, form: Form) -> Result<Vec<u8>> {
    let (view, order) = View::of(profile);
    let mut out = Vec::new();
    let written = match form {
        Form::Pprof => pprof::write(profile, &view.summary, &order, &mut out),
        Form::Graph(graph) => {
            let all: Vec<usize> = (0..order.len()).collect();
            let options = flamegraph::Options {
                containers: &all,
                with_idle: false,
            };
            flamegraph::write(graph, &view, options, &mut out)
        }
    };
    written.map_err(|error| Error::Failed(format!("cannot draw the recording: {error}")))?;
    Ok(out)
}

fn describe(target: &TargetArgs) -> String {
    let names: Vec<&str> = target
        .container
        .iter()
        .chain(&target.pod)
        .chain(&target.cgroup)
        .map(String::as_str)
        .collect();
    if names.is_empty() {
        "everything".to_owned()
    } else {
        crate::model::text::printable(&names.join(", "), 200)
    }
}
