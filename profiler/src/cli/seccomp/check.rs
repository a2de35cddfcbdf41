//! `ctprof seccomp check`: what a profile would deny, has denied, and allows in vain.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ctprof_ebpf::abi::syscall::{CallKey, JUDGED, abi, kind};
use serde::Serialize;

use crate::bpf::CallPlan;
use crate::cli::counting::{Counting, Plan, block_on};
use crate::cli::record::assemble::owner;
use crate::cli::record::say;
use crate::cli::syscalls::slow::SlowCalls;
use crate::cli::syscalls::view::NAMES;
use crate::cli::target_args::TargetArgs;
use crate::cli::{Format, duration, output_error, print_json};
use crate::collect::{Observer, Recorded, Samples, SlowCallSeen};
use crate::host::containers::Containers;
use crate::model::ProcessKey;
use crate::output::seccomp::{Filtered, Judge, Verdict, is_before_filter};
use crate::output::units::counted;
use crate::{Error, Result};

/// Length of a check that names neither a duration nor a command.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// Stacks that are held between two drains.
const STACKS: u32 = 4_096;
/// Largest profile that is read; the largest in use have some 30 KB.
const LARGEST: u64 = 1 << 20;

/// Say which calls a seccomp profile would deny, which were denied, and which it allows that nobody makes.
///
/// Shows each denied call when it is made, with its stack. Exits with 1 if there was any.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The profile, as OCI runtimes and Docker read it
    #[arg(short, long, value_name = "FILE")]
    profile: PathBuf,

    #[command(flatten)]
    target: TargetArgs,

    /// How long to watch, such as 10s or 2m. Default: 10s, or the COMMAND's life
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse)]
    duration: Option<Duration>,

    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// The kernel's type information, for kernels that do not publish it at /sys/kernel/btf/vmlinux
    #[arg(long, value_name = "PATH")]
    btf: Option<PathBuf>,

    /// A command to run and check in a cgroup of its own
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["cgroup", "container", "pod", "pid"])]
    command: Vec<OsString>,
}

pub(super) fn run(args: &CheckArgs, log: bool) -> Result<ExitCode> {
    let judge = read(&args.profile)?;
    block_on(check(args, &judge, log))
}

fn read(path: &Path) -> Result<Judge> {
    let file = std::fs::File::open(path).map_err(|error| Error::io("read", path, &error))?;
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(Error::Failed(format!(
            "cannot read {}: not a regular file",
            path.display()
        )));
    }
    let mut text = String::new();
    file.take(LARGEST)
        .read_to_string(&mut text)
        .map_err(|error| Error::io("read", path, &error))?;
    Judge::parse(&text).map_err(|error| {
        Error::Failed(format!(
            "cannot use {}: {error}; it has to be a seccomp profile as OCI runtimes read it",
            path.display()
        ))
    })
}

