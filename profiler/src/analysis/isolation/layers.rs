//! The layers that stand between a container and the kernel that a plain process has, as one table: by which functions of
//! the kernel each is told, what it is compared with, and which kernels that was tried on.
//!
//! A function belongs to the layer with the longest pattern that fits its name, without what compilers append to it. Where
//! the kernel is built with a layer as a module, all functions of the module belong to it.

use serde::Serialize;

/// Something that costs CPU time because a process is in a container, or that is told apart because it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The file system of images.
    Overlayfs,
    /// Virtual network devices, and forwarding between them and the host's.
    Network,
    /// Packet filters, address translation, connection tracking.
    Netfilter,
    /// System call filters, and the slow way into the kernel that every call then takes.
    Seccomp,
    /// Charging of memory to a cgroup, and reclaim for its limit.
    Memory,
    /// CPU quotas.
    CpuBandwidth,
    /// What else is counted by cgroup.
    CgroupAccounting,
    /// Security modules.
    Lsm,
    /// Translation of user and group ids.
    UserNamespaces,
    /// Limits on block I/O.
    BlockThrottling,
    /// BPF programs of others.
    Bpf,
    /// Work in soft interrupts that came in the midst of something else.
    Softirq,
    /// ctprof's own BPF programs.
    Ctprof,
}

/// Who pays for a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    /// Containers: their isolation tax.
    Container,
    /// Processes in no container as well.
    Everyone,
    /// Nobody knows whose it is, or it is ctprof's own.
    Apart,
}

/// What is known of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which it is.
    pub layer: Layer,
    /// What it is called in JSON, in metrics and in rules.
    pub id: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// Who pays for it.
    pub payer: Payer,
    /// What a process pays that has none of it: what the layer is compared with.
    pub compared_with: &'static str,
    /// Kernels whose names of functions these are: those that it was measured on, and those whose source was read.
    pub kernels: &'static str,
    /// Names of functions; `*` at either end stands for anything.
    pub functions: &'static [&'static str],
    /// Names of functions that would fit, and are no part of it.
    pub except: &'static [&'static str],
    /// Names of modules.
    pub modules: &'static [&'static str],
    /// Functions that hand on what the process asked for: what they do below the layer would be done without it, too.
    pub hands_on: &'static [&'static str],
    /// Functions of the layer that do extra work whatever they call.
    pub keeps: &'static [&'static str],
}

const NOTHING: Row = Row {
    layer: Layer::Bpf,
    id: "",
    title: "",
    payer: Payer::Container,
    compared_with: "",
    kernels: KERNELS,
    functions: &[],
    except: &[],
    modules: &[],
    hands_on: &[],
    keeps: &[],
};

const KERNELS: &str = "measured on 6.18; names as in 5.15, 6.1, 6.12";

/// Files of the cgroup file system are read and written by whoever wants to know, and that is no tax.
const CONTROL_FILES: &[&str] = &[
    "*_show",
    "*_write",
    "*_read",
    "*_read_u64",
    "*_read_s64",
    "*_poll",
    "*_open",
];

/// Where a packet goes on as it would have without any device between.
const PACKET_GOES_ON: &[&str] = &[
    "netif_receive_skb*",
    "__netif_receive_skb*",
    "napi_gro_receive",
    "ip_rcv*",
    "ip_list_rcv*",
    "ip_sublist_rcv*",
    "ip_local_deliver*",
    "ipv6_rcv*",
    "ipv6_list_rcv*",
    "ip6_input*",
    "dev_hard_start_xmit",
];

