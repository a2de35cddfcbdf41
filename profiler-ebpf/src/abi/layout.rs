//! Names of the read-only globals that the loader fills before the programs are verified.
//!
//! `OFF_*` are byte offsets of kernel fields, resolved from the running kernel's BTF; `HAVE_*` and the
//! rest are switches. The verifier sees them as constants.

/// One global of the kernel half, by the name of its symbol in the object.
pub type GlobalName = &'static str;

/// `task_struct.sched_task_group`.
pub const OFF_TASK_GROUP: GlobalName = "OFF_TASK_GROUP";
/// `task_group.css`, the cpu controller's state of a cgroup.
pub const OFF_TG_CSS: GlobalName = "OFF_TG_CSS";
/// `cgroup_subsys_state.cgroup`.
pub const OFF_CSS_CGROUP: GlobalName = "OFF_CSS_CGROUP";
/// `cgroup_subsys_state.parent`.
pub const OFF_CSS_PARENT: GlobalName = "OFF_CSS_PARENT";
/// `task_struct.cgroups`.
pub const OFF_TASK_CGROUPS: GlobalName = "OFF_TASK_CGROUPS";
/// `css_set.dfl_cgrp`.
pub const OFF_CSET_DFL: GlobalName = "OFF_CSET_DFL";
/// `cgroup.kn`.
pub const OFF_CGROUP_KN: GlobalName = "OFF_CGROUP_KN";
/// `cgroup.self`, the cgroup's own state, through which its parent is found.
pub const OFF_CGROUP_SELF: GlobalName = "OFF_CGROUP_SELF";
/// `cgroup.root`.
pub const OFF_CGROUP_ROOT: GlobalName = "OFF_CGROUP_ROOT";
/// `cgroup_root.hierarchy_id`.
pub const OFF_ROOT_HIER: GlobalName = "OFF_ROOT_HIER";
/// `kernfs_node.id`.
pub const OFF_KN_ID: GlobalName = "OFF_KN_ID";
/// `task_struct.flags`.
pub const OFF_TASK_FLAGS: GlobalName = "OFF_TASK_FLAGS";
/// `task_struct.self_exec_id`.
pub const OFF_TASK_EXEC: GlobalName = "OFF_TASK_EXEC";
/// `task_struct.parent_exec_id`: the parent's `self_exec_id` at the fork.
pub const OFF_TASK_PEXEC: GlobalName = "OFF_TASK_PEXEC";
/// `task_struct.start_boottime`.
pub const OFF_TASK_START: GlobalName = "OFF_TASK_START";
/// `task_struct.mm`.
pub const OFF_TASK_MM: GlobalName = "OFF_TASK_MM";
/// `mm_struct.start_stack`.
pub const OFF_MM_STACK: GlobalName = "OFF_MM_STACK";
/// `mm_struct.start_code`.
pub const OFF_MM_CODE: GlobalName = "OFF_MM_CODE";
/// `task_struct.real_parent`.
pub const OFF_TASK_PARENT: GlobalName = "OFF_TASK_PARENT";
/// `task_struct.tgid`.
pub const OFF_TASK_TGID: GlobalName = "OFF_TASK_TGID";

/// 1 where the CPU controller sits in a cgroup v1 hierarchy.
pub const CGROUP_V1: GlobalName = "CGROUP_V1";
/// Number of the hierarchy whose cgroups are watched, as in `/proc/self/cgroup`; 0 is cgroup v2.
pub const HIERARCHY_ID: GlobalName = "HIERARCHY_ID";
/// Most slots for newborn cgroups that one subtree may hold.
pub const SHARE: GlobalName = "SHARE";
/// 1 when threads outside every watched cgroup are recorded as `host`, and kernel threads as `kernel`.
pub const RECORD_HOST: GlobalName = "RECORD_HOST";

/// 1 when user stacks are unwound by tables.
pub const UNWIND: GlobalName = "UNWIND";

