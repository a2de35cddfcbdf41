//! `cargo xtask btf-fixture`: cuts the few types that ctprof reads out of a kernel's BTF, so that the
//! repository can hold real layouts of several kernels in a few kilobytes.

mod cut;
mod types;
mod vmlinux;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::vm::kernels::{self, Series};

/// Structs and the members that are kept of each. A struct that is not listed keeps its name and size only.
const STRUCTS: &[(&str, &[&str])] = &[
    (
        "task_struct",
        &[
            "thread_info",
            "__state",
            "flags",
            "on_cpu",
            "se",
            "sched_task_group",
            "throttled",
            "mm",
            "jobctl",
            "in_iowait",
            "pid",
            "tgid",
            "comm",
            "cgroups",
            "self_exec_id",
            "parent_exec_id",
            "start_boottime",
            "real_parent",
            "group_leader",
            "files",
            "seccomp",
            "utime",
            "stime",
            "prio",
            "rt",
            "dl",
            "restart_block",
        ],
    ),
    ("restart_block", &["fn"]),
    ("sched_rt_entity", &["rt_rq"]),
    (
        "sched_dl_entity",
        &["dl_deadline", "dl_period", "deadline", "dl_throttled"],
    ),
    ("rt_rq", &["rt_nr_running", "rt_throttled", "tg"]),
    ("thread_info", &["cpu", "status"]),
    ("mm_struct", &["start_stack", "start_code"]),
    (
        "task_group",
        &["css", "cfs_rq", "rt_rq", "parent", "cfs_bandwidth"],
    ),
    ("cfs_bandwidth", &["quota", "nr_periods"]),
    ("cgroup_subsys_state", &["cgroup", "parent"]),
    ("css_set", &["dfl_cgrp"]),
    ("cgroup", &["self", "kn", "root"]),
    ("cgroup_root", &["hierarchy_id"]),
    ("kernfs_node", &["id"]),
    ("sched_entity", &["cfs_rq"]),
    (
        "cfs_rq",
        &[
            "rq",
            "throttled",
            "throttle_count",
            "throttled_clock_pelt",
            "throttled_clock_pelt_time",
            "throttled_clock_self",
            "throttled_clock_self_time",
        ],
    ),
    (
        "rq",
        &["clock", "clock_pelt", "lost_idle_time", "cpu", "rt"],
    ),
    ("files_struct", &["fdt"]),
    ("fdtable", &["max_fds", "fd"]),
    ("file", &["f_inode"]),
    ("inode", &["i_mode", "i_sb"]),
    ("super_block", &["s_magic", "s_bdi"]),
    ("backing_dev_info", &["capabilities"]),
    ("seccomp", &["mode", "filter"]),
    ("seccomp_filter", &["prev", "notif"]),
    (
        "pt_regs",
        &[
            "r10", "r9", "r8", "bp", "bx", "cx", "dx", "ax", "si", "di", "orig_ax", "ip", "sp",
        ],
    ),
];

/// Typedefs that are kept: a tracepoint exists where its `btf_trace_` typedef does, and its arguments are
/// those of the function that it points to.
const TYPEDEFS: &[&str] = &[
    "btf_trace_sched_switch",
    "btf_trace_sched_wakeup",
    "btf_trace_sched_wakeup_new",
    "btf_trace_sched_migrate_task",
    "btf_trace_sched_process_exec",
    "btf_trace_sched_process_exit",
    "btf_trace_task_newtask",
    "btf_trace_cgroup_mkdir",
    "btf_trace_cgroup_rmdir",
    "btf_trace_cgroup_attach_task",
];

/// Cut a small BTF file for tests.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// BTF file to cut; default: the running kernel's.
    #[arg(long, value_name = "FILE", conflicts_with = "kernel")]
    btf: Option<PathBuf>,
    /// Take the BTF of a kernel of the matrix.
    #[arg(long)]
    kernel: Option<Series>,
    /// File to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let bytes = if let Some(series) = args.kernel {
        let kernel = kernels::get(series)?;
        println!("{}", kernel.name);
        vmlinux::btf(&kernel.image)?
    } else {
        let running = PathBuf::from("/sys/kernel/btf/vmlinux");
        let path = args.btf.as_ref().unwrap_or(&running);
        fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
    };
    let small = cut::cut(&types::Btf::parse(&bytes)?, STRUCTS, TYPEDEFS);
    for missing in &small.missing {
        println!("not in this kernel: {missing}");
    }
    fs::write(&args.output, &small.bytes)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    println!(
        "{}: {} of {} bytes",
        args.output.display(),
        small.bytes.len(),
        bytes.len()
    );
    Ok(ExitCode::SUCCESS)
}

/// Ids of the types that stand for these tracepoints in the running kernel's BTF.
pub(crate) fn tracepoint_ids(tracepoints: &[&str]) -> Result<Vec<u32>> {
    const PATH: &str = "/sys/kernel/btf/vmlinux";
    let bytes = fs::read(PATH).with_context(|| format!("cannot read {PATH}"))?;
    let btf = types::Btf::parse(&bytes)?;
    tracepoints
        .iter()
        .map(|tracepoint| {
            let name = format!("btf_trace_{tracepoint}");
            let id = btf
                .types
                .iter()
                .position(|ty| ty.kind == types::kind::TYPEDEF && btf.string(ty.name) == name);
            Ok(u32::try_from(id.with_context(|| {
                format!("this kernel has no tracepoint {tracepoint}")
            })?)?)
        })
        .collect()
}
