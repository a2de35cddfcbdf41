//! Who ran while a thread waited: this CPU's timeline, and the delay matrix.

use core::{
    ffi::c_void,
    intrinsics::{AtomicOrdering, atomic_xadd},
    ptr,
};

use aya_ebpf::helpers::generated::{bpf_loop, bpf_map_lookup_percpu_elem};
use ctprof_ebpf::{
    abi::{ledger::DelayKey, loss::Loss},
    timeline::{PENDING, Pending, SEGMENTS, Segment, Timeline, Walk, pending_index},
};

use crate::{
    loss,
    maps::{DELAYS, TIMELINES},
};

const BPF_NOEXIST: u64 = 1;
const MASK: u32 = SEGMENTS as u32 - 1;

/// A wait to be explained.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    /// Slot of the thread.
    pub(crate) victim: u32,
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    pub(crate) throttled_ns: u64,
}

/// This CPU switches from `slot` to `next`.
#[inline(always)]
pub(crate) fn switch(now_ns: u64, slot: u32, next: u32) {
    if let Some(timeline) = TIMELINES.get_ptr_mut(0) {
        // SAFETY: this CPU's value; switches are not interrupted by switches.
        unsafe { &mut *timeline }.switch(now_ns, slot, next);
    }
}

/// Time of this CPU's last context switch.
#[inline(always)]
pub(crate) fn last_switch_ns() -> u64 {
    TIMELINES.get(0).map_or(0, |timeline| {
        timeline.segments[(timeline.newest & MASK) as usize].end_ns
    })
}

/// Charges a wait on this CPU that ends with its last switch.
#[inline(always)]
pub(crate) fn explain(wait: Wait) {
    let Some(timeline) = TIMELINES.get_ptr_mut(0) else {
        return;
    };
    let mut walk = Walk::over(wait.from_ns, wait.to_ns, wait.throttled_ns);
    // SAFETY: this CPU's value, which only these hooks write to.
    let (slot, begin_ns) = unsafe { (*timeline).newest() };
    // Most waits are explained by the thread that has just left the CPU.
    let step = walk.step(slot, begin_ns);
    if step.ns > 0 {
        add(timeline, wait.victim, slot, step.ns);
    }
    if !step.done {
        let (to_ns, throttled_ns) = walk.rest();
        explain_rest(wait.victim, wait.from_ns, to_ns, throttled_ns);
    }
}

/// Charges what of a wait was before this CPU's newest segment.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn explain_rest(victim: u32, from_ns: u64, to_ns: u64, throttled_ns: u64) -> u32 {
    let Some(timeline) = TIMELINES.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: this CPU's value, which only these hooks write to.
    let (number, slot) = unsafe {
        let before = (*timeline).newest.wrapping_sub(1);
        (
            before.wrapping_sub(1),
            (*timeline).segments[(before & MASK) as usize].slot,
        )
    };
    go_on(&mut Walking {
        timeline,
        walk: Walk::over(from_ns, to_ns, throttled_ns),
        slot,
        number,
        victim,
    });
    0
}

/// Charges the part of a wait that was spent on the queue of another CPU, which goes on meanwhile: what it is
/// about to write may be read half-written, and is then charged to the wrong slot.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn explain_on(
    cpu: u32,
    victim: u32,
    from_ns: u64,
    to_ns: u64,
    throttled_ns: u64,
) -> u32 {
    let first = 0_u32;
    // SAFETY: a per-CPU array and a key of its type; the helper checks the CPU's number.
    let timeline: *const Timeline = unsafe {
        bpf_map_lookup_percpu_elem(
            (&raw const TIMELINES).cast_mut().cast(),
            (&raw const first).cast(),
            cpu,
        )
    }
    .cast();
    if timeline.is_null() {
        return 0;
    }
    // SAFETY: the pointer is to a live map value.
    let (slot, number) = unsafe { ((*timeline).running, (*timeline).newest) };
    go_on(&mut Walking {
        timeline,
        walk: Walk::over(from_ns, to_ns, throttled_ns),
        slot,
        number,
        victim,
    });
    0
}

/// A walk along a timeline, as [`step`] sees it.
#[repr(C)]
struct Walking {
    timeline: *const Timeline,
    walk: Walk,
    /// Whose segment is next, and the number of the one before it.
    slot: u32,
    number: u32,
    victim: u32,
}

/// Unrolled 512 times on every path, a loop would exceed the verifier's limit, so the kernel runs it (`bpf_loop`, Linux 5.17).
#[inline(always)]
fn go_on(walking: &mut Walking) {
    // SAFETY: the callback takes what it is given here.
    unsafe {
        bpf_loop(
            SEGMENTS as u32,
            step as *mut c_void,
            ptr::from_mut(walking).cast(),
            0,
        )
    };
}

/// One segment back. Returns 1 when the wait is explained, or nothing older is known: the start of the oldest segment is
/// unknown.
#[inline(never)]
extern "C" fn step(_: u64, walking: *mut Walking) -> i64 {
    // SAFETY: called with what `walk` passes.
    let walking = unsafe { &mut *walking };
    // SAFETY: the pointer is to a live map value, and the index is below the array's length.
    let segment = unsafe {
        let index = (walking.number & MASK) as usize;
        (&raw const (*walking.timeline).segments)
            .cast::<Segment>()
            .add(index)
            .read()
    };
    let step = walking.walk.step(walking.slot, segment.end_ns);
    if step.ns > 0
        && let Some(timeline) = TIMELINES.get_ptr_mut(0)
    {
        add(timeline, walking.victim, walking.slot, step.ns);
    }
    walking.slot = segment.slot;
    walking.number = walking.number.wrapping_sub(1);
    i64::from(step.done)
}

/// Adds to this CPU's pending delays; what they have no room for goes to the matrix.
#[inline(always)]
fn add(timeline: *mut Timeline, victim: u32, culprit: u32, ns: u64) {
    let index = pending_index(victim, culprit) & (PENDING - 1);
    // SAFETY: this CPU's value, the index is below the array's length, and no hook interrupts another.
    let pending = unsafe { &mut *(&raw mut (*timeline).pending).cast::<Pending>().add(index) };
    if pending.victim == victim && pending.culprit == culprit {
        pending.ns += ns;
        return;
    }
    if pending.ns > 0 {
        add_to_matrix(pending);
    }
    *pending = Pending {
        victim,
        culprit,
        ns,
    };
}

#[inline(always)]
fn add_to_matrix(pending: &Pending) {
    let key = DelayKey {
        victim: pending.victim,
        culprit: pending.culprit,
    };
    let sum = DELAYS.get_ptr_mut(key).or_else(|| {
        // Another CPU may insert first (EEXIST): then both add to its entry.
        let _ = DELAYS.insert(key, 0, BPF_NOEXIST);
        DELAYS.get_ptr_mut(key)
    });
    match sum {
        // SAFETY: the pointer is to a live map value; other CPUs add to it atomically as well.
        Some(sum) => unsafe {
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(sum, pending.ns);
        },
        None => loss::count(Loss::DelayMapFull),
    }
}