/// `task_struct.pid`.
pub const OFF_TASK_PID: GlobalName = "OFF_TASK_PID";
/// `task_struct.comm`.
pub const OFF_TASK_COMM: GlobalName = "OFF_TASK_COMM";
/// `task_struct.__state`.
pub const OFF_TASK_STATE: GlobalName = "OFF_TASK_STATE";
/// `task_struct.on_cpu`.
pub const OFF_TASK_ON_CPU: GlobalName = "OFF_TASK_ON_CPU";
/// `task_struct.utime`.
pub const OFF_TASK_UTIME: GlobalName = "OFF_TASK_UTIME";
/// `task_struct.stime`.
pub const OFF_TASK_STIME: GlobalName = "OFF_TASK_STIME";
/// `task_struct.thread_info.cpu`.
pub const OFF_TASK_CPU: GlobalName = "OFF_TASK_CPU";
/// `task_struct.thread_info.status`.
pub const OFF_TASK_STATUS: GlobalName = "OFF_TASK_STATUS";
/// `task_struct.group_leader`.
pub const OFF_TASK_LEADER: GlobalName = "OFF_TASK_LEADER";
/// `task_struct.jobctl`.
pub const OFF_TASK_JOBCTL: GlobalName = "OFF_TASK_JOBCTL";
/// `task_struct.in_iowait`: the byte that holds the bit.
pub const OFF_TASK_IOWAIT: GlobalName = "OFF_TASK_IOWAIT";
/// `task_struct.in_iowait`: the bit's value in that byte.
pub const BIT_TASK_IOWAIT: GlobalName = "BIT_TASK_IOWAIT";
/// `task_struct.files`.
pub const OFF_TASK_FILES: GlobalName = "OFF_TASK_FILES";
/// `files_struct.fdt`.
pub const OFF_FILES_FDT: GlobalName = "OFF_FILES_FDT";
/// `fdtable.max_fds`.
pub const OFF_FDT_MAX: GlobalName = "OFF_FDT_MAX";
/// `fdtable.fd`.
pub const OFF_FDT_FD: GlobalName = "OFF_FDT_FD";
/// `file.f_inode`.
pub const OFF_FILE_INODE: GlobalName = "OFF_FILE_INODE";
/// `mm_struct.mm_mt.ma_root`: the tree of mappings.
pub const OFF_MM_TREE: GlobalName = "OFF_MM_TREE";
/// `maple_range_64.pivot`.
pub const OFF_RANGE_PIVOTS: GlobalName = "OFF_RANGE_PIVOTS";
/// `maple_range_64.slot`.
pub const OFF_RANGE_SLOTS: GlobalName = "OFF_RANGE_SLOTS";
/// `maple_arange_64.pivot`.
pub const OFF_GAPS_PIVOTS: GlobalName = "OFF_GAPS_PIVOTS";
/// `maple_arange_64.slot`.
pub const OFF_GAPS_SLOTS: GlobalName = "OFF_GAPS_SLOTS";
/// `vm_area_struct.vm_mm`.
pub const OFF_VMA_MM: GlobalName = "OFF_VMA_MM";
/// `vm_area_struct.vm_start`.
pub const OFF_VMA_START: GlobalName = "OFF_VMA_START";
/// `vm_area_struct.vm_end`.
pub const OFF_VMA_END: GlobalName = "OFF_VMA_END";
/// `vm_area_struct.vm_pgoff`.
pub const OFF_VMA_PAGE: GlobalName = "OFF_VMA_PAGE";
/// `vm_area_struct.vm_file`.
pub const OFF_VMA_FILE: GlobalName = "OFF_VMA_FILE";
/// `vm_area_struct.vm_private_data`.
pub const OFF_VMA_PRIVATE: GlobalName = "OFF_VMA_PRIVATE";
/// `inode.i_mode`.
pub const OFF_INODE_MODE: GlobalName = "OFF_INODE_MODE";
/// `inode.i_sb`.
pub const OFF_INODE_SB: GlobalName = "OFF_INODE_SB";
/// `super_block.s_magic`.
pub const OFF_SB_MAGIC: GlobalName = "OFF_SB_MAGIC";
/// `super_block.s_bdi`.
pub const OFF_SB_BDI: GlobalName = "OFF_SB_BDI";
/// `backing_dev_info.capabilities`.
pub const OFF_BDI_CAPS: GlobalName = "OFF_BDI_CAPS";
/// `task_struct.restart_block.fn`: with which function an interrupted call goes on.
pub const OFF_TASK_RESTART: GlobalName = "OFF_TASK_RESTART";
/// `task_struct.prio`.
pub const OFF_TASK_PRIO: GlobalName = "OFF_TASK_PRIO";
/// `task_struct.rt.rt_rq`: where groups have queues of their own (`CONFIG_RT_GROUP_SCHED`).
pub const OFF_TASK_RTQ: GlobalName = "OFF_TASK_RTQ";
/// `rt_rq.rt_throttled`.
pub const OFF_RTQ_STOPPED: GlobalName = "OFF_RTQ_STOPPED";
/// `rt_rq.tg`.
pub const OFF_RTQ_GROUP: GlobalName = "OFF_RTQ_GROUP";
/// `task_group.rt_rq`.
pub const OFF_TG_RTQS: GlobalName = "OFF_TG_RTQS";
/// `rq.rt.rt_nr_running`.
pub const OFF_RQ_RT_COUNT: GlobalName = "OFF_RQ_RT_COUNT";
/// `task_struct.dl.deadline`.
pub const OFF_DL_DEADLINE: GlobalName = "OFF_DL_DEADLINE";
/// `task_struct.dl.dl_deadline`.
pub const OFF_DL_RELATIVE: GlobalName = "OFF_DL_RELATIVE";
/// `task_struct.dl.dl_period`.
pub const OFF_DL_PERIOD: GlobalName = "OFF_DL_PERIOD";
/// `task_struct.dl.dl_throttled`: the byte that holds the bit.
pub const OFF_DL_STOPPED: GlobalName = "OFF_DL_STOPPED";
/// `task_struct.dl.dl_throttled`: the bit's value in that byte.
pub const BIT_DL_STOPPED: GlobalName = "BIT_DL_STOPPED";
/// Number of `restart_syscall`.
pub const CALL_RESTART: GlobalName = "CALL_RESTART";
/// Number of `poll`.
pub const CALL_POLL: GlobalName = "CALL_POLL";
/// Number of `futex`.
pub const CALL_FUTEX: GlobalName = "CALL_FUTEX";
/// Number of `nanosleep`.
pub const CALL_NANOSLEEP: GlobalName = "CALL_NANOSLEEP";
/// Number of `clock_nanosleep`.
pub const CALL_CLOCK_NANOSLEEP: GlobalName = "CALL_CLOCK_NANOSLEEP";
/// `pt_regs.ax`: the result of a system call.
pub const OFF_REGS_RESULT: GlobalName = "OFF_REGS_RESULT";
/// `pt_regs.orig_ax`: the number of the system call.
pub const OFF_REGS_NUMBER: GlobalName = "OFF_REGS_NUMBER";
/// `pt_regs.di`: the first argument of a system call.
pub const OFF_REGS_FIRST: GlobalName = "OFF_REGS_FIRST";
/// `pt_regs.si`: the second argument; the first of those that follow in the order of a call's arguments.
pub const OFF_REGS_SI: GlobalName = "OFF_REGS_SI";
/// `pt_regs.dx`.
pub const OFF_REGS_DX: GlobalName = "OFF_REGS_DX";
/// `pt_regs.r10`.
pub const OFF_REGS_R10: GlobalName = "OFF_REGS_R10";
/// `pt_regs.r8`.
pub const OFF_REGS_R8: GlobalName = "OFF_REGS_R8";
/// `pt_regs.r9`.
pub const OFF_REGS_R9: GlobalName = "OFF_REGS_R9";
/// `pt_regs.bx`: the first argument of a 32-bit call.
pub const OFF_REGS_BX: GlobalName = "OFF_REGS_BX";
/// `pt_regs.bp`: the sixth argument of a 32-bit call.
pub const OFF_REGS_BP: GlobalName = "OFF_REGS_BP";
/// `pt_regs.cx`: after the instruction `syscall`, the address that follows it.
pub const OFF_REGS_CX: GlobalName = "OFF_REGS_CX";
/// `pt_regs.sp`.
pub const OFF_REGS_SP: GlobalName = "OFF_REGS_SP";
/// `pt_regs.ip`.
pub const OFF_REGS_IP: GlobalName = "OFF_REGS_IP";
/// `task_struct.se.cfs_rq`.
pub const OFF_TASK_QUEUE: GlobalName = "OFF_TASK_QUEUE";
/// `task_struct.throttled`.
pub const OFF_TASK_STOPPED: GlobalName = "OFF_TASK_STOPPED";
/// `cfs_rq.throttled_clock_self_time`.
pub const OFF_QUEUE_TOTAL: GlobalName = "OFF_QUEUE_TOTAL";
/// `cfs_rq.throttled_clock_self`.
pub const OFF_QUEUE_SINCE: GlobalName = "OFF_QUEUE_SINCE";
/// `cfs_rq.throttled_clock_pelt_time`.
pub const OFF_QUEUE_PELT: GlobalName = "OFF_QUEUE_PELT";
/// `cfs_rq.throttled_clock_pelt`.
pub const OFF_QUEUE_PSINCE: GlobalName = "OFF_QUEUE_PSINCE";
/// `cfs_rq.throttle_count`.
pub const OFF_QUEUE_COUNT: GlobalName = "OFF_QUEUE_COUNT";
/// `cfs_rq.rq`.
pub const OFF_QUEUE_RQ: GlobalName = "OFF_QUEUE_RQ";
/// `rq.clock`.
pub const OFF_RQ_CLOCK: GlobalName = "OFF_RQ_CLOCK";
/// `rq.clock_pelt`.
pub const OFF_RQ_PELT: GlobalName = "OFF_RQ_PELT";
/// `rq.lost_idle_time`.
pub const OFF_RQ_LOST: GlobalName = "OFF_RQ_LOST";
/// `rq.cpu`.
pub const OFF_RQ_CPU: GlobalName = "OFF_RQ_CPU";
/// `task_group.cfs_rq`.
pub const OFF_TG_QUEUES: GlobalName = "OFF_TG_QUEUES";
/// `task_group.parent`.
pub const OFF_TG_PARENT: GlobalName = "OFF_TG_PARENT";
/// `task_group.cfs_bandwidth.quota`.
pub const OFF_TG_QUOTA: GlobalName = "OFF_TG_QUOTA";
/// `task_group.cfs_bandwidth.nr_periods`.
pub const OFF_TG_PERIODS: GlobalName = "OFF_TG_PERIODS";

