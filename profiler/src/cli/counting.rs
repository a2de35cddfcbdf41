//! What commands that count system calls have in common: whose, for how long, and a session that does.

use std::ffi::OsString;
use std::future::pending;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind};

use super::record::command::RunningCommand;
use super::record::{listen, say};
use crate::bpf::{CallPlan, SamplingEvent};
use crate::collect::{Ended, Observer, Recorded, Session, SessionPlan};
use crate::host::Host;
use crate::host::btf::Layout;
use crate::host::cgroup::Hierarchy;
use crate::host::containers::Containers;
use crate::recording::layout;
use crate::target::{self, TargetArgs};
use crate::{Result, requirements};

/// Whose calls, resolved on this host.
pub(super) struct Counting {
    /// The chosen cgroups; `None` for everything.
    roots: Option<Vec<String>>,
    hierarchy: Hierarchy,
    layout: Layout,
    what: String,
    interrupt: Signal,
    terminate: Signal,
}

/// How they are counted.
pub(super) struct Plan<'a> {
    pub(super) btf: Option<&'a Path>,
    pub(super) calls: CallPlan,
    pub(super) interval: Option<Duration>,
    /// Stacks that are held between two drains.
    pub(super) stacks: u32,
    pub(super) log: bool,
}

impl Counting {
    /// Resolves the target, or makes a cgroup for the command. `name` is the subcommand's, for errors.
    pub(super) fn of(
        name: &str,
        target: &TargetArgs,
        command: &[OsString],
        btf: Option<&Path>,
    ) -> Result<(Self, Containers, Option<RunningCommand>)> {
        let host = Host::default();
        let hierarchy = requirements::require(&host, name)?;
        let mut containers = Containers::new(&host, &hierarchy);
        let resolved = target::resolve(target, &host, &hierarchy, &mut containers)?;
        for note in &resolved.notes {
            say(note);
        }
        let layout = layout(btf, &hierarchy)?;
        let command = RunningCommand::prepare(command, &hierarchy)?;
        let labels = resolved.roots.iter().map(|root| root.label.as_str());
        let labels = labels.collect::<Vec<_>>().join(", ");
        let (roots, what) = match &command {
            Some(command) => (
                Some(vec![command.cgroup().to_owned()]),
                command.name().to_owned(),
            ),
            None if resolved.roots.is_empty() => (None, "everything".to_owned()),
            None => {
                let roots = resolved.roots.iter().map(|root| root.cgroup.clone());
                (Some(roots.collect()), labels)
            }
        };
        let counting = Self {
            roots,
            hierarchy,
            layout,
            what,
            // From here on Ctrl-C ends the counting, not the process.
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        };
        Ok((counting, containers, command))
    }

    /// What is said to be counted, where the target does not say it.
    pub(super) fn called(mut self, what: String) -> Self {
        self.what = what;
        self
    }

    /// How many cgroups this host has.
    pub(super) fn cgroups(&self) -> Result<usize> {
        Ok(self.hierarchy.walk("/")?.len())
    }

    /// Counts, for `limit` at most, or until what is counted is `gone`. `make` gets the roots and the session before
    /// it begins.
    pub(super) async fn run<O: Observer>(
        self,
        plan: Plan<'_>,
        limit: Option<Duration>,
        mut command: Option<&mut RunningCommand>,
        gone: impl AsyncFnOnce(&Hierarchy),
        make: impl FnOnce(Option<Vec<String>>, &mut Session<'_>) -> Result<O>,
    ) -> Result<(O, Recorded, Ended)> {
        let Self {
            roots,
            hierarchy,
            layout,
            what,
            mut interrupt,
            mut terminate,
        } = self;
        let mut session = Session::start(SessionPlan {
            layout: &layout,
            btf: plan.btf,
            hierarchy: &hierarchy,
            roots: roots.as_deref(),
            event: SamplingEvent::CpuClock,
            frequency_hz: 1,
            map_entries: Some(plan.stacks),
            stacks: &[],
            min_block: Duration::ZERO,
            calls: plan.calls,
            interval: plan.interval,
            throttle: None,
            endless: None,
            log: plan.log,
        })?;
        let mut observer = make(roots.clone(), &mut session)?;
        session.open()?;
        session.require_calls()?;
        if let Some(command) = &mut command {
            command.start()?;
        }
        let time = limit
            .map(|limit| format!(" for {limit:?}"))
            .unwrap_or_default();
        say(&format!(
            "counting system calls of {what}{time}; Ctrl-C ends it early"
        ));
        let stop = async {
            tokio::select! {
                _ = interrupt.recv() => Ended::Interrupted,
                _ = terminate.recv() => Ended::Terminated,
                () = gone(&hierarchy) => Ended::TargetsGone,
                () = async {
                    match command {
                        Some(command) => command.exited().await,
                        None => pending().await,
                    }
                } => Ended::CommandExited,
            }
        };
        let ended = session.run(limit, stop, &mut observer).await?;
        Ok((observer, session.finish()?, ended))
    }
}
