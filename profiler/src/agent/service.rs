//! The agent from start to end: core and HTTP side by side, signals, reload.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use super::http::{self, App, Bodies};
use super::profiles::Profiler;
use super::self_figures::Counted;
use super::settings::{Layers, Resolved, Settings};
use super::web::Web;
use super::{CorePlan, channel, confinement, core, looks, privileges};
use crate::collect::Environment;
use crate::recording::raise_file_limit;
use crate::symbolize::debuginfod::{Keep, Servers};
use crate::{Error, Result};

/// Runs the agent until SIGTERM or SIGINT. SIGHUP has it read its settings again. `base` is what no setting says.
///
/// # Errors
/// A missing privilege or kernel feature, an address that cannot be used.
pub async fn run(layers: &Layers, mut resolved: Resolved, base: &CorePlan) -> Result<()> {
    let btf = resolved.settings.btf.as_deref();
    let env = Arc::new(Environment::detect("run the agent", btf)?);
    let web = Web::read(resolved.settings.web_config.as_deref())?;
    privileges::before_attaching(resolved.settings.bpf_statistics);
    let listener = http::bind(resolved.settings.listen).await?;
    raise_file_limit();
    // From here on these signals end or change the agent, not the process.
    let mut signals = Signals::listen()?;

    let (plans, plan) = watch::channel(core_plan(&resolved.settings, base));
    let (settings, settings_seen) = watch::channel(Arc::new(resolved.settings.clone()));
    let (attach, mut is_attached) = watch::channel(false);
    let (open, is_open) = watch::channel(false);
    let (stop, stopping) = watch::channel(false);
    let (end, ended) = oneshot::channel::<()>();
    let (handle, requests) = channel();
    let counted = Counted::default();
    let address = listener.local_addr().unwrap_or(resolved.settings.listen);
    tell_address(address, &web);
    let (web_set, web_seen) = watch::channel(web);
    let profiler = Profiler::new(
        Arc::clone(&env),
        handle.clone(),
        settings_seen.clone(),
        counted.clone(),
        stopping.clone(),
    );
    let looks = looks::run(
        profiler.clone(),
        handle.clone(),
        settings_seen.clone(),
        is_open.clone(),
        counted.clone(),
    );
    let app = App {
        handle,
        ready: is_open,
        settings: settings_seen,
        web: web_seen,
        profiler,
        counted: counted.clone(),
        bodies: Bodies::default(),
    };

    let core = core::run(&env, plan, requests, attach, async {
        // Its sender is only dropped with this whole future.
        let _ = ended.await;
    });
    let mut server = tokio::spawn(http::serve(listener, app, stopping));
    let control = async {
        loop {
            let asked = tokio::select! {
                () = attached(&mut is_attached), if !*open.borrow() => {
                    privileges::after_attaching(resolved.settings.profiles);
                    if resolved.settings.seccomp {
                        confinement::apply(keeps(&resolved.settings));
                    }
                    tracing::info!("ready: BPF programs are attached");
                    open.send_replace(true);
                    continue;
                }
                asked = signals.next() => asked,
            };
            if let Asked::End = asked {
                break;
            }
            let result = reload(layers, &mut resolved);
            let is_ok = result.is_ok();
            counted.count(|own| {
                let (done, failed) = &mut own.reloads;
                *if is_ok { done } else { failed } += 1;
            });
            match result {
                Ok(web) => {
                    web.inherit(&web_set.borrow());
                    web_set.send_replace(web);
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
    let looks = async {
        looks.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = core => result,
        () = control => Ok(()),
        () = looks => Ok(()),
    }
}

/// Resolves when everything is attached; never, if the core ends before.
async fn attached(attached: &mut watch::Receiver<bool>) {
    if attached.wait_for(|attached| *attached).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Says where it listens, and what that means.
fn tell_address(address: SocketAddr, web: &Web) {
    tracing::info!("listening on {address}");
    if !address.ip().is_loopback() && web.is_open() {
        let lacks = web.lacks();
        tracing::warn!(
            "{address} can be reached from other hosts without {lacks}: what runs here can be read there, and \
             profiles be recorded; see --web-config"
        );
    }
}

/// Everything is read before anything is changed: a mistake leaves all of the old settings in place.
fn reload(layers: &Layers, resolved: &mut Resolved) -> Result<Web> {
    let next = layers.resolve()?;
    let web = Web::read(next.settings.web_config.as_deref())?;
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
    Ok(web)
}

fn keeps(settings: &Settings) -> confinement::Keeps {
    confinement::Keeps {
        profiles: settings.profiles,
        fetches: settings.profiles && Servers::from_env(Keep::InMemory).is_some(),
    }
}

fn core_plan(settings: &Settings, base: &CorePlan) -> CorePlan {
    CorePlan {
        grouping: settings.grouping,
        profiles: settings.profiles,
        unwind: settings.unwind,
        views: settings.views.clone(),
        standing: settings.standing.clone(),
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
