//! What commands that count system calls have in common: whose, for how long, and a session that does.

use std::ffi::OsString;
use std::future::pending;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind};

use crate::Result;
use crate::cli::record::command::RunningCommand;
use crate::cli::record::{listen, say};
use crate::collect::{Ended, Environment, Hooks, Observer, Recorded, Session, SessionPlan};
use crate::grouping::Naming;
use crate::host::cgroup::Hierarchy;
use crate::host::containers::Containers;
use crate::model::{Figures as _, Grouping};
use crate::target::{Resolved, TargetArgs};
use crate::views::syscalls::{CallPlan, Syscalls};

/// Whose calls, resolved on this host.
pub(in crate::cli) struct Counting {
    env: Environment,
    targets: Resolved,
    what: String,
    interrupt: Signal,
    terminate: Signal,
}

/// How they are counted.
pub(in crate::cli) struct Plan {
    pub(in crate::cli) calls: CallPlan,
    pub(in crate::cli) interval: Option<Duration>,
    /// Stacks that are held between two drains.
    pub(in crate::cli) stacks: u32,
    pub(in crate::cli) log: bool,
}

impl Counting {
    /// Resolves the target, or makes a cgroup for the command. `name` is what is to be done, for errors.
    pub(in crate::cli) fn of(
        name: &str,
        target: &TargetArgs,
        command: &[OsString],
        btf: Option<&Path>,
    ) -> Result<(Self, Containers, Option<RunningCommand>)> {
        let env = Environment::detect(name, btf)?;
        let (mut targets, containers) = env.resolve(target)?;
        for note in &targets.notes {
            say(note);
        }
        let command = RunningCommand::prepare(command, &env.hierarchy)?;
        if let Some(command) = &command {
            targets = Resolved::of_cgroup(command.cgroup(), command.name());
        }
        let counting = Self {
            what: targets.describe(),
            targets,
            env,
            // From here on Ctrl-C ends the counting, not the process.
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        };
        Ok((counting, containers, command))
    }

    /// What is said to be counted, where the target does not say it.
    pub(in crate::cli) fn called(mut self, what: String) -> Self {
        self.what = what;
        self
    }

    /// What tells rows apart.
    pub(in crate::cli) fn naming(&self, grouping: Grouping, containers: Containers) -> Naming {
        Naming::new(grouping, self.env.hierarchy.clone(), containers)
    }

    /// How many cgroups this host has.
    pub(in crate::cli) fn cgroups(&self) -> Result<usize> {
        self.env.cgroups()
    }

    /// Counts, for `limit` at most, or until what is counted is `gone`. `make` gets the session before it begins.
    pub(in crate::cli) async fn run<O: Observer>(
        self,
        plan: Plan,
        limit: Option<Duration>,
        mut command: Option<&mut RunningCommand>,
        gone: impl AsyncFnOnce(&Hierarchy),
        make: impl FnOnce(&mut Session<'_>) -> Result<O>,
    ) -> Result<(O, Recorded, Ended)> {
        let Self {
            env,
            targets,
            what,
            mut interrupt,
            mut terminate,
        } = self;
        let views: [&dyn Hooks; 1] = [&plan.calls];
        let mut session = Session::start(SessionPlan {
            map_entries: Some(plan.stacks),
            views: &views,
            interval: plan.interval,
            log: plan.log,
            ..SessionPlan::new(&env, &targets)
        })?;
        let mut observer = make(&mut session)?;
        session.open()?;
        session.require(&Syscalls::VIEW, "cannot count system calls")?;
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
                () = gone(&env.hierarchy) => Ended::TargetsGone,
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
