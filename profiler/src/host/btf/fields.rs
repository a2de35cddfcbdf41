//! Every kernel field that the kernel half reads.

use ctprof_ebpf::abi::layout::{self, GlobalName};

/// When a field has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Always.
    Always,
    /// Where the CPU controller sits in a cgroup v1 hierarchy.
    OnV1,
    /// Where it sits in cgroup v2.
    OnV2,
    /// For the time ledger.
    Ledger,
    /// To tell one thing more.
    Optional,
}

/// What the global takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// The offset of the byte.
    Offset,
    /// The value of the bit within the byte.
    Bit,
}

/// One field, and every name it has had.
#[derive(Debug)]
pub struct Field {
    /// The global of the kernel half that takes its offset.
    pub global: GlobalName,
    /// The struct.
    pub type_name: &'static str,
    /// Member paths, newest kernel first.
    pub paths: &'static [&'static str],
    pub(super) need: Need,
    pub(super) value: Value,
}

const fn field(
    global: GlobalName,
    type_name: &'static str,
    paths: &'static [&'static str],
    need: Need,
) -> Field {
    Field {
        global,
        type_name,
        paths,
        need,
        value: Value::Offset,
    }
}

/// Every kernel field that ctprof reads.
#[rustfmt::skip]
pub const FIELDS: &[Field] = &[
    field(layout::OFF_TASK_FLAGS, "task_struct", &["flags"], Need::Always),
    field(layout::OFF_TASK_TGID, "task_struct", &["tgid"], Need::Always),
    field(layout::OFF_TASK_EXEC, "task_struct", &["self_exec_id"], Need::Always),
    field(layout::OFF_TASK_LEADER, "task_struct", &["group_leader"], Need::Always),
    field(layout::OFF_TASK_PEXEC, "task_struct", &["parent_exec_id"], Need::Always),
    field(layout::OFF_TASK_START, "task_struct", &["start_boottime"], Need::Always),
    field(layout::OFF_TASK_MM, "task_struct", &["mm"], Need::Always),
    field(layout::OFF_MM_STACK, "mm_struct", &["start_stack"], Need::Always),
    field(layout::OFF_MM_CODE, "mm_struct", &["start_code"], Need::Always),
    field(layout::OFF_TASK_PARENT, "task_struct", &["real_parent"], Need::Always),
    field(layout::OFF_TASK_GROUP, "task_struct", &["sched_task_group"], Need::OnV1),
    field(layout::OFF_TG_CSS, "task_group", &["css"], Need::OnV1),
    field(layout::OFF_TASK_CGROUPS, "task_struct", &["cgroups"], Need::OnV2),
    field(layout::OFF_CSET_DFL, "css_set", &["dfl_cgrp"], Need::OnV2),
    field(layout::OFF_CSS_CGROUP, "cgroup_subsys_state", &["cgroup"], Need::Always),
    field(layout::OFF_CSS_PARENT, "cgroup_subsys_state", &["parent"], Need::Always),
    field(layout::OFF_CGROUP_KN, "cgroup", &["kn"], Need::Always),
    field(layout::OFF_CGROUP_SELF, "cgroup", &["self"], Need::Always),
    field(layout::OFF_CGROUP_ROOT, "cgroup", &["root"], Need::Always),
    field(layout::OFF_ROOT_HIER, "cgroup_root", &["hierarchy_id"], Need::Always),
    field(layout::OFF_KN_ID, "kernfs_node", &["id"], Need::Always),
    // The ledger.
    field(layout::OFF_TASK_PID, "task_struct", &["pid"], Need::Ledger),
    field(layout::OFF_TASK_COMM, "task_struct", &["comm"], Need::Ledger),
    field(layout::OFF_TASK_STATE, "task_struct", &["__state"], Need::Ledger),
    field(layout::OFF_TASK_ON_CPU, "task_struct", &["on_cpu"], Need::Ledger),
    field(layout::OFF_TASK_CPU, "task_struct", &["thread_info.cpu", "cpu"], Need::Optional),
    field(layout::OFF_TASK_UTIME, "task_struct", &["utime"], Need::Optional),
    field(layout::OFF_TASK_STIME, "task_struct", &["stime"], Need::Optional),
    // Why a thread sleeps.
    field(layout::OFF_TASK_STATUS, "task_struct", &["thread_info.status"], Need::Optional),
    field(layout::OFF_TASK_JOBCTL, "task_struct", &["jobctl"], Need::Optional),
    field(layout::OFF_TASK_IOWAIT, "task_struct", &["in_iowait"], Need::Optional),
    Field { value: Value::Bit, ..field(layout::BIT_TASK_IOWAIT, "task_struct", &["in_iowait"], Need::Optional) },
    field(layout::OFF_TASK_FILES, "task_struct", &["files"], Need::Optional),
    field(layout::OFF_FILES_FDT, "files_struct", &["fdt"], Need::Optional),
    field(layout::OFF_FDT_MAX, "fdtable", &["max_fds"], Need::Optional),
    field(layout::OFF_FDT_FD, "fdtable", &["fd"], Need::Optional),
    field(layout::OFF_FILE_INODE, "file", &["f_inode"], Need::Optional),
    field(layout::OFF_INODE_MODE, "inode", &["i_mode"], Need::Optional),
    field(layout::OFF_INODE_SB, "inode", &["i_sb"], Need::Optional),
    field(layout::OFF_SB_MAGIC, "super_block", &["s_magic"], Need::Optional),
    field(layout::OFF_SB_BDI, "super_block", &["s_bdi"], Need::Optional),
    field(layout::OFF_BDI_CAPS, "backing_dev_info", &["capabilities"], Need::Optional),
    // What a mapping shows.
    field(layout::OFF_MM_TREE, "mm_struct", &["mm_mt.ma_root"], Need::Optional),
    field(layout::OFF_RANGE_PIVOTS, "maple_range_64", &["pivot"], Need::Optional),
    field(layout::OFF_RANGE_SLOTS, "maple_range_64", &["slot"], Need::Optional),
    field(layout::OFF_GAPS_PIVOTS, "maple_arange_64", &["pivot"], Need::Optional),
    field(layout::OFF_GAPS_SLOTS, "maple_arange_64", &["slot"], Need::Optional),
    field(layout::OFF_VMA_MM, "vm_area_struct", &["vm_mm"], Need::Optional),
    field(layout::OFF_VMA_START, "vm_area_struct", &["vm_start"], Need::Optional),
    field(layout::OFF_VMA_END, "vm_area_struct", &["vm_end"], Need::Optional),
    field(layout::OFF_VMA_PAGE, "vm_area_struct", &["vm_pgoff"], Need::Optional),
    field(layout::OFF_VMA_FILE, "vm_area_struct", &["vm_file"], Need::Optional),
    field(layout::OFF_VMA_PRIVATE, "vm_area_struct", &["vm_private_data"], Need::Optional),
    field(layout::OFF_TASK_RESTART, "task_struct", &["restart_block.fn"], Need::Optional),
    #[cfg(target_arch = "x86_64")]
    field(layout::OFF_REGS_RESULT, "pt_regs", &["ax"], Need::Optional),
    field(layout::OFF_REGS_NUMBER, "pt_regs", &["orig_ax", "syscallno"], Need::Optional),
    field(layout::OFF_REGS_FIRST, "pt_regs", &["di", "orig_x0"], Need::Optional),
    // System calls.
    #[cfg(target_arch = "aarch64")]
    field(layout::OFF_TASK_TIFLAGS, "task_struct", &["thread_info.flags"], Need::Optional),
    field(layout::OFF_TASK_SECCOMP, "task_struct", &["seccomp.mode"], Need::Optional),
    field(layout::OFF_TASK_FILTER, "task_struct", &["seccomp.filter"], Need::Optional),
    field(layout::OFF_FILTER_PREV, "seccomp_filter", &["prev"], Need::Optional),
    field(layout::OFF_FILTER_NOTIF, "seccomp_filter", &["notif"], Need::Optional),
    #[cfg(target_arch = "x86_64")]
    field(layout::OFF_REGS_SI, "pt_regs", &["si"], Need::Optional),
    #[cfg(target_arch = "x86_64")]
    field(layout::OFF_REGS_DX, "pt_regs", &["dx"], Need::Optional),
    #[cfg(target_arch = "x86_64")]
    field(layout::OFF_REGS_R10, "pt_regs", &["r10"], Need::Optional),
    #[cfg(target_arch = "x86_64")]
    field(layout::OFF_REGS_R8, "pt_regs", &["r8"], Need::Optional),
    #[cfg(target_arch = "x86_64")]
    field(layout::OFF_REGS_R9, "pt_regs", &["r9"], Need::Optional),
    #[cfg(target_arch = "x86_64")]
    field(layout::OFF_REGS_BX, "pt_regs", &["bx"], Need::Optional),
    #[cfg(target_arch = "x86_64")]
    field(layout::OFF_REGS_BP, "pt_regs", &["bp"], Need::Optional),
    #[cfg(target_arch = "x86_64")]
    field(layout::OFF_REGS_CX, "pt_regs", &["cx"], Need::Optional),
    #[cfg(target_arch = "x86_64")]
    field(layout::OFF_REGS_SP, "pt_regs", &["sp"], Need::Optional),
    field(layout::OFF_REGS_IP, "pt_regs", &["ip"], Need::Optional),
    // For how long a quota stopped it.
    field(layout::OFF_TASK_QUEUE, "task_struct", &["se.cfs_rq"], Need::Optional),
    field(layout::OFF_TASK_STOPPED, "task_struct", &["throttled"], Need::Optional),
    field(layout::OFF_QUEUE_TOTAL, "cfs_rq", &["throttled_clock_self_time"], Need::Optional),
    field(layout::OFF_QUEUE_SINCE, "cfs_rq", &["throttled_clock_self"], Need::Optional),
    field(layout::OFF_QUEUE_PELT, "cfs_rq", &["throttled_clock_pelt_time"], Need::Optional),
    field(layout::OFF_QUEUE_PSINCE, "cfs_rq", &["throttled_clock_pelt"], Need::Optional),
    field(layout::OFF_QUEUE_COUNT, "cfs_rq", &["throttle_count"], Need::Optional),
    field(layout::OFF_QUEUE_RQ, "cfs_rq", &["rq"], Need::Optional),
    field(layout::OFF_RQ_CLOCK, "rq", &["clock"], Need::Optional),
    field(layout::OFF_RQ_PELT, "rq", &["clock_pelt"], Need::Optional),
    field(layout::OFF_RQ_LOST, "rq", &["lost_idle_time"], Need::Optional),
    field(layout::OFF_RQ_CPU, "rq", &["cpu"], Need::Optional),
    field(layout::OFF_TG_QUEUES, "task_group", &["cfs_rq"], Need::Optional),
    field(layout::OFF_TG_PARENT, "task_group", &["parent"], Need::Optional),
    field(layout::OFF_TG_QUOTA, "task_group", &["cfs_bandwidth.quota"], Need::Optional),
    field(layout::OFF_TG_PERIODS, "task_group", &["cfs_bandwidth.nr_periods"], Need::Optional),
    // For how long a limit on real-time threads stopped it. Groups have queues of their own under CONFIG_RT_GROUP_SCHED.
    field(layout::OFF_TASK_PRIO, "task_struct", &["prio"], Need::Optional),
    field(layout::OFF_TASK_RTQ, "task_struct", &["rt.rt_rq"], Need::Optional),
    field(layout::OFF_RTQ_STOPPED, "rt_rq", &["rt_throttled"], Need::Optional),
    field(layout::OFF_RTQ_GROUP, "rt_rq", &["tg"], Need::Optional),
    field(layout::OFF_TG_RTQS, "task_group", &["rt_rq"], Need::Optional),
    field(layout::OFF_RQ_RT_COUNT, "rq", &["rt.rt_nr_running"], Need::Optional),
    field(layout::OFF_DL_DEADLINE, "task_struct", &["dl.deadline"], Need::Optional),
    field(layout::OFF_DL_RELATIVE, "task_struct", &["dl.dl_deadline"], Need::Optional),
    field(layout::OFF_DL_PERIOD, "task_struct", &["dl.dl_period"], Need::Optional),
    field(layout::OFF_DL_STOPPED, "task_struct", &["dl.dl_throttled"], Need::Optional),
    Field { value: Value::Bit, ..field(layout::BIT_DL_STOPPED, "task_struct", &["dl.dl_throttled"], Need::Optional) },
];
