//! Sampling of what runs in the kernel, at a low rate and for as long as the agent runs, for what isolation costs.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext, helpers::generated::bpf_get_stack, macros::perf_event, programs::PerfEventContext,
};
use ctprof_ebpf::views::isolation::abi::{FRAMES, KernelSample, Lost};

use super::maps::ISOLATION;
use crate::{kernel, loss, scope};

const BYTES: u32 = (FRAMES * size_of::<u64>()) as u32;

/// Sends one sample of what this CPU does in the kernel.
#[perf_event]
fn isolation(ctx: PerfEventContext) -> u32 {
    // The idle task has pid 0: nobody's time.
    if ctx.pid() == 0 {
        return 0;
    }
    let Some(slot) = scope::slot_of(kernel::current()) else {
        return 0;
    };
    let Some(mut entry) = ISOLATION.reserve::<KernelSample>(0) else {
        loss::count(Lost::Sample);
        return 0;
    };
    let sample = entry.as_mut_ptr();
    // SAFETY: the entry is this program's until it is submitted, and the helper writes at most the size of the addresses.
    let bytes = unsafe {
        (*sample).slot = slot;
        bpf_get_stack(
            ctx.as_ptr(),
            (&raw mut (*sample).addresses).cast::<c_void>(),
            BYTES,
            0,
        )
    };
    if bytes <= 0 {
        // It runs its program: that costs nothing but the program's own time.
        entry.discard(0);
        return 0;
    }
    // SAFETY: as above.
    unsafe { (*sample).frames = (bytes as usize / size_of::<u64>()) as u32 };
    entry.submit(0);
    0
}
