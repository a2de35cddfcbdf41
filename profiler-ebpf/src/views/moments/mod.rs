//! Moments of threads that sums do not show.
//!
//! - `programs`: what is attached
//! - `maps`: its maps
//! - `abi`: what crosses the border; a part of the border, like `ctprof_ebpf::abi`

mod maps;
mod programs;

use aya_ebpf::Global;
use ctprof_ebpf::{
    abi::{ledger::Thread, scope::slot},
    ledger::phase,
    views::moments::abi::{LongestKey, Lost},
};

use crate::{
    hooks::Hooks,
    kernel::{self, Object},
    loss,
};
use maps::LONGEST;

#[unsafe(no_mangle)]
static MOMENTS: Global<u32> = Global::new(0);

/// The view.
pub(super) struct View;

impl Hooks for View {
    #[inline(always)]
    fn loses_cpu(task: Object, thread: &Thread, now_ns: u64) {
        if MOMENTS.load() == 0 || thread.clock.phase.get() != phase::ON_CPU {
            return;
        }
        let own = &thread.views.moments;
        let ran_ns = own.ran_ns.get() + now_ns.saturating_sub(thread.clock.since_ns.get());
        if kernel::state(task) == 0 {
            own.ran_ns.set(ran_ns);
            return;
        }
        own.ran_ns.set(0);
        if ran_ns > own.longest_ns.get() {
            own.longest_ns.set(ran_ns);
            longest(task, slot(thread.slot.get()), ran_ns);
        }
    }
}

/// A thread has run longer than ever before. Out of line, to keep the rare case off the hot path.
///
/// A global function: see `main.rs`.
#[inline(never)]
fn longest(task: Object, slot: u32, ran_ns: u64) -> u32 {
    let key = LongestKey {
        slot,
        tgid: kernel::tgid(task),
        comm: kernel::comm(task),
    };
    if let Some(known) = LONGEST.get_ptr_mut(&key) {
        // SAFETY: the pointer is to a live map value. Threads of one name may do so at once: then the one that is written last
        // stays, which another that runs as long again replaces.
        unsafe {
            if *known < ran_ns {
                *known = ran_ns;
            }
        }
        return 0;
    }
    if LONGEST.insert(&key, &ran_ns, 0).is_err() {
        loss::count(Lost::Longest);
    }
    0
}
