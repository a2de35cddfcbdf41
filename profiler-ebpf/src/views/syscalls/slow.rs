//! Calls that are sent one by one, because they took longer than a limit or a profile would deny them: their arguments are still in the registers when they return.

use core::ffi::c_void;

use aya_ebpf::{Global, helpers::generated::bpf_get_current_comm};
use ctprof_ebpf::{
    abi::{COMM_BYTES, syscall::abi},
    views::syscalls::abi::{
        Call, CallKey, Lost, SLOW_A_SECOND, SLOW_CALL, SLOW_RATES, SlowCall, SlowRate,
    },
};

use super::maps::{JUDGED_CALLS, SLOW_RATE};
use crate::{
    kernel::{self, Object},
    loss, notices,
    stack::{self, Place},
    time::now_ns,
};

#[unsafe(no_mangle)]
static SLOW_NS: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static JUDGE: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SLOW_STACKS: Global<u32> = Global::new(0);

const NS_A_SECOND: u64 = 1_000_000_000;

/// Whether this call, which took as long as this, is wanted by itself.
#[inline(always)]
pub(super) fn is_wanted(key: CallKey, ns: u64) -> bool {
    SLOW_NS.load() != 0 && ns >= SLOW_NS.load() || is_judged() && is_denied(key)
}

/// Whether a profile is judged.
#[inline(always)]
pub(super) fn is_judged() -> bool {
    JUDGE.load() == 1
}

#[inline(always)]
fn is_denied(key: CallKey) -> bool {
    let verdict = key.judged().and_then(|place| JUDGED_CALLS.get(place));
    verdict.copied() == Some(1)
}

/// Sends a call from which the current thread returns now. `key` has its error.
#[inline(never)]
pub(super) fn send(
    ctx: *mut c_void,
    regs: Object,
    call: *const Call,
    key: u64,
    result: i64,
) -> u32 {
    // SAFETY: the caller's pointer is to a live map value; it is checked because the verifier asks for that.
    let Some(call) = (unsafe { call.as_ref() }) else {
        return 0;
    };
    let now_ns = now_ns();
    let key = CallKey(key);
    if !is_allowed(now_ns, key.slot()) {
        loss::count(Lost::SlowCall);
        return 0;
    }
    let task = kernel::current();
    let user_stack = if SLOW_STACKS.load() == 1 {
        stack::take_user(ctx, task, Place::View).key
    } else {
        0
    };
    notices::send_as::<SlowCall>(Lost::SlowCall, |entry| {
        entry.write(SlowCall {
            kind: SLOW_CALL,
            exec_id: kernel::exec_id(task),
            key,
            at_ns: now_ns,
            ns: now_ns.saturating_sub(call.start_ns),
            off_cpu_ns: call.off_cpu_ns,
            result,
            arguments: kernel::call_arguments(regs, key.abi() == abi::COMPAT),
            user_stack,
            tgid: kernel::tgid(task),
            tid: kernel::pid(task),
            comm: [0; COMM_BYTES],
        });
        // Into the entry itself: with the walk of the stack below it, this program has no 16 bytes of stack left before 6.13.
        // SAFETY: the entry is this program's until it is submitted; the helper writes as many bytes as it is told.
        unsafe {
            let comm = &raw mut (*entry.as_mut_ptr()).comm;
            bpf_get_current_comm(comm.cast(), COMM_BYTES as u32);
        }
    });
    0
}

/// Whether this CPU may send one more of this slot in this second.
#[inline(always)]
fn is_allowed(now_ns: u64, slot: u32) -> bool {
    let Some(rate) = SLOW_RATE.get_ptr_mut(slot % SLOW_RATES) else {
        return false;
    };
    // SAFETY: this CPU's value; returns from system calls do not interrupt each other.
    let rate: &mut SlowRate = unsafe { &mut *rate };
    let second = now_ns / NS_A_SECOND;
    if rate.second != second {
        rate.second = second;
        rate.sent = 0;
    }
    rate.sent += 1;
    rate.sent <= SLOW_A_SECOND
}
