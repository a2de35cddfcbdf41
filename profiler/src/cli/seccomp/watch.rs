//! Counts the calls of the chosen containers, those made under a seccomp filter apart from others.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::future::pending;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use ctprof_ebpf::views::syscalls::abi::{CallKey, SlowCall, kind};

use super::callers::{Caller, Callers};
use crate::cli::syscalls::counting::{Counting, Plan};
use crate::collect::{Noticed, Observer, Recorded, Samples, block_on};
use crate::grouping::{Naming, owner, owners};
use crate::host::cgroup::{Hierarchy, is_at_or_below};
use crate::host::syscalls::CALL_NAMES;
use crate::model::{ContainerIdentity, Grouping, ProcessKey, Runtime};
use crate::seccomp::{Called, Filter, called};
use crate::target::TargetArgs;
use crate::views::syscalls::{CallPlan, CallRun, RawCalls};
use crate::{Error, Result};

/// Rows of the kernel's table.
const ROWS: u32 = 1_048_576;
/// Stacks of denied calls that are held between two drains.
const STACKS: u32 = 4_096;
/// How often it is looked whether the awaited container is gone.
const LOOK: Duration = Duration::from_millis(200);

/// Whose calls, and for how long.
pub(super) struct Wanted<'a> {
    /// What is to be done, in messages.
    pub(super) to: &'a str,
    pub(super) target: &'a TargetArgs,
    /// A container of this name or id that is yet to start.
    pub(super) new: Option<&'a str>,
    pub(super) command: &'a [OsString],
    pub(super) duration: Option<Duration>,
    pub(super) btf: Option<&'a Path>,
    pub(super) log: bool,
    /// A profile: who makes calls that it denies, or that are denied now, is looked at.
    pub(super) filter: Option<&'a Filter>,
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
    /// Who made denied calls, most calls first; empty without a profile.
    pub(super) callers: Vec<Caller>,
    /// It was born while it was watched: its calls are complete from its first instruction.
    pub(super) is_complete: bool,
}

impl WatchedContainer {
    /// Its name, and what runs it.
    pub(super) fn label(&self) -> String {
        let identity = &self.identity;
        match (identity.runtime, identity.id.get(..12)) {
            (Runtime::Cgroup | Runtime::Systemd, _) => identity.name.clone(),
            (runtime, Some(id)) => format!("{} ({runtime} {id})", identity.name),
            (runtime, None) => format!("{} ({runtime})", identity.name),
        }
    }

    /// A runtime set it up, and no filter tells those calls from its own.
    pub(super) fn has_setup(&self) -> bool {
        let by_runtime = self.identity.runtime.starts_containers();
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
    let (mut counting, containers, mut command) =
        Counting::of(wanted.to, wanted.target, wanted.command, wanted.btf)?;
    if let Some(name) = wanted.new {
        counting = counting.called(format!("{name}, when it starts"));
    }
    let plan = Plan {
        calls: CallPlan {
            timed: true,
            confined: true,
            rows: ROWS,
            judge: wanted.filter.is_some(),
            slow_stacks: wanted.filter.is_some(),
            ..CallPlan::default()
        },
        interval: None,
        stacks: wanted.filter.map_or(1, |_| STACKS),
        log: wanted.log,
    };
    let births = Rc::new(RefCell::new(Births {
        naming: counting.naming(Grouping::Container, containers),
        new: wanted.new,
        born: BTreeSet::new(),
    }));
    let awaited = Rc::clone(&births);
    let (follower, mut recorded, ended) = counting
        .run(
            plan,
            wanted.duration,
            command.as_mut(),
            async |hierarchy| births_end(&awaited, hierarchy).await,
            |session| {
                if let (Some(filter), Some(calls)) = (wanted.filter, session.view::<CallRun>()) {
                    calls.judge(filter.denied(CALL_NAMES))?;
                }
                Ok(Follower {
                    births: &births,
                    callers: wanted.filter.map(|_| Callers::default()),
                })
            },
        )
        .await?;
    let code = match command {
        Some(command) => command.finish(ended).await,
        None => ExitCode::SUCCESS,
    };
    let containers = follower.assign(&mut recorded, !wanted.command.is_empty());
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
    naming: Naming,
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
            let identity = self.naming.containers().identify(&path);
            if self.is_awaited(&identity) {
                awaited.push(path);
            }
        }
        awaited
    }

    fn is_born(&self, cgroup: &str) -> bool {
        self.born.iter().any(|born| is_at_or_below(cgroup, born))
    }
}

