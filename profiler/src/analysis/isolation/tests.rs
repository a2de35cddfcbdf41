//! Each layer, by names that it has and by names that look like it.

use super::layers::{LAYERS, OWN_PROGRAMS};
use super::{Found, Function, Functions, Isolation, Layer, classify};
use crate::model::{Container, Frame, FrameKind, FrameTable, Stack, State};

/// The layer of a stack, its innermost function first; functions of modules as `name [module]`.
fn of(stack: &[&str]) -> Option<Layer> {
    let functions = stack.iter().map(|frame| {
        let (name, module) = frame.split_once(' ').unwrap_or((frame, "[kernel]"));
        Function::new(name, module)
    });
    match classify(functions) {
        Some(Found::Layer(layer)) => Some(layer),
        Some(Found::SlowEntry) => Some(Layer::Seccomp),
        Some(Found::LateRelease) | None => None,
    }
}

const CALL: [&str; 2] = ["do_syscall_64", "entry_SYSCALL_64_after_hwframe"];

fn in_call(stack: &[&str]) -> Option<Layer> {
    of(&[stack, &CALL].concat())
}

#[test]
fn the_table_is_in_the_order_of_the_layers() {
    for (at, row) in LAYERS.iter().enumerate() {
        assert_eq!(row.layer as usize, at);
        let json = serde_json::to_value(row.layer).unwrap();
        assert_eq!(json, row.id);
        assert!(!row.title.is_empty() && !row.compared_with.is_empty());
    }
}

#[test]
fn ctprof_knows_its_own_programs() {
    let mut programs: Vec<&str> = crate::bpf::probes::all().map(|it| it.program).collect();
    programs.extend(
        crate::bpf::probes::THROTTLE
            .iter()
            .flatten()
            .map(|it| it.program),
    );
    programs.sort_unstable();
    assert_eq!(programs, OWN_PROGRAMS);
}

