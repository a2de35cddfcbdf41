//! Counts the calls of the chosen containers, those made under a seccomp filter apart from others.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::future::pending;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ctprof_ebpf::abi::syscall::{CallKey, kind, view};
use tokio::signal::unix::SignalKind;

use crate::bpf::{CallPlan, SamplingEvent};
use crate::cli::record::command::RunningCommand;
use crate::cli::record::{listen, say};
use crate::collect::{Ended, Observer, Recorded, Samples, Session, SessionPlan, block_on};
use crate::host::Host;
use crate::host::capabilities::Capabilities;
use crate::host::cgroup::{Hierarchy, is_at_or_below};
use crate::host::containers::Containers;
use crate::model::{ContainerIdentity, ProcessKey};
use crate::recording::{CALL_NAMES, layout, owners};
use crate::seccomp::{Called, called};
use crate::target::{self, TargetArgs};
use crate::{Error, Result};

/// Rows of the kernel's table: 112 MiB if all are used.
const ROWS: u32 = 1_048_576;
/// How often it is looked whether the awaited container is gone.
const LOOK: Duration = Duration::from_millis(200);

/// Whose calls, and for how long.
pub(super) struct Wanted<'a> {
    /// What it is for, in messages.
    pub(super) to: &'a str,
    pub(super) target: &'a TargetArgs,
    /// A container of this name or id that is yet to start.
    pub(super) new: Option<&'a str>,
    pub(super) command: &'a [OsString],
    pub(super) duration: Option<Duration>,
    pub(super) btf: Option<&'a Path>,
    pub(super) log: bool,
}

/// What was counted.
pub(super) struct Watched {
    /// Containers that called the kernel, by their names.
    pub(super) containers: Vec<WatchedContainer>,
    pub(super) recorded: Recorded,
    /// The command's exit code; success without one.
    pub(super) code: ExitCode,
}

/// A container and its calls.
pub(super) struct WatchedContainer {
    pub(super) identity: ContainerIdentity,
    pub(super) called: Called,
    /// It was born while it was watched: its calls are complete from its first instruction.
    pub(super) is_complete: bool,
}

impl WatchedContainer {
    /// Its name, and what runs it.
    pub(super) fn label(&self) -> String {
        let identity = &self.identity;
        match (identity.runtime.as_str(), identity.id.get(..12)) {
            ("cgroup" | "systemd", _) => identity.name.clone(),
            (runtime, Some(id)) => format!("{} ({runtime} {id})", identity.name),
            (runtime, None) => format!("{} ({runtime})", identity.name),
        }
    }

    /// A runtime set it up, and no filter tells those calls from its own.
    pub(super) fn has_setup(&self) -> bool {
        let by_runtime = !matches!(self.identity.runtime.as_str(), "cgroup" | "systemd");
        by_runtime && self.is_complete && !self.called.is_confined
    }
}

/// Counts until the time is over, Ctrl-C, or the end of what is watched.
///
/// # Errors
/// Nothing was chosen, or it does not exist; a privilege or kernel feature is missing.
pub(super) fn watch(wanted: &Wanted<'_>) -> Result<Watched> {
    if wanted.target.is_everything() && wanted.new.is_none() && wanted.command.is_empty() {
        return Err(Error::Usage(
            "a seccomp profile is for a container: choose it with --container, --new, --cgroup, --pod or --pid, or give a COMMAND after --"
                .to_owned(),
        ));
    }
    block_on(count(wanted))
}

async fn count(wanted: &Wanted<'_>) -> Result<Watched> {
    let host = Host::default();
    Capabilities::of_self(&host)?.require(wanted.to)?;
    let hierarchy = Hierarchy::detect(&host)?;
    let mut containers = Containers::new(&host, &hierarchy);
    let resolved = target::resolve(wanted.target, &host, &hierarchy, &mut containers)?;
    for note in &resolved.notes {
        say(note);
    }
    let layout = layout(wanted.btf, &hierarchy)?;
    let mut command = RunningCommand::prepare(wanted.command, &hierarchy)?;
    let roots: Option<Vec<String>> = match (&command, wanted.new) {
        (Some(command), _) => Some(vec![command.cgroup().to_owned()]),
        // Where it will be born is not known.
        (None, Some(_)) => None,
        (None, None) => {
            let roots = resolved.roots.iter().map(|root| root.cgroup.clone());
            Some(roots.collect())
        }
    };
    // From here on Ctrl-C ends the counting, not the process.
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut session = Session::start(SessionPlan {
        layout: &layout,
        btf: wanted.btf,
        hierarchy: &hierarchy,
        roots: roots.as_deref(),
        event: SamplingEvent::CpuClock,
        frequency_hz: 1,
        map_entries: Some(1),
        stacks: &[],
        min_block: Duration::ZERO,
        calls: CallPlan {
            view: view::TIMES,
            confined: true,
            rows: ROWS,
            ..CallPlan::default()
        },
        interval: None,
        throttle: None,
        endless: false,
        log: wanted.log,
    })?;
    session.open()?;
    session.require_calls()?;
    if let Some(command) = &mut command {
        command.start()?;
    }
    let what = match (&command, wanted.new) {
        (Some(command), _) => command.name().to_owned(),
        (None, Some(name)) => format!("{name}, when it starts"),
        (None, None) => {
            let labels = resolved.roots.iter().map(|root| root.label.as_str());
            labels.collect::<Vec<_>>().join(", ")
        }
    };
    let time = wanted.duration;
    let time = time.map_or_else(String::new, |time| format!(" for {time:?}"));
    say(&format!(
        "counting system calls of {what}{time}; Ctrl-C ends it early"
    ));
    let births = RefCell::new(Births {
        containers,
        new: wanted.new,
        born: BTreeSet::new(),
    });
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => Ended::Interrupted,
            _ = terminate.recv() => Ended::Interrupted,
            () = births_end(&births, &hierarchy) => Ended::TargetsGone,
            () = async {
                match &mut command {
                    Some(command) => command.exited().await,
                    None => pending().await,
                }
            } => Ended::CommandExited,
        }
    };
    let ended = session
        .run(wanted.duration, stop, &mut Follower(&births))
        .await?;
    let recorded = session.finish()?;
    let code = match command {
        Some(command) => command.finish(ended).await,
        None => ExitCode::SUCCESS,
    };
    let born_is_all = !wanted.command.is_empty();
    let containers = births
        .into_inner()
        .assign(&recorded, roots.as_deref(), born_is_all);
    Ok(Watched {
        containers,
        recorded,
        code,
    })
}