async fn check(args: &CheckArgs, judge: &Judge, log: bool) -> Result<ExitCode> {
    let btf = args.btf.as_deref();
    let (counting, mut command) = Counting::of("seccomp check", &args.target, &args.command, btf)?;
    let plan = Plan {
        btf,
        calls: CallPlan {
            judge: true,
            confined: true,
            slow_stacks: true,
            ..CallPlan::timed(counting.cgroups()?)
        },
        interval: None,
        stacks: STACKS,
        log,
    };
    let limit = args
        .duration
        .or(command.is_none().then_some(DEFAULT_DURATION));
    let (watching, recorded, ended) = counting
        .run(
            plan,
            limit,
            command.as_mut(),
            |containers, roots, session| {
                session.judge(denied(judge))?;
                Ok(Watching {
                    containers,
                    roots,
                    calls: SlowCalls::new(),
                    stacks: BTreeMap::new(),
                })
            },
        )
        .await?;
    if let Some(command) = command {
        command.finish(ended).await;
    }
    let findings = Findings::of(args, judge, &recorded, &watching.stacks);
    match args.format {
        Format::Json => print_json(&findings)?,
        Format::Text => findings
            .print(&mut std::io::stdout().lock())
            .map_err(|error| output_error(&error))?,
    }
    for (cause, count) in recorded.lost.iter().filter(|(_, count)| **count > 0) {
        say(&format!("lost: {cause}: {count}"));
    }
    Ok(if findings.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Every call that a profile denies, by every kind of number.
fn denied(judge: &Judge) -> impl Iterator<Item = CallKey> + '_ {
    [abi::NATIVE, abi::COMPAT, abi::X32]
        .into_iter()
        .flat_map(|abi| (0..JUDGED).map(move |number| (number, abi)))
        .filter(|(number, abi)| judge.verdict(&(NAMES.call)(*number, *abi)) == Verdict::Denied)
        .map(|(number, abi)| CallKey::of(0, number, abi, false))
}

/// What was found out, as `--format json` has it.
#[derive(Debug, Serialize)]
struct Findings {
    schema_version: u32,
    profile: String,
    /// No call would be denied, and none was.
    passed: bool,
    /// Calls that were made and that the profile would deny.
    would_deny: Vec<Finding>,
    /// Calls that were not executed, because the filter that is on denied them.
    denied: Vec<Finding>,
    /// Calls that were made and that the profile allows with some arguments only.
    depends: Vec<Finding>,
    /// Calls that the profile allows and that nobody made.
    never_seen: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Finding {
    name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    abi: &'static str,
    count: u64,
    /// Functions of the most frequent caller, innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stack: Vec<String>,
}

/// How often each stack made each call, which was refused or not.
type Stacks = BTreeMap<(u32, u32, bool), BTreeMap<Vec<String>, u64>>;

impl Findings {
    fn of(args: &CheckArgs, judge: &Judge, recorded: &Recorded, stacks: &Stacks) -> Self {
        let mut sums: BTreeMap<(u32, u32, bool), (u64, Filtered)> = BTreeMap::new();
        let mut starts = Filtered::default();
        let rows = recorded.calls.iter().flat_map(|calls| &calls.rows);
        for (key, row) in rows {
            let refused = key.kind() == kind::REFUSED;
            let (count, called) = sums.entry((key.abi(), key.number(), refused)).or_default();
            *count += row.count;
            called.with |= key.is_confined();
            called.without |= !key.is_confined();
            if !refused && (NAMES.call)(key.number(), key.abi()) == "execve" {
                starts.with |= key.is_confined();
                starts.without |= !key.is_confined();
            }
        }
        let mut findings = Self {
            schema_version: 1,
            profile: args.profile.display().to_string(),
            passed: true,
            would_deny: Vec::new(),
            denied: Vec::new(),
            depends: Vec::new(),
            never_seen: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        for ((abi, number, refused), (count, called)) in sums {
            let name = (NAMES.call)(number, abi);
            if !refused && is_before_filter(&name, called, starts) {
                continue;
            }
            seen.insert(name.clone());
            let to = match judge.verdict(&name) {
                _ if refused => &mut findings.denied,
                Verdict::Denied => &mut findings.would_deny,
                Verdict::Depends => &mut findings.depends,
                Verdict::Allowed => continue,
            };
            let stacks = stacks.get(&(abi, number, refused));
            let stack = stacks
                .and_then(|stacks| stacks.iter().max_by_key(|(_, count)| **count))
                .map(|(stack, _)| stack.clone());
            to.push(Finding {
                name,
                abi: (NAMES.abi)(abi),
                count,
                stack: stack.unwrap_or_default(),
            });
        }
        findings.never_seen = judge
            .allowed()
            .filter(|name| !seen.contains(*name))
            .map(str::to_owned)
            .collect();
        findings.passed = findings.would_deny.is_empty() && findings.denied.is_empty();
        findings
    }

    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        for (title, findings) in [
            ("Would be denied", &self.would_deny),
            ("Were denied by the filter that is on", &self.denied),
            ("Allowed with some arguments only", &self.depends),
        ] {
            if findings.is_empty() {
                continue;
            }
            writeln!(out, "{title}:")?;
            for finding in findings {
                let abi = match finding.abi {
                    "" => String::new(),
                    abi => format!(" ({abi})"),
                };
                let calls = counted(finding.count, "call");
                writeln!(out, "  {}{abi}: {calls}", finding.name)?;
                for function in &finding.stack {
                    writeln!(out, "      {function}")?;
                }
            }
        }
        if !self.never_seen.is_empty() {
            writeln!(
                out,
                "Allowed, and not seen ({}): {}",
                self.never_seen.len(),
                self.never_seen.join(" ")
            )?;
        }
        if self.passed {
            writeln!(out, "{} allows every call that was made", self.profile)?;
        }
        Ok(())
    }
}

/// Shows denied calls as they are made.
struct Watching {
    containers: Containers,
    roots: Option<Vec<String>>,
    calls: SlowCalls,
    stacks: Stacks,
}

impl Observer for Watching {
    fn process_seen(&mut self, process: ProcessKey, parent: ProcessKey) {
        self.calls.observe(process, parent);
    }

    fn cgroup_born(&mut self, path: &str) {
        self.containers.identify(path);
    }

    fn slow_call(&mut self, seen: &SlowCallSeen<'_>) -> Result<()> {
        let key = seen.call.key;
        let refused = key.kind() == kind::REFUSED;
        let path = seen.watch.path(key.slot()).unwrap_or_default();
        let owner = owner(path, self.roots.as_deref(), &mut self.containers);
        let name = match &owner {
            Some(owner) => self.containers.identify(owner).name.clone(),
            None => "host".to_owned(),
        };
        let line = self.calls.line(seen, &name, "");
        let all = self
            .stacks
            .entry((key.abi(), key.number(), refused))
            .or_default();
        // Who has a runtime's name and no filter on builds a container.
        let is_setup = !key.is_confined() && line.is_of("runc:[2:INIT]");
        let is_first = all.is_empty() && !is_setup;
        *all.entry(line.stack().to_vec()).or_default() += 1;
        if is_first {
            let verb = if refused { "denied" } else { "would deny" };
            say(&format!("{verb} {}", line.summary()));
        }
        Ok(())
    }

    fn drained(&mut self, _: Duration, _: &Samples) {
        self.containers.retry();
    }
}
