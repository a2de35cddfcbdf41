//! The table of kernel fields that the kernel half reads, and its resolution against a kernel's BTF.

use ctprof_ebpf::abi::layout::{self, GlobalName, throttle};

use super::Btf;

/// When a field has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
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
enum Value {
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
    need: Need,
    value: Value,
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

/// A required field that this kernel does not describe.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the kernel's BTF has no field {type_name}.{member}; this kernel is not supported yet (see docs/architecture.md)"
)]
pub struct MissingField {
    /// The struct.
    pub type_name: &'static str,
    /// The member, by its newest name.
    pub member: &'static str,
}

/// Values for the layout globals of the kernel half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Global and value, one for each field that is there.
    pub offsets: Vec<(GlobalName, u32)>,
    /// The first field that the ledger lacks, if there is one.
    pub lacks_for_ledger: Option<MissingField>,
}

/// How throttled time can be told from time on the run queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttle {
    /// Each thread is marked when it is stopped, and its queue keeps the time (6.18).
    ByThread,
    /// The queue keeps the time (6.6).
    ByQueue,
    /// Hooks on the functions that stop and release a queue, if they can be attached.
    ByHook,
    /// The queue keeps the time by another clock, which lags where CPUs run below full speed.
    ByPelt,
    /// Not at all.
    Unknown,
}

impl Throttle {
    /// The value that the kernel half knows it by.
    #[must_use]
    pub const fn value(self) -> u32 {
        match self {
            Self::ByThread => throttle::BY_THREAD,
            Self::ByQueue => throttle::BY_QUEUE,
            Self::ByHook => throttle::BY_HOOK,
            Self::ByPelt => throttle::BY_PELT,
            Self::Unknown => throttle::UNKNOWN,
        }
    }
}

impl Layout {
    /// Resolves the whole table for a host whose CPU controller is in cgroup v1, or not.
    ///
    /// # Errors
    /// The first required field that this kernel does not have.
    pub fn resolve(btf: &Btf, cgroup_v1: bool) -> Result<Self, MissingField> {
        let mut layout = Self {
            offsets: Vec::with_capacity(FIELDS.len()),
            lacks_for_ledger: None,
        };
        for field in FIELDS {
            let place = field
                .paths
                .iter()
                .find_map(|path| btf.member(field.type_name, path));
            if let Some(member) = place {
                let value = match field.value {
                    Value::Offset => member.offset,
                    Value::Bit => 1 << member.bit,
                };
                layout.offsets.push((field.global, value));
                continue;
            }
            let missing = MissingField {
                type_name: field.type_name,
                member: field.paths.first().copied().unwrap_or_default(),
            };
            match field.need {
                Need::Always => return Err(missing),
                Need::OnV1 if cgroup_v1 => return Err(missing),
                Need::OnV2 if !cgroup_v1 => return Err(missing),
                Need::Ledger => {
                    layout.lacks_for_ledger.get_or_insert(missing);
                }
                Need::OnV1 | Need::OnV2 | Need::Optional => {}
            }
        }
        Ok(layout)
    }

    /// Whether the kernel has all these fields.
    fn has(&self, globals: &[GlobalName]) -> bool {
        globals
            .iter()
            .all(|global| self.offsets.iter().any(|(name, _)| name == global))
    }

    /// Whether the system call that a thread sleeps in can be told.
    #[must_use]
    pub fn tells_syscalls(&self) -> bool {
        self.has(&[layout::OFF_REGS_NUMBER, layout::OFF_REGS_FIRST])
    }

    /// The best way to tell throttled time.
    #[must_use]
    pub fn throttle(&self) -> Throttle {
        let own_clock = [
            layout::OFF_TASK_QUEUE,
            layout::OFF_QUEUE_TOTAL,
            layout::OFF_QUEUE_SINCE,
            layout::OFF_QUEUE_RQ,
            layout::OFF_RQ_CLOCK,
        ];
        if self.has(&own_clock) && self.has(&[layout::OFF_TASK_STOPPED]) {
            Throttle::ByThread
        } else if self.has(&own_clock) {
            Throttle::ByQueue
        } else if self.has(&[
            layout::OFF_TASK_QUEUE,
            layout::OFF_QUEUE_COUNT,
            layout::OFF_RQ_CPU,
            layout::OFF_TG_QUEUES,
        ]) {
            Throttle::ByHook
        } else {
            self.pelt()
        }
    }