/// Resolves when a container that was awaited has been, and is gone.
async fn births_end(births: &RefCell<Births<'_>>, hierarchy: &Hierarchy) {
    if births.borrow().new.is_none() {
        return pending().await;
    }
    loop {
        tokio::time::sleep(LOOK).await;
        let awaited = births.borrow_mut().awaited();
        let is_gone = |path: &String| matches!(hierarchy.lookup(path), Ok(None));
        if !awaited.is_empty() && awaited.iter().all(is_gone) {
            return;
        }
    }
}

/// Cgroups that are born while calls are counted, and their names.
struct Births<'a> {
    containers: Containers,
    new: Option<&'a str>,
    born: BTreeSet<String>,
}

impl Births<'_> {
    /// Whether this is the container that is waited for; without one, every container is.
    fn is_awaited(&self, identity: &ContainerIdentity) -> bool {
        self.new.is_none_or(|new| {
            let is_id = new.len() >= 4 && identity.id.starts_with(new);
            identity.name == new || is_id
        })
    }

    /// Newborn cgroups of the container that is waited for.
    fn awaited(&mut self) -> Vec<String> {
        let born: Vec<String> = self.born.iter().cloned().collect();
        let mut awaited = Vec::new();
        for path in born {
            let identity = self.containers.identify(&path);
            if self.is_awaited(&identity) {
                awaited.push(path);
            }
        }
        awaited
    }

    /// Gives every call to its container.
    fn assign(
        mut self,
        recorded: &Recorded,
        roots: Option<&[String]>,
        born_is_all: bool,
    ) -> Vec<WatchedContainer> {
        let Some(calls) = &recorded.calls else {
            return Vec::new();
        };
        self.containers.retry();
        let (owners, rows) = owners(&recorded.watch, roots, &mut self.containers);
        // A command's cgroup is new: what was in progress there before is the write that joined it.
        let is_its_own = |key: &CallKey| !born_is_all || key.kind() != kind::BEFORE;
        let calls = calls.rows.iter().filter(|(key, _)| is_its_own(key));
        let all = called(calls, CALL_NAMES, &owners, rows.len());
        let mut found: Vec<WatchedContainer> = rows
            .into_iter()
            .zip(all)
            .map(|(row, called)| {
                let cgroup = &row.identity.cgroup;
                let is_born = self.born.iter().any(|born| is_at_or_below(cgroup, born));
                WatchedContainer {
                    is_complete: born_is_all || is_born,
                    identity: row.identity,
                    called,
                }
            })
            .filter(|it| !it.called.is_empty())
            // A name that is waited for may have belonged to another container before.
            .filter(|it| self.new.is_none() || it.is_complete && self.is_awaited(&it.identity))
            .collect();
        found.sort_by(|a, b| {
            (&a.identity.name, &a.identity.cgroup).cmp(&(&b.identity.name, &b.identity.cgroup))
        });
        found
    }
}

/// Tells of births while the end is waited for.
struct Follower<'a, 'b>(&'a RefCell<Births<'b>>);

impl Observer for Follower<'_, '_> {
    fn process_seen(&mut self, _: ProcessKey, _: ProcessKey) {}

    fn cgroup_born(&mut self, path: &str) {
        let mut births = self.0.borrow_mut();
        // Now, because a short-lived container takes its runtime's files with it.
        births.containers.identify(path);
        births.born.insert(path.to_owned());
    }

    fn drained(&mut self, _: Duration, _: &Samples) {
        self.0.borrow_mut().containers.retry();
    }
}
