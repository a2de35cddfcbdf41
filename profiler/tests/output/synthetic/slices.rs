//! Slices of a row.

use ctprof::model::{Container, Figures as _, Histogram, Item, Slice, SlicePart, State};
use ctprof::views::syscalls::Syscalls;

/// Four quarters, of which the second has nothing.
pub(super) fn slices(row: &mut Container) {
    let part = |of: usize, count: u64, ns: u64| SlicePart {
        of: of as u32,
        count: count / 3,
        ns: ns / 3,
    };
    row.items = ["read", "openat"]
        .map(|name| Item {
            view: Syscalls::VIEW,
            name: name.to_owned(),
            variant: String::new(),
        })
        .to_vec();
    row.slices = [0, 2, 3]
        .map(|at| Slice {
            at,
            on_cpu_ns: row.time_ns.get(&State::OnCpuUser).copied().unwrap_or(0) / 3,
            off_cpu_ns: row
                .time_ns
                .iter()
                .filter(|(state, ns)| **state > State::OnCpuKernel && **ns > 2)
                .map(|(state, ns)| (*state, ns / 3))
                .collect(),
            voluntary_switches: u64::from(at),
            involuntary_switches: 2,
            migrations: 1,
            run_queue_latency: row
                .ledger
                .as_ref()
                .map_or_else(Histogram::default, |it| it.run_queue_latency.clone()),
            stops: 4,
            items: vec![part(0, 30, 900), part(1, 60, 900)],
            stacks: row
                .stacks
                .iter()
                .enumerate()
                .map(|(of, stack)| part(of, stack.count, stack.time_ns))
                .collect(),
        })
        .to_vec();
}
