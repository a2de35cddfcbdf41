//! Profiles and flame graphs of what runs now, on demand: windows with stacks out of the agent's one session. When nobody
//! waits for the answer any more, its window ends.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::handle::Handle;
use super::self_figures::Counted;
use super::settings::Settings;
use crate::analysis::View;
use crate::collect::Environment;
use crate::grouping::Naming;
use crate::model::{Grouping, StateGroup, Window};
use crate::output::doctor::{self, Examined};
use crate::output::flamegraph::{self, Graph};
use crate::output::pprof;
use crate::recording::Opening;
use crate::target::TargetArgs;
use crate::{Error, Result};

/// Makes recordings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Profiler {
    env: Arc<Environment>,
    core: Handle,
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
    /// What is wrong with each container.
    Findings(FindingsForm),
}

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingsForm {
    /// For people.
    Text,
    /// One JSON object.
    Json,
    /// For tickets.
    Markdown,
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
        env: Arc<Environment>,
        core: Handle,
        settings: watch::Receiver<Arc<Settings>>,
        counted: Counted,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            env,
            core,
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
        let Wanted { target, time, form } = wanted;
        self.window((target, time), stacks(form), move |window| {
            draw(window, form)
        })
        .await
    }

    /// Records these targets for so long with stacks of these states, and makes something of it. Dropping the future ends the
    /// recording.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(super) async fn window<T: Send + 'static>(
        &self,
        wanted: (TargetArgs, Duration),
        states: &'static [StateGroup],
        make: impl FnOnce(&Window) -> Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let most = self.settings.borrow().max_profiles as u64;
        let slot = Slot::take(&self.counted, most)?;
        let result = self.record(wanted, states, make, &slot).await;
        slot.end(if result.is_ok() { "done" } else { "failed" });
        result.map_err(Refusal::Failed)
    }

    async fn record<T: Send + 'static>(
        &self,
        (target, time): (TargetArgs, Duration),
        states: &'static [StateGroup],
        make: impl FnOnce(&Window) -> Result<T> + Send + 'static,
        slot: &Arc<Slot>,
    ) -> Result<T> {
        let env = Arc::clone(&self.env);
        let (targets, opening) = on_thread(slot, move || {
            let (targets, containers) = env.resolve(&target)?;
            let hierarchy = env.hierarchy.clone();
            let naming = Naming::new(Grouping::Container, hierarchy.clone(), containers);
            let opening = Opening::read(hierarchy, naming, &targets);
            Ok((targets, opening))
        })
        .await?;
        let what = targets.describe();
        let running = self.core.begin(targets, states, opening).await?;
        tracing::info!("recording {what} for {time:?}");
        let mut stopping = self.stopping.clone();
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        let finished = self.core.end(running).await?;
        on_thread(slot, move || make(&finished.profile())).await
    }
}

/// Does what takes time away from the event loop. It may outlive whoever waits for it, and keeps the right to run until
/// then.
async fn on_thread<T: Send + 'static>(
    slot: &Arc<Slot>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (answer, answered) = oneshot::channel();
    let slot = Arc::clone(slot);
    std::thread::Builder::new()
        .name("ctprof-profile".to_owned())
        .spawn(move || {
            let result = work();
            drop(slot);
            // Whoever asked may have gone.
            let _ = answer.send(result);
        })
        .map_err(|error| Error::Failed(format!("cannot start a recording: {error}")))?;
    answered.await.unwrap_or_else(|_| {
        Err(Error::Failed(
            "the recording broke off; the agent's log may say why".to_owned(),
        ))
    })
}

/// The right to run one recording.
#[derive(Debug)]
struct Slot {
    counted: Counted,
    /// Never set if nobody waited for its end.
    outcome: OnceLock<&'static str>,
}

impl Slot {
    fn take(counted: &Counted, most: u64) -> Result<Arc<Self>, Refusal> {
        let mut free = false;
        counted.count(|own| {
            free = own.profiles_running < most;
            if free {
                own.profiles_running += 1;
            } else {
                *own.profiles.entry("refused").or_default() += 1;
            }
        });
        let slot = || {
            Arc::new(Self {
                counted: counted.clone(),
                outcome: OnceLock::new(),
            })
        };
        free.then(slot).ok_or(Refusal::Busy(most))
    }

    fn end(&self, outcome: &'static str) {
        let _ = self.outcome.set(outcome);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let outcome = self.outcome.get().copied().unwrap_or("cancelled");
        self.counted.count(|own| {
            own.profiles_running -= 1;
            *own.profiles.entry(outcome).or_default() += 1;
        });
    }
}

/// The states whose stacks are needed.
const fn stacks(form: Form) -> &'static [StateGroup] {
    match form {
        Form::Pprof | Form::Findings(_) | Form::Graph(Graph::WallClock | Graph::Syscalls) => {
            &StateGroup::ALL
        }
        Form::Graph(Graph::OnCpu | Graph::Isolation) => &[StateGroup::OnCpu],
        Form::Graph(Graph::OffCpu) => &[StateGroup::Blocked],
        Form::Graph(Graph::RunQueue) => &[StateGroup::RunQueue],
        // What burnt the quota is beside it.
        Form::Graph(Graph::Throttled) => &[StateGroup::OnCpu, StateGroup::Throttled],
    }
}

fn draw(window: &Window, form: Form) -> Result<Vec<u8>> {
    let (view, order) = View::of(window);
    let mut out = Vec::new();
    let written = match form {
        Form::Pprof => pprof::write(window, &view.summary, &order, &mut out),
        Form::Findings(form) => {
            let all: Vec<Examined<'_>> = view
                .summary
                .containers
                .iter()
                .zip(&view.findings)
                .filter(|(container, _)| !container.is_kernel())
                .map(|(container, findings)| Examined {
                    container,
                    findings,
                })
                .collect();
            match form {
                FindingsForm::Text => doctor::text(&all, window.duration_ns, false, &mut out),
                FindingsForm::Json => doctor::json(&all, window.duration_ns, &mut out),
                FindingsForm::Markdown => doctor::markdown(&all, window.duration_ns, &mut out),
            }
        }
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
