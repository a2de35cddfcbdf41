//! Each layer, by names that it has and by names that look like it.

mod each;

use super::layers::LAYERS;
use super::marks::OWN_PROGRAMS;
use super::{Found, Function, Layer, classify};

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
    // What a volume would do as well, called by a jump.
    assert_eq!(
        in_call(&[
            "jbd2_log_wait_commit",
            "ext4_sync_file",
            "ovl_fsync",
            "do_fsync"
        ]),
        None
    );
    assert_eq!(
        in_call(&["ovl_real_file", "ovl_fsync", "do_fsync"]),
        Some(Layer::Overlayfs)
    );
    // What is checked again there is, too; what any read checks is not.
    let check = ["rw_verify_area", "vfs_iter_read"];
    assert_eq!(
        in_call(&[&check[..], &overlay].concat()),
        Some(Layer::Overlayfs)
    );
    assert_eq!(in_call(&["rw_verify_area", "vfs_read"]), None);
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

#[test]
fn a_route_that_is_looked_up_behind_a_virtual_device_is_its_own() {
    let lookup = [
        "fib_table_lookup",
        "ip_route_input_slow",
        "ip_route_input_noref",
    ];
    let hook = ["ip_rcv_finish", "ip_sabotage_in", "nf_hook_slow", "ip_rcv"];
    let bridge = ["netif_receive_skb", "br_pass_frame_up", "br_handle_frame"];
    let backlog = ["__netif_receive_skb", "process_backlog", "net_rx_action"];
    let own = ["handle_softirqs", "do_softirq", "__local_bh_enable_ip"];
    let others = ["handle_softirqs", "irq_exit_rcu", "common_interrupt"];
    for between in [&hook[..], &[&hook[..], &bridge].concat(), &[]] {
        let stack = [&lookup[..], between, &backlog].concat();
        let sent = [&stack[..], &own].concat();
        assert_eq!(in_call(&sent), Some(Layer::Network), "{sent:?}");
        let came = [&stack[..], &others].concat();
        assert_eq!(in_call(&came), Some(Layer::Softirq));
    }
    // What a device of this machine has received comes in without such a queue, also where a thread polls it.
    let device = ["napi_gro_receive", "virtnet_poll", "napi_busy_loop"];
    assert_eq!(in_call(&[&lookup[..], &hook[3..], &device].concat()), None);
    // A rule that looks a route up does so for itself.
    let rule = ["ip_route_me_harder", "nf_hook_slow"];
    let stack = [&lookup[..], &rule, &backlog, &own].concat();
    assert_eq!(in_call(&stack), Some(Layer::Netfilter));
    // Loopback's packets keep their route.
    let local = ["udp_rcv", "ip_rcv_finish", "ip_rcv"];
    assert_eq!(in_call(&[&local[..], &backlog, &own].concat()), None);
}
