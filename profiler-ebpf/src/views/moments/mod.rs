//! Moments of threads that sums do not show.
//!
//! - `programs`: what is attached
//! - `maps`: its maps
//! - `abi`: what crosses the border; a part of the border, like `ctprof_ebpf::abi`

mod maps;
mod programs;

use aya_ebpf::Global;
use ctprof_ebpf::{
    abi::{
        ledger::{Thread, reason},
        scope::slot,
    },
    ledger::phase,
    views::moments::abi::{Longest, LongestKey, Lost, OfThread},
};

use crate::{
    hooks::Hooks,
    kernel::{self, Object},
    loss,
    maps::CALL_REASONS,
    threads,
    time::now_ns,
};
use maps::LONGEST;

#[unsafe(no_mangle)]
static MOMENTS: Global<u32> = Global::new(0);

/// The view.
pub(super) struct View;

impl Hooks for View {
    #[inline(always)]
    fn gets_cpu(_: Object, thread: &Thread, _: u64) {
        // It was seen to fall asleep, and not to wake, or was not seen to leave the CPU: what it ran before is over.
        if MOMENTS.load() == 1 && thread.clock.phase.get() != phase::RUNNABLE {
            thread.views.moments.ran_ns.set(0);
        }
    }

    #[inline(always)]
    fn loses_cpu(task: Object, thread: &Thread, now_ns: u64) {
        if MOMENTS.load() == 0 {
            return;
        }
        let own = &thread.views.moments;
        if thread.clock.phase.get() != phase::ON_CPU {
            // When it got the CPU was not seen.
            own.ran_ns.set(0);
            return;
        }
        if kernel::state(task) == 0 {
            own.ran_ns.set(stretch_ns(thread, now_ns));
            return;
        }
        ends(task, thread, now_ns);
        own.ran_ns.set(0);
    }

    #[inline(always)]
    fn calls(number: u32) {
        if MOMENTS.load() == 0 {
            return;
        }
        if let Some(&(reason::POLL | reason::COMPLETION)) = CALL_REASONS.get(number) {
            looks();
        }
    }
}

/// The current thread asks for events, and need not wait for them: nobody is kept from it any longer.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn looks() -> u32 {
    let task = kernel::current();
    if let Some(thread) = threads::get(task)
        && thread.clock.phase.get() == phase::ON_CPU
    {
        let now_ns = now_ns();
        ends(task, thread, now_ns);
        let OfThread {
            ran_ns, looked_ns, ..
        } = &thread.views.moments;
        ran_ns.set(0);
        looked_ns.set(now_ns);
    }
    0
}

/// How long a thread on the CPU has run since it last waited or looked for events.
#[inline(always)]
fn stretch_ns(thread: &Thread, now_ns: u64) -> u64 {
    let own = &thread.views.moments;
    let since_ns = thread.clock.since_ns.get().max(own.looked_ns.get());
    own.ran_ns.get() + now_ns.saturating_sub(since_ns)
}

/// A thread waits, or looks for events.
#[inline(always)]
fn ends(task: Object, thread: &Thread, now_ns: u64) {
    let own = &thread.views.moments;
    let ran_ns = stretch_ns(thread, now_ns);
    if ran_ns > own.longest_ns.get() {
        own.longest_ns.set(ran_ns);
        longest(task, slot(thread.slot.get()), ran_ns, 0);
    }
}

/// A thread is woken after a wait.
#[inline(always)]
fn waited(task: Object, thread: &Thread, ns: u64) {
    let own = &thread.views.moments;
    if MOMENTS.load() == 1 && ns > own.waited_ns.get() {
        own.waited_ns.set(ns);
        longest(task, slot(thread.slot.get()), 0, ns);
    }
}

/// A thread has run, or waited, longer than ever before. Out of line, to keep the rare case off the hot path.
///
/// A global function: see `main.rs`.
#[inline(never)]
fn longest(task: Object, slot: u32, ran_ns: u64, waited_ns: u64) -> u32 {
    let key = LongestKey {
        slot,
        tgid: kernel::tgid(task),
        comm: kernel::comm(task),
    };
    if let Some(known) = LONGEST.get_ptr_mut(&key) {
        // SAFETY: the pointer is to a live map value. Threads of one name may do so at once: then the one that is written last
        // stays, which another that runs or waits as long again replaces.
        unsafe {
            (*known).ran_ns = (*known).ran_ns.max(ran_ns);
            (*known).waited_ns = (*known).waited_ns.max(waited_ns);
        }
        return 0;
    }
    if LONGEST
        .insert(&key, &Longest { ran_ns, waited_ns }, 0)
        .is_err()
    {
        loss::count(Lost::Longest);
    }
    0
}
