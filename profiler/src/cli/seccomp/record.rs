//! `ctprof seccomp record`: writes the profile of what a container called.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use ctprof_ebpf::abi::syscall::{CallKey, CallRow, kind};

use crate::bpf::CallPlan;
use crate::cli::counting::{Counting, Plan, block_on};
use crate::cli::duration;
use crate::cli::record::say;
use crate::cli::syscalls::view::NAMES;
use crate::cli::target_args::TargetArgs;
use crate::collect::{Observer, Samples};
use crate::host::containers::Containers;
use crate::model::ProcessKey;
use crate::output::seccomp::{Called, DefaultAction, Filtered, is_before_filter, profile};
use crate::{Error, Result};

/// Write a seccomp profile that allows what a container calls while this runs, and what its runtime needs.
///
/// A container that has the name of `--container` may start, or start again, while this runs: then its calls are in
/// the profile from its very first instruction. Ctrl-C ends the recording and writes the profile.
#[derive(Debug, clap::Args)]
pub(super) struct RecordArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// File to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// How long to record, such as 10s or 2m. Default: until Ctrl-C, or the COMMAND's life
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse)]
    duration: Option<Duration>,

    /// What the profile does with calls that it does not name
    #[arg(long, value_enum, default_value_t)]
    default_action: Choice,

    /// The kernel's type information, for kernels that do not publish it at /sys/kernel/btf/vmlinux
    #[arg(long, value_name = "PATH")]
    btf: Option<PathBuf>,

    /// A command to run and record in a cgroup of its own; its exit code becomes ctprof's
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["cgroup", "container", "pod", "pid"])]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// They fail with EPERM
    #[default]
    Errno,
    /// They are executed, and logged by the kernel
    Log,
}

pub(super) fn run(args: &RecordArgs, log: bool) -> Result<ExitCode> {
    if args.target.is_everything() && args.command.is_empty() {
        return Err(Error::Usage(
            "a profile is for one container: choose it with --container, --cgroup, --pod or --pid, or give a COMMAND after --"
                .to_owned(),
        ));
    }
    block_on(record(args, log))
}

async fn record(args: &RecordArgs, log: bool) -> Result<ExitCode> {
    let btf = args.btf.as_deref();
    let name = "seccomp record";
    let (mut counting, mut command) = match Counting::of(name, &args.target, &args.command, btf) {
        // It may be about to start.
        Err(Error::NotFound(_)) if !args.target.container.is_empty() => {
            let nobody = TargetArgs::default();
            Counting::of(name, &nobody, &[], btf)?
        }
        other => other?,
    };
    // Containers are recorded with everything else, and chosen in the end: one that starts again is another cgroup.
    let wanted = Wanted {
        names: args.target.container.clone(),
        roots: counting.roots.clone().unwrap_or_default(),
    };
    let followed = !wanted.names.is_empty();
    if followed {
        counting.roots = None;
    }
    if followed && wanted.roots.is_empty() {
        say(&format!(
            "no container is called {} yet: recording it from its start",
            wanted.names.join(", ")
        ));
    } else if command.is_none() {
        say(
            "it runs already: what it called to start is not in the profile, unless it starts again while this runs",
        );
    }
    let plan = Plan {
        btf,
        calls: CallPlan {
            confined: true,
            ..CallPlan::timed(counting.cgroups()?)
        },
        interval: None,
        stacks: 1,
        log,
    };
    let (mut watching, recorded, ended) = counting
        .run(plan, args.duration, command.as_mut(), |containers, _, _| {
            Ok(Watching(containers))
        })
        .await?;
    let code = match command {
        Some(command) => command.finish(ended).await,
        None => ExitCode::SUCCESS,
    };
    watching.0.retry();
    let slots: BTreeSet<u32> = recorded
        .watch
        .iter()
        .filter(|(_, path)| wanted.is_meant(path, &mut watching.0))
        .map(|(slot, _)| slot)
        .collect();
    let rows = recorded.calls.map(|calls| calls.rows).unwrap_or_default();
    let found = Found::of(rows.iter().filter(|(key, _)| slots.contains(&key.slot())));
    if found.called.names.is_empty() {
        return Err(Error::NotFound(format!(
            "cannot write {}: nothing that was chosen made a system call meanwhile; start it while this runs",
            args.output.display()
        )));
    }
    let action = match args.default_action {
        Choice::Errno => DefaultAction::Errno,
        Choice::Log => DefaultAction::Log,
    };
    let profile = profile(&found.called, action)
        .map_err(|error| Error::Failed(format!("cannot make a profile: {error}")))?;
    write(&args.output, &profile)?;
    say(&format!(
        "{}: {} system calls in {} calls",
        args.output.display(),
        found.called.names.len(),
        found.calls
    ));
    for note in found.notes() {
        say(&note);
    }
    for (cause, count) in recorded.lost.iter().filter(|(_, count)| **count > 0) {
        say(&format!("lost: {cause}: {count}"));
    }
    Ok(code)
}

/// Which cgroups are meant.
struct Wanted {
    names: Vec<String>,
    roots: Vec<String>,
}

impl Wanted {
    fn is_meant(&self, path: &str, containers: &mut Containers) -> bool {
        let is_below = |root: &String| crate::host::cgroup::is_at_or_below(path, root);
        if self.roots.iter().any(is_below) {
            return true;
        }
        let Some(owner) = containers.owner(path).filter(|_| !self.names.is_empty()) else {
            return false;
        };
        let identity = containers.identify(&owner);
        self.names.iter().any(|name| {
            identity.name == *name || !identity.id.is_empty() && identity.id.starts_with(name)
        })
    }
}

