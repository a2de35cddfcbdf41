//! A window in which isolation costs something.

use ctprof::model::{Runtime, Window};

use super::{Maker, named};

/// Two containers with known samples: `files` has 60 of 200 in overlayfs, 20 in the memory cgroup, 10 in LSM hooks; `sender` has 50
/// of 100 in the network, 25 in netfilter, and 5 in others' soft interrupts.
pub(crate) fn layered() -> Window {
    let mut m = Maker::new();
    let stack = |m: &mut Maker, pid, kernel: &[&str], samples| {
        let mut frames = vec![m.user("main")];
        frames.extend(kernel.iter().map(|name| m.kernel(name)));
        m.stack(pid, "worker", &frames, samples);
    };
    m.container(named("files", Runtime::Docker, &"c0ffee".repeat(10)));
    let read = [
        "do_syscall_64",
        "vfs_read",
        "ovl_read_iter",
        "vfs_iter_read",
    ];
    let below = |names: &[&'static str]| [&read[..], names].concat();
    stack(&mut m, 1, &[], 40);
    stack(&mut m, 1, &read[..3], 35);
    stack(&mut m, 1, &below(&["rw_verify_area"]), 5);
    stack(&mut m, 1, &below(&["ext4_file_read_iter"]), 70);
    let charge = ["filemap_add_folio", "__mem_cgroup_charge"];
    stack(&mut m, 1, &below(&charge), 20);
    stack(
        &mut m,
        1,
        &["do_syscall_64", "do_sys_openat2", "ovl_lookup"],
        20,
    );
    let hook = ["do_syscall_64", "vfs_read", "security_file_permission"];
    stack(&mut m, 1, &hook, 10);

    m.container(named("sender", Runtime::Docker, &"feed".repeat(16)));
    let send = [
        "do_syscall_64",
        "udp_sendmsg",
        "ip_output",
        "__dev_queue_xmit",
    ];
    let bridge = [
        &send[..],
        &["__local_bh_enable_ip", "do_softirq", "handle_softirqs"],
        &["process_backlog", "br_handle_frame"],
    ]
    .concat();
    let within = |names: &[&'static str]| [&bridge[..], names].concat();
    stack(&mut m, 2, &send, 20);
    stack(&mut m, 2, &[&send[..], &["veth_xmit"]].concat(), 15);
    stack(&mut m, 2, &bridge, 25);
    let routed = ["ip_rcv", "ip_route_input_noref", "fib_table_lookup"];
    stack(&mut m, 2, &within(&routed), 10);
    let rules = ["ip_rcv", "nf_hook_slow", "nft_do_chain"];
    stack(&mut m, 2, &within(&rules), 25);
    let others = [
        "sysvec_apic_timer_interrupt",
        "irq_exit_rcu",
        "handle_softirqs",
    ];
    stack(&mut m, 2, &others, 5);
    m.window
}
