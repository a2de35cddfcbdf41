//! Functions of the kernel that are no layer, and say what those around them on a stack mean.

/// Names of ctprof's own BPF programs, as the kernel has them.
pub(super) const OWN_PROGRAMS: &[&str] = &[
    "ask_mapping",
    "call_never",
    "cgroup_attach",
    "cgroup_mkdir",
    "cgroup_rmdir",
    "complete_stacks",
    "isolation",
    "on_cpu",
    "oom_kill",
    "process_exec",
    "release_fentry",
    "release_kprobe",
    "sched_migrate",
    "sched_switch",
    "sched_wake_new",
    "sched_wakeup",
    "sched_waking",
    "stop_fentry",
    "stop_kprobe",
    "sys_enter",
    "sys_exit",
    "task_newtask",
    "visit_tasks",
];

/// Functions through which BPF programs are run, for whomever it may be.
pub(super) const RUNS_PROGRAMS: &[&str] = &[
    "bpf_prog_run_pin_on_cpu",
    "bpf_dispatcher_*",
    "bpf_trampoline_*",
    "__bpf_prog_run*",
    "___bpf_prog_run",
];

/// Functions of seccomp that a thread without a filter goes through, too, where something else takes its calls the slow way.
pub(super) const SLOW_ENTRY: &[&str] = &["syscall_trace_enter", "__syscall_enter_from_user_work"];

/// Detours that a jump through a register or a return takes on CPUs that mispredict them: part of the function that jumps.
pub(super) const DETOURS: &[&str] = &[
    "*__x86_indirect_*",
    "*__x86_return_thunk",
    "srso_*",
    "retbleed_*",
    "its_return_thunk",
];

/// Where work is done that was put off until the thread leaves the kernel: the release of files that the kernel has let go
/// of in the midst of something else, above all.
pub(super) const LATE_RELEASE: &str = "task_work_run";

/// An exiting thread does it, too, and has more to release.
pub(super) const EXIT: &str = "do_exit";

/// Overlayfs's release of a file, which lets go of the one below.
pub(super) const RELEASE: &str = "ovl_release";

/// Where soft interrupts are handled. Up to 6.8 it is `__do_softirq`, which may go by the name of its section.
pub(super) const SOFT_INTERRUPTS: &[&str] = &[
    "handle_softirqs",
    "__do_softirq",
    "__softirqentry_text_start",
];

/// Who calls that for what the thread itself has raised, when it lets them in again.
pub(super) const OWN_SOFT_INTERRUPTS: &[&str] =
    &["do_softirq", "__local_bh_enable_ip", "_local_bh_enable"];

/// Who is called by an interrupt, whatever the thread is at.
pub(super) const INTERRUPTS: &[&str] = &[
    "irq_exit*",
    "__irq_exit*",
    "run_ksoftirqd",
    "common_interrupt",
    "asm_common_interrupt",
    "sysvec_*",
    "__sysvec_*",
    "asm_sysvec_*",
    "hrtimer_interrupt",
    "el1_interrupt",
    "el0_interrupt",
    "el1h_64_irq*",
    "el0t_64_irq*",
];