/// What was called.
#[derive(Debug, Default)]
struct Found {
    called: Called,
    calls: u64,
    refused: BTreeMap<String, u64>,
    unnamed: BTreeSet<String>,
    setup: BTreeSet<String>,
}

impl Found {
    /// Sums up rows. What a runtime called before its filter was on is left out.
    fn of<'a>(rows: impl Iterator<Item = (&'a CallKey, &'a CallRow)>) -> Self {
        let mut found = Self::default();
        let mut seen: HashMap<String, Filtered> = HashMap::new();
        for (key, row) in rows {
            let name = (NAMES.call)(key.number(), key.abi());
            if key.kind() == kind::REFUSED {
                *found.refused.entry(name).or_default() += row.count;
                continue;
            }
            found.calls += row.count;
            let abi = (NAMES.abi)(key.abi());
            if !abi.is_empty() {
                found.called.abis.insert(abi.to_owned());
            }
            // Nothing is known about a filter in calls that had begun before.
            let confined =
                key.is_confined() || matches!(key.kind(), kind::BEFORE | kind::THROUGHOUT);
            let called = seen.entry(name).or_default();
            called.with |= confined;
            called.without |= !confined;
        }
        let starts = seen.get("execve").copied().unwrap_or_default();
        for (name, called) in seen {
            if name.starts_with("syscall_") {
                found.unnamed.insert(name);
            } else if is_before_filter(&name, called, starts) {
                found.setup.insert(name);
            } else {
                found.called.names.insert(name);
            }
        }
        found
            .refused
            .retain(|name, _| !found.called.names.contains(name));
        found
    }

    fn notes(&self) -> Vec<String> {
        let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        let mut notes = Vec::new();
        if !self.refused.is_empty() {
            let names = self.refused.keys().cloned().collect();
            notes.push(format!(
                "left out, because the container's present filter refused them: {}",
                list(&names)
            ));
        }
        if !self.setup.is_empty() {
            notes.push(format!(
                "left out, because the runtime called them before its filter was on: {}",
                list(&self.setup)
            ));
        }
        if !self.unnamed.is_empty() {
            notes.push(format!(
                "left out, because a profile has names only: {}",
                list(&self.unnamed)
            ));
        }
        notes
    }
}

/// Follows a recording only to learn names.
struct Watching(Containers);

impl Observer for Watching {
    fn process_seen(&mut self, _: ProcessKey, _: ProcessKey) {}

    fn cgroup_born(&mut self, path: &str) {
        self.0.identify(path);
    }

    fn drained(&mut self, _: Duration, _: &Samples) {
        self.0.retry();
    }
}

fn write(path: &Path, profile: &impl serde::Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(profile)
        .map_err(|error| Error::Failed(format!("cannot make a profile: {error}")))?;
    text.push(b'\n');
    std::fs::File::create(path)
        .and_then(|mut file| file.write_all(&text))
        .map_err(|error| Error::io("write", path, &error))
}

#[cfg(test)]
mod tests {
    use ctprof_ebpf::abi::syscall::{CallKey, CallRow, abi, kind};

    use super::Found;

    const ONE: CallRow = CallRow {
        count: 1,
        sum_ns: 0,
        off_cpu_ns: 0,
        max_ns: 0,
    };

    fn found(keys: &[(libc::c_long, bool, u32)]) -> Found {
        let keys: Vec<CallKey> = keys
            .iter()
            .map(|(number, confined, kind)| {
                let number = u32::try_from(*number).unwrap();
                CallKey::of(3, number, abi::NATIVE, *confined).with_kind(*kind)
            })
            .collect();
        Found::of(keys.iter().map(|key| (key, &ONE)))
    }

    #[test]
    fn what_the_runtime_does_before_its_filter_is_left_out() {
        let found = found(&[
            (libc::SYS_mount, false, kind::RETURNED),
            (libc::SYS_read, false, kind::RETURNED),
            (libc::SYS_setns, true, kind::RETURNED),
            (libc::SYS_execve, true, kind::RETURNED),
            (libc::SYS_exit_group, true, kind::NEVER),
            (libc::SYS_bpf, true, kind::REFUSED),
        ]);
        let names: Vec<_> = found.called.names.iter().map(String::as_str).collect();
        assert_eq!(names, ["execve", "exit_group", "setns"]);
        assert_eq!(found.notes().len(), 2);
    }

    /// A program that confines itself, in a container that is not confined.
    #[test]
    fn programs_with_and_without_a_filter() {
        let found = found(&[
            (libc::SYS_mount, false, kind::RETURNED),
            (libc::SYS_read, false, kind::RETURNED),
            (libc::SYS_execve, false, kind::RETURNED),
            (libc::SYS_execve, true, kind::RETURNED),
        ]);
        assert!(found.called.names.contains("read"));
        assert!(found.setup.contains("mount"));
    }

    #[test]
    fn without_a_filter_everything_counts() {
        let found = found(&[
            (libc::SYS_mount, false, kind::RETURNED),
            (libc::SYS_execve, false, kind::RETURNED),
            (999, false, kind::RETURNED),
        ]);
        let names: Vec<_> = found.called.names.iter().map(String::as_str).collect();
        assert_eq!(names, ["execve", "mount"]);
        assert_eq!(
            found.notes(),
            ["left out, because a profile has names only: syscall_999"]
        );
    }
}