#[test]
fn every_layer_has_its_functions_and_no_others() {
    let cases: &[(Layer, &[&str], &[&str])] = &[
        (
            Layer::Overlayfs,
            &[
                "ovl_permission",
                "ovl_path_real",
                "backing_file_open",
                "ovl_lookup_single.isra.0",
                "f [overlay]",
            ],
            &["ext4_lookup", "overlay_like", "vfs_read", "oval_x"],
        ),
        (
            Layer::Network,
            &[
                "veth_xmit",
                "br_handle_frame",
                "br_forward.part.0",
                "ip_forward",
                "skb_scrub_packet",
                "f [veth]",
            ],
            &[
                "loopback_xmit",
                "dev_hard_start_xmit",
                "netif_rx",
                "ip_output",
                "brd_submit_bio",
            ],
        ),
        (
            Layer::Netfilter,
            &[
                "nf_hook_slow",
                "nft_do_chain",
                "ipt_do_table",
                "nf_conntrack_in",
                "br_nf_pre_routing",
                "hash_conntrack_raw [nf_conntrack]",
            ],
            &["ip_rcv", "nfs_read_folio", "xfs_read", "nfsd_read [nfsd]"],
        ),
        (
            Layer::Seccomp,
            &[
                "__seccomp_filter",
                "__secure_computing",
                "syscall_trace_enter.isra.0",
                "seccomp_run_filters",
            ],
            &[
                "do_seccomp",
                "syscall_exit_work",
                "do_syscall_64",
                "syscall_enter_from_user_mode_prepare",
            ],
        ),
        (
            Layer::Memory,
            &[
                "__mem_cgroup_charge",
                "charge_memcg",
                "try_charge_memcg",
                "refill_stock",
                "__mod_memcg_lruvec_state",
                "uncharge_batch",
                "get_obj_cgroup_from_current",
                "obj_cgroup_charge_account",
                "page_counter_try_charge",
                "try_to_free_mem_cgroup_pages",
                "current_objcg_update",
            ],
            &[
                "shrink_node_memcgs",
                "__alloc_pages",
                "mem_cgroup_slab_show",
                "memory_stat_show",
                "__lruvec_stat_mod_folio",
                "mem_cgroup_read_u64",
            ],
        ),
        (
            Layer::CpuBandwidth,
            &[
                "__account_cfs_rq_runtime",
                "throttle_cfs_rq",
                "tg_unthrottle_up",
                "sched_cfs_period_timer",
                "start_cfs_bandwidth",
                "throttle_cfs_rq_work",
            ],
            &[
                "update_curr",
                "tty_unthrottle",
                "enqueue_task_fair",
                "init_tg_cfs_entry",
            ],
        ),
        (
            Layer::CgroupAccounting,
            &[
                "cpuacct_charge",
                "css_rstat_updated",
                "cgroup_rstat_updated",
                "__cgroup_account_cputime",
                "pids_can_fork",
                "psi_group_change",
                "bio_associate_blkg_from_css",
                "update_cfs_group",
                "blk_cgroup_bio_start",
            ],
            &[
                "cgroup_file_write",
                "cpuacct_stats_show",
                "psi_show",
                "update_curr",
                "cgroup_mkdir",
                "cgroup_bpf_prog_attach",
            ],
        ),
        (
            Layer::Lsm,
            &[
                "security_file_open",
                "apparmor_file_permission",
                "aa_file_perm",
                "selinux_inode_permission",
                "avc_has_perm",
                "landlock_unmask_layers",
                "cap_capable",
            ],
            &[
                "inode_permission",
                "generic_permission",
                "capable",
                "ns_capable",
            ],
        ),
        (
            Layer::UserNamespaces,
            &[
                "from_kuid_munged",
                "make_kgid",
                "map_id_up",
                "vfsgid_in_group_p",
            ],
            &["idr_find", "dma_map_single_attrs", "map_vdso"],
        ),
        (
            Layer::BlockThrottling,
            &[
                "__blk_throtl_bio",
                "throtl_add_bio_tg",
                "ioc_rqos_throttle",
                "iocg_kick_delay",
                "blkcg_maybe_throttle_current",
            ],
            &[
                "ioc_lookup_icq",
                "rq_qos_wait",
                "wbt_wait",
                "balance_dirty_pages",
                "blk_mq_submit_bio",
            ],
        ),
        (
            Layer::Bpf,
            &[
                "bpf_prog_6deef7357e7b4530_sd_devices",
                "bpf_prog_6deef7357e7b4530",
                "__cgroup_bpf_run_filter_skb",
            ],
            &[
                "bpf_prog_alloc",
                "bpf_prog_select_runtime",
                "bpf_trace_run2",
                "bpf_map_update_value",
            ],
        ),
        (
            Layer::Ctprof,
            &[
                "bpf_prog_6deef7357e7b4530_sched_switch",
                "bpf_prog_0123456789abcdef_complete_stacks",
            ],
            &["sched_switch", "on_cpu"],
        ),
    ];
    for (layer, theirs, others) in cases {
        for function in *theirs {
            assert_eq!(in_call(&[function]), Some(*layer), "{function}");
            // What they call is theirs, and compilers' parts of them are.
            assert_eq!(
                in_call(&["memset", function, "vfs_x"]),
                Some(*layer),
                "{function}"
            );
            if !function.contains(['.', ' ']) {
                for end in [
                    ".isra.0",
                    ".constprop.0",
                    ".part.0",
                    ".cold",
                    ".constprop.0.isra.0",
                ] {
                    assert_eq!(in_call(&[&format!("{function}{end}")]), Some(*layer));
                }
            }
        }
        for function in *others {
            assert_ne!(in_call(&[function]), Some(*layer), "{function}");
        }
    }
}

#[test]
fn the_innermost_layer_has_the_sample() {
    let stack = [
        "security_file_open",
        "do_dentry_open",
        "ovl_open",
        "do_dentry_open",
    ];
    assert_eq!(in_call(&stack), Some(Layer::Lsm));
    assert_eq!(in_call(&stack[1..]), Some(Layer::Overlayfs));
    assert_eq!(in_call(&stack[3..]), None);
}

#[test]
fn a_read_that_overlayfs_hands_on_is_no_tax() {
    let read = [
        "copy_folio_to_iter",
        "filemap_read",
        "ext4_file_read_iter",
        "vfs_iter_read",
    ];
    let overlay = ["backing_file_read_iter", "ovl_read_iter", "vfs_read"];
    assert_eq!(in_call(&[&read[..], &overlay].concat()), None);
    // What it does beside is, and so is the way there.
    let way = ["do_iter_readv_writev", "vfs_iter_read"];
    assert_eq!(
        in_call(&[&way[..], &overlay].concat()),
        Some(Layer::Overlayfs)
    );
    assert_eq!(
        in_call(&[&["ext4_file_read_iter"], &way[..], &overlay].concat()),
        None
    );
    assert_eq!(in_call(&overlay), Some(Layer::Overlayfs));
    // So is a read for its own purposes, and the charging of what is read.
    let copy_up = ["ovl_copy_up_file", "ovl_copy_up_one", "ovl_open"];
    assert_eq!(
        in_call(&[&read[..], &copy_up].concat()),
        Some(Layer::Overlayfs)
    );
    let charge = ["charge_memcg", "filemap_add_folio"];
    assert_eq!(
        in_call(&[&charge[..], &read, &overlay].concat()),
        Some(Layer::Memory)
    );
}