    /// The load-tracking clock, if there is one.
    #[must_use]
    pub fn pelt(&self) -> Throttle {
        let clock = [
            layout::OFF_TASK_QUEUE,
            layout::OFF_QUEUE_COUNT,
            layout::OFF_QUEUE_PELT,
            layout::OFF_QUEUE_PSINCE,
            layout::OFF_QUEUE_RQ,
            layout::OFF_RQ_PELT,
            layout::OFF_RQ_LOST,
        ];
        if self.has(&clock) {
            Throttle::ByPelt
        } else {
            Throttle::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{FIELDS, Layout, MissingField, Throttle};
    use crate::host::btf::Btf;

    fn fixture(kernel: &str) -> Btf {
        let path: PathBuf = [
            env!("CARGO_MANIFEST_DIR"),
            "tests/fixtures/btf",
            &format!("{kernel}.btf"),
        ]
        .iter()
        .collect();
        Btf::from_file(&path).unwrap()
    }

    /// Offsets as `pahole` and the kernels' own BTF have them: they drift from kernel to kernel.
    #[test]
    fn offsets_of_three_kernels() {
        let expected = [
            ("6.1.192", [664, 3600, 128, 248, 104]),
            ("6.12.117", [688, 3584, 128, 256, 96]),
            ("6.18.44", [712, 2376, 112, 256, 96]),
        ];
        let globals = [
            "OFF_TASK_GROUP",
            "OFF_TASK_CGROUPS",
            "OFF_CSET_DFL",
            "OFF_CGROUP_KN",
            "OFF_KN_ID",
        ];
        for (kernel, offsets) in expected {
            let btf = fixture(kernel);
            for cgroup_v1 in [false, true] {
                let layout = Layout::resolve(&btf, cgroup_v1).unwrap();
                assert_eq!(layout.lacks_for_ledger, None, "{kernel}");
                assert!(layout.tells_syscalls());
                for (global, offset) in globals.iter().zip(offsets) {
                    let found = layout.offsets.iter().find(|(name, _)| name == global);
                    assert_eq!(found, Some(&(*global, offset)), "{kernel}");
                }
            }
        }
    }

    #[test]
    fn how_throttled_time_is_told() {
        let of = |kernel| Layout::resolve(&fixture(kernel), false).unwrap();
        assert_eq!(of("6.1.192").throttle(), Throttle::ByHook);
        assert_eq!(of("6.1.192").pelt(), Throttle::ByPelt);
        assert_eq!(of("6.12.117").throttle(), Throttle::ByQueue);
        assert_eq!(of("6.18.44").throttle(), Throttle::ByThread);
        assert_eq!(of("6.18.44").offsets.len(), FIELDS.len());
        let bare = fixture("6.18.44").without("cfs_rq");
        let layout = Layout::resolve(&bare, false).unwrap();
        assert_eq!(layout.throttle(), Throttle::Unknown);
        assert_eq!(layout.lacks_for_ledger, None);
    }

    #[test]
    fn members_of_anonymous_and_nested_structs() {
        let btf = fixture("6.18.44");
        assert_eq!(
            btf.member("task_struct", "se.cfs_rq").map(|it| it.offset),
            Some(296)
        );
        assert_eq!(btf.member("task_struct", "no_such_field"), None);
        assert_eq!(btf.member("no_such_struct", "se"), None);
        // `throttled` became a bit field: one bit at a byte of its own.
        let throttled = btf.member("cfs_rq", "throttled").unwrap();
        assert_eq!(throttled.offset * 8 + throttled.bit, 3328);
    }

    #[test]
    fn a_missing_field_is_named_if_this_host_needs_it() {
        let only_v2 = fixture("6.12.117").without("task_group");
        assert!(Layout::resolve(&only_v2, false).is_ok());
        assert_eq!(
            Layout::resolve(&only_v2, true),
            Err(MissingField {
                type_name: "task_group",
                member: "css"
            })
        );
    }
}
