//! Looks at every container now and then, for `ctprof_finding`.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::Instant;

use super::handle::Handle;
use super::profiles::{Profiler, Refusal};
use super::self_figures::Counted;
use super::settings::Settings;
use crate::analysis::View;
use crate::analysis::doctor::Severity;
use crate::model::{StateGroup, Window};
use crate::target::TargetArgs;

/// How long a look takes.
const LOOK: Duration = Duration::from_secs(10);

/// What is wrong with one container.
#[derive(Debug)]
pub(super) struct Found {
    /// Its cgroup.
    pub(super) cgroup: String,
    /// Rules, and how bad it is; nothing that is but told.
    pub(super) findings: Vec<(&'static str, Severity)>,
}

/// Looks as often as the settings say, from when `ready` becomes true until it is dropped.
pub(super) async fn run(
    profiler: Profiler,
    core: Handle,
    mut settings: watch::Receiver<Arc<Settings>>,
    mut ready: watch::Receiver<bool>,
    counted: Counted,
) {
    if ready.wait_for(|ready| *ready).await.is_err() {
        return;
    }
    // The first one is at once.
    let mut last: Option<Instant> = None;
    loop {
        let (every, is_able) = {
            let settings = settings.borrow_and_update();
            (settings.doctor_every, settings.profiles)
        };
        if every.is_zero() || !is_able {
            if !is_able && !every.is_zero() {
                tracing::warn!("no looks at containers: with --no-profiles there are no stacks");
            }
            last = None;
            core.found(Vec::new()).await;
            counted.count(|own| own.looked = None);
            if settings.changed().await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep_until(last.map_or_else(Instant::now, |last| last + every)) => {}
            changed = settings.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        }
        last = Some(Instant::now());
        let everything = (TargetArgs::default(), LOOK);
        let look = profiler.window(everything, &StateGroup::ALL, |window| Ok(found(window)));
        match look.await {
            Ok(found) => {
                core.found(found).await;
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                counted.count(|own| own.looked = now.ok());
            }
            Err(Refusal::Busy(_)) => {
                tracing::warn!(
                    "a look at containers was left out: --max-profiles are being recorded"
                );
            }
            Err(Refusal::Failed(error)) => tracing::warn!("a look at containers failed: {error}"),
        }
    }
}

fn found(window: &Window) -> Vec<Found> {
    let (view, _) = View::of(window);
    let all = view.summary.containers.iter().zip(&view.findings);
    let found = all.map(|(container, findings)| Found {
        cgroup: container.cgroup.clone(),
        findings: findings
            .iter()
            .filter(|it| it.severity > Severity::Info)
            .map(|it| (it.id, it.severity))
            .collect(),
    });
    found
        .filter(|it| !it.cgroup.is_empty() && !it.findings.is_empty())
        .collect()
}