#[test]
fn a_program_is_its_callers() {
    let program = "bpf_prog_6deef7357e7b4530_sched_switch";
    // Filters of seccomp have no symbols: the address falls to whatever program lies before it.
    assert_eq!(
        in_call(&[
            program,
            "bpf_prog_run_pin_on_cpu",
            "__seccomp_filter",
            "syscall_trace_enter"
        ]),
        Some(Layer::Seccomp)
    );
    assert_eq!(
        in_call(&[
            "htab_map_lookup_elem",
            program,
            "bpf_trace_run4",
            "__traceiter_sched_switch"
        ]),
        Some(Layer::Ctprof)
    );
    let others = "bpf_prog_6deef7357e7b4530_cil_from_container";
    assert_eq!(
        in_call(&[others, "cls_bpf_classify", "__dev_queue_xmit"]),
        Some(Layer::Bpf)
    );
    assert_eq!(
        in_call(&[
            program,
            "bpf_trace_run2",
            "__traceiter_sys_enter",
            "syscall_trace_enter"
        ]),
        Some(Layer::Ctprof)
    );
}

#[test]
fn tracing_on_the_slow_entry_is_not_seccomps() {
    assert_eq!(
        in_call(&[
            "perf_trace_run",
            "__traceiter_sys_enter",
            "syscall_trace_enter"
        ]),
        None
    );
    assert_eq!(
        in_call(&["ktime_get", "__audit_syscall_entry", "syscall_trace_enter"]),
        None
    );
    let slow = [Function::new("syscall_trace_enter", "[kernel]")];
    assert_eq!(classify(slow), Some(Found::SlowEntry));
}

#[test]
fn soft_interrupts_are_told_by_who_raised_them() {
    let bridge = [
        "br_handle_frame",
        "__netif_receive_skb_core.constprop.0",
        "process_backlog",
        "net_rx_action",
    ];
    let own = [
        "handle_softirqs",
        "do_softirq.part.0",
        "__local_bh_enable_ip",
        "__dev_queue_xmit",
    ];
    let strange = [
        "handle_softirqs",
        "__irq_exit_rcu",
        "sysvec_apic_timer_interrupt",
        "asm_sysvec_apic_timer_interrupt",
        "ovl_open",
    ];
    assert_eq!(in_call(&[&bridge[..], &own].concat()), Some(Layer::Network));
    assert_eq!(
        in_call(&[&bridge[..], &strange].concat()),
        Some(Layer::Softirq)
    );
    // What no layer has is nobody's tax in one's own, and may be anybody's in another's.
    assert_eq!(in_call(&[&["tcp_v4_rcv"], &own[..]].concat()), None);
    assert_eq!(
        in_call(&[&["rcu_core"], &strange[..]].concat()),
        Some(Layer::Softirq)
    );
    // As older kernels call it, and on a thread of the kernel's own.
    for name in ["__do_softirq", "__softirqentry_text_start"] {
        assert_eq!(
            of(&["net_rx_action", name, "irq_exit_rcu", "common_interrupt"]),
            Some(Layer::Softirq)
        );
        assert_eq!(
            of(&["veth_poll", name, "run_ksoftirqd", "smpboot_thread_fn"]),
            Some(Layer::Softirq)
        );
    }
    // A hard interrupt is nobody's.
    assert_eq!(
        in_call(&[
            "sched_cfs_period_timer",
            "__hrtimer_run_queues",
            "hrtimer_interrupt",
            "ovl_open"
        ]),
        None
    );
}