/// Follows what happens while calls are counted.
struct Follower<'a, 'b> {
    births: &'a RefCell<Births<'b>>,
    /// `None` without a profile.
    callers: Option<Callers>,
}

impl Follower<'_, '_> {
    /// Gives every call to its container.
    fn assign(mut self, recorded: &mut Recorded, born_is_all: bool) -> Vec<WatchedContainer> {
        if let Some(callers) = &mut self.callers {
            callers.end(&mut recorded.lost);
        }
        let Some(calls) = recorded.raw.get::<RawCalls>() else {
            return Vec::new();
        };
        let births = &mut *self.births.borrow_mut();
        births.naming.settle();
        let (owners, rows) = owners(&recorded.watch, &mut births.naming);
        // A command's cgroup is new: what was in progress there before is the write that joined it.
        let is_its_own = |key: &CallKey| !born_is_all || key.kind() != kind::BEFORE;
        let calls = calls.rows.iter().filter(|(key, _)| is_its_own(key));
        let all = called(calls, CALL_NAMES, &owners, rows.len());
        let mut found: Vec<WatchedContainer> = rows
            .into_iter()
            .zip(all)
            .enumerate()
            .map(|(position, (row, called))| WatchedContainer {
                is_complete: born_is_all || births.is_born(&row.identity.cgroup),
                identity: row.identity,
                callers: self.callers.as_ref().map_or_else(Vec::new, |callers| {
                    let is_its = |slot| owners.0.get(&slot) == Some(&position);
                    callers.of(is_its, called.is_confined)
                }),
                called,
            })
            .filter(|it| !it.called.is_empty())
            // A name that is waited for may have belonged to another container before.
            .filter(|it| births.new.is_none() || it.is_complete && births.is_awaited(&it.identity))
            .collect();
        found.sort_by(|a, b| {
            (&a.identity.name, &a.identity.cgroup).cmp(&(&b.identity.name, &b.identity.cgroup))
        });
        found
    }
}

impl Observer for Follower<'_, '_> {
    fn process_seen(&mut self, process: ProcessKey, parent: Option<ProcessKey>, _: u64) {
        if let Some(callers) = &mut self.callers {
            callers.observe(process, parent);
        }
    }

    fn cgroup_born(&mut self, path: &str) -> ContainerIdentity {
        let mut births = self.births.borrow_mut();
        births.born.insert(path.to_owned());
        births.naming.born(path)
    }

    fn noticed(&mut self, seen: &Noticed<'_>) -> Result<()> {
        let Some(call) = seen.get::<SlowCall>() else {
            return Ok(());
        };
        let births = &mut *self.births.borrow_mut();
        let path = seen.watch.path(call.key.slot()).unwrap_or_default();
        let owner = owner(path, seen.watch.roots(), births.naming.containers());
        let identity = births
            .naming
            .containers()
            .identify(owner.as_deref().unwrap_or(path));
        let is_told = births.is_awaited(&identity);
        if let Some(callers) = &mut self.callers {
            callers.add(call, &seen.stack, &identity, is_told);
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<()> {
        if let Some(callers) = &mut self.callers {
            callers.turn();
        }
        Ok(())
    }

    fn drained(&mut self, _: Duration, _: &Samples) -> Vec<ContainerIdentity> {
        self.births.borrow_mut().naming.settle()
    }
}
