//! The table of probes: what each is for, and which programs of the object it consists of.

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A BTF tracepoint of this name.
    Tracepoint(&'static str),
    /// A perf event on every CPU.
    PerfEvent,
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

/// Changes of program image.
pub const PROCESS_EXEC: Probe = Probe {
    id: "process_exec",
    program: "process_exec",
    hook: Hook::Tracepoint("sched_process_exec"),
    required: false,
    gives: "names for processes that exit early",
    without: "short-lived processes may lack function names",
};

/// Every probe, in the order in which they attach: whatever must not miss a birth comes first.
pub const ALL: &[Probe] = &[CGROUP_MKDIR, PROCESS_EXEC, ON_CPU];
