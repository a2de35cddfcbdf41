//! System calls.
//!
//! - `programs`: what is attached
//! - `running`: which call each thread is in
//! - `rows`: what calls are counted in
//! - `slow`: calls that are sent one by one
//! - `maps`: their maps
//! - `abi`: what crosses the border; a part of the border, like `ctprof_ebpf::abi`

mod maps;
mod programs;
mod rows;
mod running;
mod slow;

use ctprof_ebpf::abi::ledger::Thread;

use crate::{hooks::Hooks, kernel::Object};

/// The view.
pub(super) struct View;

impl Hooks for View {
    #[inline(always)]
    fn gets_cpu(task: Object, thread: &Thread, now_ns: u64) {
        running::gets_cpu(task, thread, now_ns);
    }

    #[inline(always)]
    fn loses_cpu(task: Object, thread: &Thread, now_ns: u64) {
        running::loses_cpu(task, thread, now_ns);
    }

    #[inline(always)]
    fn nobody_runs() {
        running::nobody_runs();
    }

    #[inline(always)]
    fn is_born(thread: &Thread) {
        running::is_born(thread);
    }

    #[inline(always)]
    fn moved() {
        running::moved();
    }

    #[inline(always)]
    fn found(thread: &Thread, now_ns: u64) {
        running::found(thread, now_ns);
    }

    #[inline(always)]
    fn is_left(thread: &Thread, now_ns: u64) {
        running::is_left(thread, now_ns);
    }
}
