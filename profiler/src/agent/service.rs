//! The agent from start to end: core and HTTP side by side, signals, reload.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use super::http::{self, App};
use super::profiles::Profiler;
use super::self_figures::Counted;
use super::settings::{Layers, Resolved, Settings};
use super::{CorePlan, channel, core};
use crate::host::Host;
use crate::host::capabilities::Capabilities;
use crate::recording::raise_file_limit;
use crate::{Error, Result};

/// Runs the agent until SIGTERM or SIGINT. SIGHUP has it read its settings again. `base` is what no setting says.
///
/// # Errors
/// A missing privilege or kernel feature, an address that cannot be used.
pub async fn run(layers: &Layers, mut resolved: Resolved, base: &CorePlan) -> Result<()> {
    Capabilities::of_self(&Host::default())?.require("run the agent")?;
    let listener = http::bind(resolved.settings.listen).await?;
    raise_file_limit();
    // From here on these signals end or change the agent, not the process.
    let mut signals = Signals::listen()?;

    let (plans, plan) = watch::channel(core_plan(&resolved.settings, base));
    let (settings, settings_seen) = watch::channel(Arc::new(resolved.settings.clone()));
    let (attached, is_attached) = watch::channel(false);
    let (stop, stopping) = watch::channel(false);
    let (end, ended) = oneshot::channel::<()>();
    let (handle, requests) = channel();
    let counted = Counted::default();
    let router = http::router(App {
        handle,
        ready: is_attached.clone(),
        settings: settings_seen.clone(),
        profiler: Profiler::new(settings_seen, counted.clone(), stopping.clone()),
        counted: counted.clone(),
    });
    tracing::info!("listening on {}", listener_address(&listener, &resolved));

    let core = core::run(plan, requests, attached, async {
        // Its sender is only dropped with this whole future.
        let _ = ended.await;
    });
    let mut server = tokio::spawn(http::serve(listener, router, counted.clone(), stopping));
    let control = async {
        announce(is_attached).await;
        while let Asked::Reload = signals.next().await {
            let result = reload(layers, &mut resolved);
            let is_ok = result.is_ok();
            counted.count(|own| {
                let (done, failed) = &mut own.reloads;
                *if is_ok { done } else { failed } += 1;
            });
            match result {
                Ok(()) => {
                    plans.send_replace(core_plan(&resolved.settings, base));
                    settings.send_replace(Arc::new(resolved.settings.clone()));
                }
                Err(error) => tracing::error!("reload failed, the old settings stay: {error}"),
            }
        }
        tracing::info!("ending: requests in progress are answered first");
        let _ = stop.send(true);
        let _ = (&mut server).await;
        let _ = end.send(());
        // The core is what ends last.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = core => result,
        () = control => Ok(()),
    }
}

/// Says when everything is attached. Returns at once, if not.
async fn announce(mut attached: watch::Receiver<bool>) {
    tokio::spawn(async move {
        if attached.wait_for(|attached| *attached).await.is_ok() {
            tracing::info!("ready: BPF programs are attached");
        }
    });
}

fn listener_address(listener: &tokio::net::TcpListener, resolved: &Resolved) -> String {
    listener
        .local_addr()
        .unwrap_or(resolved.settings.listen)
        .to_string()
}

fn reload(layers: &Layers, resolved: &mut Resolved) -> Result<()> {
    let next = layers.resolve()?;
    let changes = resolved.reload(&next);
    let list = |names: &[&str]| match names {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    };
    let applied = list(&changes.applied);
    if changes.after_restart.is_empty() {
        tracing::info!("reloaded; changed: {applied}");
    } else {
        let rest = list(&changes.after_restart);
        tracing::warn!("reloaded; changed: {applied}; needs a restart: {rest}");
    }
    Ok(())
}

fn core_plan(settings: &Settings, base: &CorePlan) -> CorePlan {
    CorePlan {
        btf: settings.btf.clone(),
        grouping: settings.grouping,
        syscalls: settings.syscalls,
        bpf_statistics: settings.bpf_statistics,
        max_groups: settings.max_containers,
        top_culprits: settings.top_culprits,
        linger: settings.linger,
        ..base.clone()
    }
}

/// What a signal asks for.
enum Asked {
    Reload,
    End,
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Error::Failed(format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.terminate.recv() => Asked::End,
        }
    }
}