/// Value of an offset whose field this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// How time throttled is told from time on the run queue; see [`throttle`].
pub const THROTTLE: GlobalName = "THROTTLE";
/// Of which states there may be stacks: bit 1 << ON_CPU, RUN_QUEUE, THROTTLED or BLOCKED (any reason) of
/// [`super::ledger::state`].
pub const STACK_STATES: GlobalName = "STACK_STATES";
/// 1 when the `WANTED` map says whose stacks are wanted, and that may change while recording.
pub const STACKS_BY_SLOT: GlobalName = "STACKS_BY_SLOT";
/// Intervals shorter than this many ns are counted without their stacks.
pub const MIN_BLOCK_NS: GlobalName = "MIN_BLOCK_NS";
/// `task_struct.thread_info.flags`, on machines where it marks 32-bit threads.
pub const OFF_TASK_TIFLAGS: GlobalName = "OFF_TASK_TIFLAGS";
/// `task_struct.seccomp.mode`.
pub const OFF_TASK_SECCOMP: GlobalName = "OFF_TASK_SECCOMP";
/// `task_struct.seccomp.filter`.
pub const OFF_TASK_FILTER: GlobalName = "OFF_TASK_FILTER";
/// `seccomp_filter.prev`.
pub const OFF_FILTER_PREV: GlobalName = "OFF_FILTER_PREV";
/// `seccomp_filter.notif`.
pub const OFF_FILTER_NOTIF: GlobalName = "OFF_FILTER_NOTIF";
/// 1 when processes were chosen: their threads have a slot of their own.
pub const BY_PROCESS: GlobalName = "BY_PROCESS";
/// First slot for a cgroup born while recording.
pub const FIRST_BORN: GlobalName = "FIRST_BORN";
/// Slots that exist.
pub const SLOTS: GlobalName = "SLOTS";

/// Values of [`THROTTLE`].
pub mod throttle {
    /// Not at all: throttled time shows as run-queue time.
    pub const UNKNOWN: u32 = 0;
    /// The kernel marks each stopped thread, and the queue's own clock says for how long (6.18).
    pub const BY_THREAD: u32 = 1;
    /// The queue's own clock (6.6).
    pub const BY_QUEUE: u32 = 2;
    /// Hooks on the kernel's functions that stop and release a queue.
    pub const BY_HOOK: u32 = 3;
    /// The queue's load-tracking clock: lags behind where CPUs run below full speed.
    pub const BY_PELT: u32 = 4;
}
