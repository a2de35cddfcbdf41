//! The table of probes: what each is for, and which programs of the object it consists of.

use crate::collect::Hooks;
use crate::views;

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A BTF tracepoint of this name.
    Tracepoint(&'static str),
    /// A perf event on every CPU.
    PerfEvent,
    /// The entry of this kernel function, by trampoline.
    Fentry(&'static str),
    /// The entry of this kernel function, by breakpoint.
    Kprobe(&'static str),
    /// Run for every thread when asked to.
    Tasks,
    /// Run once when asked to.
    Call,
}

/// One probe. Programs and maps have at most 15 characters, the kernel's limit for names.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Its id in every view.
    pub id: &'static str,
    /// Name of the program in the object.
    pub program: &'static str,
    /// Where it attaches.
    pub hook: Hook,
    /// Whether recording is impossible without it.
    pub required: bool,
    /// What it gives, for `ctprof check`.
    pub gives: &'static str,
    /// What a recording lacks without it.
    pub without: &'static str,
}

/// On-CPU sampling.
pub const ON_CPU: Probe = Probe {
    id: "on_cpu",
    program: "on_cpu",
    hook: Hook::PerfEvent,
    required: true,
    gives: "samples of what runs on every CPU",
    without: "no on-CPU profile",
};

/// Births of cgroups.
pub const CGROUP_MKDIR: Probe = Probe {
    id: "cgroup_mkdir",
    program: "cgroup_mkdir",
    hook: Hook::Tracepoint("cgroup_mkdir"),
    required: false,
    gives: "containers that start while recording",
    without: "containers that start while recording count as host",
};

/// Ends of cgroups.
pub const CGROUP_RMDIR: Probe = tracepoint(
    "cgroup_rmdir",
    "cgroup_rmdir",
    "cgroup_rmdir",
    "the end of containers, for the agent",
    "the agent finds out late that a container has ended",
);

/// Changes of program image.
pub const PROCESS_EXEC: Probe = Probe {
    id: "process_exec",
    program: "process_exec",
    hook: Hook::Tracepoint("sched_process_exec"),
    required: false,
    gives: "names for processes that exit early",
    without: "short-lived processes may lack function names",
};

pub(crate) const fn tracepoint(
    id: &'static str,
    program: &'static str,
    hook: &'static str,
    gives: &'static str,
    without: &'static str,
) -> Probe {
    Probe {
        id,
        program,
        hook: Hook::Tracepoint(hook),
        required: false,
        gives,
        without,
    }
}

/// Visits to every thread: the ledger's beginning and end.
pub const VISIT: Probe = Probe {
    id: "visit_tasks",
    program: "visit_tasks",
    hook: Hook::Tasks,
    required: false,
    gives: "threads that were there before the recording",
    without: "no time ledger",
};

/// Visits to threads that sleep, to complete their stacks: `bpf_copy_from_user_task` is there from Linux 5.18 on.
pub const COMPLETE_STACKS: Probe = Probe {
    id: "complete_stacks",
    program: "complete_stacks",
    hook: Hook::Tasks,
    required: false,
    gives: "whole stacks of threads that sleep since before the recording",
    without: "threads that sleep since before the recording, or since before their files' unwind tables were made, have no \
              whole stacks",
};

/// What one of our own mappings shows: by this the kernel half recognises files, from Linux 6.1 on.
pub const ASK_MAPPING: Probe = Probe {
    id: "ask_mapping",
    program: "ask_mapping",
    hook: Hook::Call,
    required: false,
    gives: "whole stacks of processes that end before anybody has looked at them",
    without: "processes that live for less than a tenth of a second have no whole stacks",
};

/// Moves of threads between cgroups.
pub const CGROUP_ATTACH: Probe = tracepoint(
    "cgroup_attach",
    "cgroup_attach",
    "cgroup_attach_task",
    "threads that move between cgroups",
    "time of threads that move between cgroups is divided at their next event, not at the move",
);

/// Moves of waiting threads between CPUs.
pub const MIGRATE: Probe = tracepoint(
    "sched_migrate",
    "sched_migrate",
    "sched_migrate_task",
    "delays of threads that wait on several CPUs",
    "delays of threads that are moved to another CPU while they wait are unknown",
);

/// The probes without which there is no ledger, in the order in which they attach: births last, so that the end of
/// every thread whose birth was seen is seen, too.
pub const LEDGER: &[Probe] = &[
    tracepoint(
        "sched_switch",
        "sched_switch",
        "sched_switch",
        "time on the CPU, on the run queue and blocked",
        "no time ledger",
    ),
    tracepoint(
        "sched_wakeup",
        "sched_wakeup",
        "sched_wakeup",
        "the end of a sleep",
        "no time ledger",
    ),
    tracepoint(
        "sched_wakeup_new",
        "sched_wake_new",
        "sched_wakeup_new",
        "a thread's first wait",
        "no time ledger",
    ),
    tracepoint(
        "task_newtask",
        "task_newtask",
        "task_newtask",
        "threads born while recording",
        "no time ledger",
    ),
];

/// Probes that make the ledger better where they can be had.
pub const LEDGER_EXTRA: &[Probe] = &[MIGRATE, CGROUP_ATTACH];

const fn throttle(program: &'static str, hook: Hook) -> Probe {
    Probe {
        id: "throttle",
        program,
        hook,
        required: false,
        gives: "throttled time apart from run-queue time",
        without: "throttled time is measured by the load-tracking clock, which lags where CPUs run below full speed",
    }
}

/// Stops and releases of run queues, two ways to hook them, the cheaper first. For kernels before 6.6.
pub const THROTTLE: [[Probe; 2]; 2] = [
    [
        throttle("stop_fentry", Hook::Fentry("tg_throttle_down")),
        throttle("release_fentry", Hook::Fentry("tg_unthrottle_up")),
    ],
    [
        throttle("stop_kprobe", Hook::Kprobe("tg_throttle_down")),
        throttle("release_kprobe", Hook::Kprobe("tg_unthrottle_up")),
    ],
];

/// Every probe that `ctprof check` tries, in the order in which they attach: whatever must not miss a birth comes
/// first.
pub fn all() -> impl Iterator<Item = &'static Probe> {
    const FIRST: &[Probe] = &[CGROUP_MKDIR, CGROUP_RMDIR, PROCESS_EXEC];
    const LAST: &[Probe] = &[VISIT, COMPLETE_STACKS, ASK_MAPPING, ON_CPU];
    let views = views::hooks().flat_map(Hooks::probes);
    FIRST
        .iter()
        .chain(LEDGER)
        .chain(LEDGER_EXTRA)
        .chain(views)
        .chain(LAST)
}

/// The kernel's types, by name, that programs are loaded by.
pub(super) fn types() -> Vec<String> {
    let throttle = THROTTLE.iter().flatten();
    all()
        .chain(throttle)
        .filter_map(|probe| match probe.hook {
            Hook::Tracepoint(hook) => Some(format!("btf_trace_{hook}")),
            Hook::Fentry(function) => Some(function.to_owned()),
            Hook::Tasks => Some("bpf_iter_task".to_owned()),
            Hook::PerfEvent | Hook::Kprobe(_) | Hook::Call => None,
        })
        .collect()
}
