//! `ctprof syscalls`: what containers ask of the kernel, how often, with which result, for how long.
//!
//! - `counting`: a session that counts, for `ctprof seccomp` as well
//! - `slow_calls`: functions and files of slow and denied calls, looked up beside the event loop
//! - `view`: rows of the kernel half to tables and JSON, at the end or in between

pub(in crate::cli) mod counting;
pub(in crate::cli) mod slow_calls;
pub(crate) mod view;

use std::ffi::OsString;
use std::future::pending;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::{Format, duration, rows};
use crate::Result;
use crate::collect::block_on;
use crate::model::Grouping;
use crate::target::TargetArgs;
use crate::views::syscalls::{CallPlan, Order};
use counting::{Counting, Plan};
use view::View;

/// Length of a recording that names neither a duration nor a command, and does not show what it counts.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// Count system calls per container: calls, errors, latency, time on and off the CPU.
///
/// Counts in the kernel, for the chosen containers, or with a COMMAND for exactly that command's life in a cgroup of
/// its own, or for everything on the host. Ctrl-C ends it early. A COMMAND that still runs when counting ends is ended,
/// as `ctprof record` does.
#[derive(Debug, clap::Args)]
pub struct SyscallsArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// What a row is
    #[arg(long, value_name = "ROWS", default_value = "container", value_parser = rows::parser())]
    by: Grouping,

    /// How long to count, such as 10s or 2m. Default: 10s, the COMMAND's life, or with --interval until Ctrl-C
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse)]
    duration: Option<Duration>,

    /// Show what each interval brought, such as 1s, while counting
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse)]
    interval: Option<Duration>,

    /// What comes first. Default: total, or with --counts-only count
    #[arg(short, long, value_enum)]
    sort: Option<Order>,

    /// System calls shown for each container, 0 for all
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    /// Count calls and errors only: no times, at half the cost
    #[arg(long)]
    counts_only: bool,

    /// Show every call that takes at least this long, such as 10ms, when it returns; at most 500 a second, cgroup and CPU
    #[arg(long, value_name = "TIME", value_parser = duration::parse, conflicts_with = "counts_only")]
    slow: Option<Duration>,

    /// Show slow calls with the stack of their caller; functions that are not found within half a second are addresses
    #[arg(long, requires = "slow")]
    stack: bool,

    /// How to print the result; with --interval or --slow, JSON is one line a piece
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// The kernel's type information, for kernels that do not publish it at /sys/kernel/btf/vmlinux
    #[arg(long, value_name = "PATH")]
    btf: Option<PathBuf>,

    /// Rows of the kernel's table: makes a full table testable
    #[arg(long, hide = true)]
    map_entries: Option<u32>,

    /// A command to run and count in a cgroup of its own; its exit code becomes ctprof's
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["cgroup", "container", "pod", "pid"])]
    command: Vec<OsString>,
}

impl ValueEnum for Order {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, meaning) = self.words();
        Some(PossibleValue::new(name).help(meaning))
    }
}

impl SyscallsArgs {
    fn order(&self) -> Order {
        self.sort.unwrap_or(if self.counts_only {
            Order::Count
        } else {
            Order::Total
        })
    }

    fn limit(&self) -> Option<Duration> {
        let has_end = self.interval.is_some() || !self.command.is_empty();
        self.duration.or((!has_end).then_some(DEFAULT_DURATION))
    }

    fn plan(&self, cgroups: usize) -> CallPlan {
        let plan = CallPlan::timed(cgroups);
        CallPlan {
            timed: !self.counts_only,
            rows: self.map_entries.unwrap_or(plan.rows),
            slow_ns: self
                .slow
                .map_or(0, |slow| u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX)),
            slow_stacks: self.stack,
            ..plan
        }
    }
}

/// Stacks of slow calls that are held between two drains.
const STACKS: u32 = 4_096;

/// Counts and prints. Returns the command's exit code where there is a command.
///
/// # Errors
/// A target that does not exist, a missing privilege or kernel feature, an output that cannot be written.
pub fn run(args: &SyscallsArgs, log: bool) -> Result<ExitCode> {
    block_on(count(args, log))
}

async fn count(args: &SyscallsArgs, log: bool) -> Result<ExitCode> {
    let btf = args.btf.as_deref();
    let (counting, containers, mut command) =
        Counting::of("count system calls", &args.target, &args.command, btf)?;
    let plan = Plan {
        calls: args.plan(counting.cgroups()?),
        interval: args.interval,
        stacks: if args.stack { STACKS } else { 1 },
        log,
    };
    let naming = counting.naming(args.by, containers);
    let start_unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let (mut view, mut recorded, ended) = counting
        .run(
            plan,
            args.limit(),
            command.as_mut(),
            async |_| pending().await,
            |_| Ok(View::new(args, naming, start_unix)),
        )
        .await?;
    let code = match command {
        Some(command) => command.finish(ended).await,
        None => ExitCode::SUCCESS,
    };
    view.end(&mut recorded)?;
    Ok(code)
}