/// Every layer, in the order of [`Layer`].
pub const LAYERS: &[Row] = &[
    Row {
        layer: Layer::Overlayfs,
        id: "overlayfs",
        title: "overlayfs",
        compared_with: "the same files on a volume",
        functions: &["ovl_*", "backing_file_*", "backing_aio_*"],
        modules: &["[overlay]"],
        hands_on: &[
            "vfs_iter_read",
            "vfs_iter_write",
            "vfs_iocb_iter_read",
            "vfs_iocb_iter_write",
            "do_iter_read*",
            "do_iter_write*",
            "vfs_splice_read",
            "do_splice_read",
            "iter_file_splice_write",
            "vfs_fsync*",
            "vfs_fallocate",
            "vfs_getattr*",
            "vfs_create",
            "vfs_mkdir",
            "vfs_mknod",
            "vfs_unlink",
            "vfs_rmdir",
            "vfs_link",
            "vfs_symlink",
            "vfs_rename",
            "vfs_readlink",
            "notify_change",
            "touch_atime",
        ],
        keeps: &["ovl_copy_*", "ovl_lookup*", "ovl_whiteout*", "ovl_cleanup*"],
        ..NOTHING
    },
    Row {
        layer: Layer::Network,
        id: "network",
        title: "virtual network",
        compared_with: "the host's network (--network host)",
        functions: &[
            "veth_*",
            "br_*",
            "macvlan_*",
            "ipvlan_*",
            "vxlan_*",
            "__dev_forward_skb*",
            "dev_forward_skb*",
            "skb_scrub_packet",
            "ip_forward*",
            "ip6_forward*",
        ],
        modules: &["[veth]", "[bridge]", "[macvlan]", "[ipvlan]", "[vxlan]"],
        hands_on: PACKET_GOES_ON,
        ..NOTHING
    },
    Row {
        layer: Layer::Netfilter,
        id: "netfilter",
        title: "netfilter",
        compared_with: "a network without rules and connection tracking",
        functions: &[
            "nf_*",
            "__nf_*",
            "nft_*",
            "__nft_*",
            "ipt_*",
            "ip6t_*",
            "xt_*",
            "arpt_*",
            "ebt_*",
            "iptable_*",
            "ip6table_*",
            "conntrack_*",
            "ipv4_conntrack_*",
            "ipv6_conntrack_*",
            "br_nf_*",
            "ip_set_*",
            "masquerade_*",
        ],
        modules: &[
            "[nf_*",
            "[nft_*",
            "[xt_*",
            "[ipt_*",
            "[ip_tables]",
            "[ip6_tables]",
            "[iptable_*",
            "[ip6table_*",
            "[br_netfilter]",
            "[ip_set*",
        ],
        hands_on: PACKET_GOES_ON,
        ..NOTHING
    },
    Row {
        layer: Layer::Seccomp,
        id: "seccomp",
        title: "seccomp",
        compared_with: "no seccomp profile (--security-opt seccomp=unconfined)",
        functions: &[
            "__seccomp_*",
            "seccomp_run_filters",
            "seccomp_cache_*",
            "seccomp_do_user_notification",
            "__secure_computing",
            "populate_seccomp_data",
            "syscall_trace_enter",
            "__syscall_enter_from_user_work",
        ],
        // A debugger's stop, tracing and auditing share the slow way in.
        hands_on: &[
            "ptrace_*",
            "__traceiter_*",
            "perf_syscall_enter",
            "ftrace_syscall_enter",
            "__audit_*",
            "audit_*",
        ],
        ..NOTHING
    },
    Row {
        layer: Layer::Memory,
        id: "memory",
        title: "memory cgroup",
        compared_with: "a process in the root memory cgroup; having no limit makes it no cheaper",
        functions: &[
            "mem_cgroup_*",
            "__mem_cgroup_*",
            "memcg_*",
            "__memcg_*",
            "memcg1_*",
            "get_mem_cgroup_*",
            "*_memcg_state",
            "*_memcg_lruvec_state",
            "*count_memcg_*",
            "charge_memcg",
            "try_charge*",
            "uncharge_batch",
            "uncharge_folio",
            "uncharge_page",
            "uncharge_list",
            "*obj_cgroup*",
            "*objcg*",
            "*obj_stock",
            "refill_stock",
            "consume_stock",
            "drain_stock",
            "drain_all_stock",
            "page_counter_*",
            "propagate_protected_usage",
            "try_to_free_mem_cgroup_pages",
        ],
        except: CONTROL_FILES,
        ..NOTHING
    },
    Row {
        layer: Layer::CpuBandwidth,
        id: "cpu_bandwidth",
        title: "CPU quota",
        compared_with: "no CPU quota",
        functions: &[
            "*cfs_bandwidth*",
            "throttle_cfs_rq*",
            "unthrottle_cfs_rq*",
            "*account_cfs_rq_runtime",
            "*assign_cfs_rq_runtime",
            "*return_cfs_rq_runtime",
            "check_cfs_rq_runtime",
            "check_enqueue_throttle",
            "distribute_cfs_runtime",
            "sched_cfs_period_timer",
            "sched_cfs_slack_timer",
            "do_sched_cfs_*",
            "tg_throttle_down",
            "tg_unthrottle_up",
            "__cfsb_csd_unthrottle",
        ],
        ..NOTHING
    },
    Row {
        layer: Layer::CgroupAccounting,
        id: "cgroup_accounting",
        title: "cgroup accounting",
        compared_with: "a process in the root cgroup",
        functions: &[
            "cpuacct_*",
            "*cgroup_account_cputime*",
            "cgroup_base_stat_*",
            "*css_rstat_*",
            "*cgroup_rstat_*",
            "blkcg_*",
            "__blkcg_*",
            "blk_cgroup_*",
            "bio_associate_blkg*",
            "bio_clone_blkg_association",
            "pids_*",
            "cgroup_can_fork",
            "cgroup_post_fork",
            "cgroup_cancel_fork",
            "cgroup_fork",
            "cgroup_exit",
            "cgroup_release",
            "cgroup_free",
            "cgroup_css_set_*",
            "cgroup_enter_frozen",
            "cgroup_leave_frozen",
            "psi_*",
            "update_cfs_group",
            "reweight_entity",
            "update_tg_load_avg",
            "update_tg_cfs_*",
            "propagate_entity_*",
        ],
        except: CONTROL_FILES,
        ..NOTHING
    },
    Row {
        layer: Layer::Lsm,
        id: "lsm",
        title: "LSM hooks",
        payer: Payer::Everyone,
        compared_with: "a host without security modules; its own processes run the same hooks",
        functions: &[
            "security_*",
            "apparmor_*",
            "aa_*",
            "selinux_*",
            "avc_*",
            "smack_*",
            "tomoyo_*",
            "landlock_*",
            "hook_*",
            "bpf_lsm_*",
            "yama_*",
            "cap_*",
        ],
        ..NOTHING
    },
    Row {
        layer: Layer::UserNamespaces,
        id: "user_namespaces",
        title: "id mapping",
        compared_with: "the initial user namespace, whose map has one entry",
        functions: &[
            "from_kuid*",
            "from_kgid*",
            "from_kprojid*",
            "make_kuid",
            "make_kgid",
            "make_vfsuid",
            "make_vfsgid",
            "from_vfsuid",
            "from_vfsgid",
            "map_id_*",
            "cmp_map_id",
            "vfsgid_in_group_p",
            "mnt_idmap_*",
            "privileged_wrt_inode_uidgid",
        ],
        ..NOTHING
    },
    Row {
        layer: Layer::BlockThrottling,
        id: "block_throttling",
        title: "block throttling",
        compared_with: "no limits and weights of block I/O",
        functions: &[
            "*blk_throtl_*",
            "throtl_*",
            "iocg_*",
            "ioc_rqos_*",
            "ioc_timer_fn",
            "ioc_now",
            "ioc_start_period",
            "adjust_inuse_and_calc_cost",
            "blkcg_maybe_throttle_*",
            "blkcg_schedule_throttle",
            "blkcg_add_delay",
            "blkcg_iolatency_*",
            "iolatency_*",
        ],
        ..NOTHING
    },
    Row {
        layer: Layer::Bpf,
        id: "bpf",
        title: "BPF programs of others",
        compared_with: "no such program",
        functions: &["*cgroup_bpf_run_*"],
        ..NOTHING
    },
    Row {
        layer: Layer::Softirq,
        id: "softirq",
        title: "soft interrupts",
        payer: Payer::Apart,
        compared_with: "nothing: it is work for whoever it may be, in this container's time",
        ..NOTHING
    },
    Row {
        layer: Layer::Ctprof,
        id: "ctprof",
        title: "ctprof's own programs",
        payer: Payer::Apart,
        compared_with: "not being measured",
        ..NOTHING
    },
];

/// Names of ctprof's own BPF programs, as the kernel has them.
pub const OWN_PROGRAMS: &[&str] = &[
    "call_never",
    "cgroup_attach",
    "cgroup_mkdir",
    "cgroup_rmdir",
    "complete_stacks",
    "isolation",
    "on_cpu",
    "process_exec",
    "release_fentry",
    "release_kprobe",
    "sched_migrate",
    "sched_switch",
    "sched_wake_new",
    "sched_wakeup",
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

impl Layer {
    /// What is known of it.
    #[must_use]
    pub const fn row(self) -> &'static Row {
        &LAYERS[self as usize]
    }

    /// What it is called in JSON, in metrics and in rules.
    #[must_use]
    pub const fn id(self) -> &'static str {
        self.row().id
    }

    /// Every layer.
    pub fn all() -> impl Iterator<Item = Self> {
        LAYERS.iter().map(|row| row.layer)
    }
}
