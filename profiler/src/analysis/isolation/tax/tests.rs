//! Rows of made-up stacks.

use super::{Functions, Isolation, Layer};
use crate::model::{Container, Frame, FrameKind, FrameTable, Stack, State};

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