#[test]
fn packets_that_go_on_are_no_tax_of_the_bridge() {
    let received = [
        "tcp_v4_rcv",
        "ip_local_deliver_finish",
        "ip_rcv",
        "__netif_receive_skb_one_core",
    ];
    let own = [
        "br_pass_frame_up",
        "br_handle_frame_finish",
        "handle_softirqs",
        "do_softirq",
        "__local_bh_enable_ip",
    ];
    assert_eq!(in_call(&[&received[..], &own].concat()), None);
    let hook = ["nft_do_chain", "nf_hook_slow"];
    assert_eq!(
        in_call(&[&hook[..], &received, &own].concat()),
        Some(Layer::Netfilter)
    );
    let sent = [
        "veth_xmit",
        "dev_hard_start_xmit",
        "__dev_queue_xmit",
        "br_dev_queue_push_xmit",
    ];
    assert_eq!(in_call(&sent), Some(Layer::Network));
    assert_eq!(
        in_call(&[
            "start_xmit",
            "dev_hard_start_xmit",
            "__dev_queue_xmit",
            "br_dev_queue_push_xmit"
        ]),
        None
    );
}

/// A row with stacks of these processes: in which call, with these functions, the innermost first.
fn row(table: &mut FrameTable, stacks: &[(u32, &str, &[&str])]) -> Container {
    let stacks = stacks.iter().map(|(pid, call, functions)| Stack {
        state: State::OnCpuKernel,
        pid: *pid,
        thread: "t".into(),
        frames: functions
            .iter()
            .map(|name| {
                table.intern(Frame {
                    function: (*name).into(),
                    kind: FrameKind::Kernel,
                    module: None,
                    address: 0,
                    inlined: false,
                    file: None,
                    line: 0,
                })
            })
            .collect(),
        count: 1,
        time_ns: 10,
        syscall: Some((*call).into()),
        burnt_quota: false,
    });
    let stacks: Vec<Stack> = stacks.collect();
    Container {
        samples: stacks.len() as u64,
        stacks,
        ..Container::default()
    }
}

fn sums(stacks: &[(u32, &str, &[&str])]) -> Vec<(Layer, u64)> {
    let mut table = FrameTable::default();
    let row = row(&mut table, stacks);
    let isolation = Isolation::of(&row, &Functions::of(&table)).unwrap();
    assert_eq!(isolation.sampled_ns, 10 * stacks.len() as u64);
    let layers = isolation.layers.iter();
    layers.map(|it| (it.layer, it.ns)).collect()
}

#[test]
fn the_slow_entry_is_seccomps_where_there_is_a_filter() {
    let filter: &[&str] = &["__seccomp_filter", "syscall_trace_enter"];
    let entry: &[&str] = &["syscall_trace_enter"];
    let stacks = [(1, "read", filter), (1, "write", entry), (2, "read", entry)];
    assert_eq!(sums(&stacks), [(Layer::Seccomp, 20)]);
}

#[test]
fn what_overlayfs_lets_go_of_is_its_own() {
    let leave = ["task_work_run", "exit_to_user_mode_loop"];
    let late = &[&["ext4_release_file", "__fput"], &leave[..]].concat()[..];
    let put_off = &[&["ovl_release", "__fput"], &leave[..]].concat()[..];
    let exit: &[&str] = &["ext4_release_file", "__fput", "task_work_run", "do_exit"];
    let at_once: &[&str] = &["ovl_release", "__fput", "__x64_sys_close"];
    let stacks = [
        (1, "close", late),
        (1, "close", at_once),
        (2, "close", late),
        (1, "exit", exit),
    ];
    assert_eq!(sums(&stacks), [(Layer::Overlayfs, 20)]);
    // Before 6.6 every release is put off: nobody can tell which of them it is.
    let stacks = [(1, "close", late), (1, "close", put_off)];
    assert_eq!(sums(&stacks), [(Layer::Overlayfs, 10)]);
    // A container on a volume.
    assert_eq!(sums(&[(1, "close", late)]), []);
}

#[test]
fn what_only_containers_pay_for_is_the_tax() {
    let stacks: [(u32, &str, &[&str]); 4] = [
        (1, "read", &["security_file_permission", "vfs_read"]),
        (1, "read", &["ovl_permission"]),
        (1, "read", &["rcu_core", "handle_softirqs", "irq_exit_rcu"]),
        (1, "read", &["vfs_read"]),
    ];
    let mut table = FrameTable::default();
    let row = row(&mut table, &stacks);
    let isolation = Isolation::of(&row, &Functions::of_row(&row, &table)).unwrap();
    assert_eq!((isolation.tax_ns, isolation.tax_samples()), (10, 1));
    assert_eq!(isolation.layers.len(), 3);
    let nothing = Container::default();
    assert_eq!(Isolation::of(&nothing, &Functions::of(&table)), None);
}
