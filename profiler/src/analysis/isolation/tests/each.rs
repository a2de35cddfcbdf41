//! Layer by layer: functions that it has, and functions that look like it.

use super::{Layer, in_call};

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
