//! What views have to do in programs that others attach: the scheduler's hooks, and the visits to every thread.

use ctprof_ebpf::abi::ledger::Thread;

use crate::kernel::Object;

/// A view's part in these programs. Everything is optional.
pub(crate) trait Hooks {
    /// This thread gets the CPU.
    #[inline(always)]
    fn gets_cpu(_task: Object, _thread: &Thread, _now_ns: u64) {}

    /// This thread leaves the CPU.
    #[inline(always)]
    fn loses_cpu(_task: Object, _thread: &Thread, _now_ns: u64) {}

    /// The CPU goes to a thread about which nothing is known, or to none.
    #[inline(always)]
    fn nobody_runs() {}

    /// The current thread begins the call of this number, by the machine's own numbers: seen only while a view asks for calls.
    #[inline(always)]
    fn calls(_number: u32) {}

    /// A thread was born; its parent is the current one.
    #[inline(always)]
    fn is_born(_thread: &Thread) {}

    /// A thread, or a whole process, was moved to another cgroup.
    #[inline(always)]
    fn moved() {}

    /// A thread that is not on a CPU was there when the recording began.
    #[inline(always)]
    fn found(_thread: &Thread, _now_ns: u64) {}

    /// The recording ends while a thread is off the CPU.
    #[inline(always)]
    fn is_left(_thread: &Thread, _now_ns: u64) {}
}

/// The table of views, as the BPF object has it: the directory of each, and all of them as one.
macro_rules! views {
    ($($view:ident,)*) => {
        $(mod $view;)*

        use ctprof_ebpf::abi::ledger::Thread;

        use $crate::{hooks::Hooks, kernel::Object};

        /// Every view.
        pub(crate) struct All;

        impl Hooks for All {
            #[inline(always)]
            fn gets_cpu(
                task: Object,
                thread: &Thread,
                now_ns: u64,
            ) {
                $($view::View::gets_cpu(task, thread, now_ns);)*
            }

            #[inline(always)]
            fn loses_cpu(
                task: Object,
                thread: &Thread,
                now_ns: u64,
            ) {
                $($view::View::loses_cpu(task, thread, now_ns);)*
            }

            #[inline(always)]
            fn nobody_runs() {
                $($view::View::nobody_runs();)*
            }

            #[inline(always)]
            fn is_born(thread: &Thread) {
                $($view::View::is_born(thread);)*
            }

            #[inline(always)]
            fn moved() {
                $($view::View::moved();)*
            }

            #[inline(always)]
            fn calls(number: u32) {
                $($view::View::calls(number);)*
            }

            #[inline(always)]
            fn found(thread: &Thread, now_ns: u64) {
                $($view::View::found(thread, now_ns);)*
            }

            #[inline(always)]
            fn is_left(thread: &Thread, now_ns: u64) {
                $($view::View::is_left(thread, now_ns);)*
            }
        }
    };
}
