//! Which call each thread is in.
//!
//! What the thread that has a CPU is in is kept by CPU, in `RUNNING`; the ledger's `sched_switch` puts it into the
//! thread's own storage and takes that of the next. So a call costs two lookups in arrays of one element and, as
//! long as its row is in the CPU's cache, one in a third array; switches, of which there are fewer, pay the rest.

use core::{
    ffi::c_void,
    intrinsics::{AtomicOrdering, atomic_xadd},
};

use aya_ebpf::Global;
use ctprof_ebpf::{
    abi::{
        ledger::Thread,
        scope::{is_recorded, slot},
        syscall::{abi, numbered, of_code},
    },
    histogram,
    shared::Shared,
    views::syscalls::abi::{Call, CallKey, CallRow, Running, error_of, kind, view},
};

use super::{
    maps::RUNNING,
    rows::{ONE, add, count},
    slow,
};
use crate::{
    hooks::Hooks as _,
    kernel::{self, Object},
    scope, threads,
    time::now_ns,
    views::All,
};

#[unsafe(no_mangle)]
static CALL_VIEW: Global<u32> = Global::new(view::OFF);
#[unsafe(no_mangle)]
static CALL_CONFINED: Global<u32> = Global::new(0);

#[inline(always)]
fn is_on() -> bool {
    CALL_VIEW.load() != view::OFF
}

/// What is known about the thread that this CPU runs.
#[inline(always)]
fn running() -> Option<&'static mut Running> {
    // SAFETY: this CPU's value; hooks of system calls and switches of one CPU do not interrupt each other.
    RUNNING
        .get_ptr_mut(0)
        .map(|running| unsafe { &mut *running })
}

/// Threads that were moved to another cgroup so far. In memory of the programs' own: no lookup.
#[unsafe(no_mangle)]
static MOVES: Shared<u32> = Shared::new(0);

/// A thread, or a whole process, was moved to another cgroup: whoever runs finds out anew where.
#[inline(always)]
pub(super) fn moved() {
    if is_on() {
        // SAFETY: the address of a live word.
        unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(MOVES.as_ptr(), 1) };
    }
}

/// What is known about the current thread, if it is recorded.
#[inline(always)]
fn recorded(regs: Object) -> Option<&'static mut Running> {
    let running = running()?;
    if running.call.registers != regs as u64 || running.moves != MOVES.get() {
        find(running);
        running.call.registers = regs as u64;
    }
    is_recorded(running.slot).then_some(running)
}

/// The thread is new to these hooks, got the CPU by a switch that was not seen, or may have been moved to another
/// cgroup while it ran.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find(running: *mut Running) -> u32 {
    // SAFETY: the caller's pointer is to a live map value; it is checked because the verifier asks for that.
    let Some(running) = (unsafe { running.as_mut() }) else {
        return 0;
    };
    let task = kernel::current();
    let tid = kernel::pid(task);
    let is_another = running.group == 0 || running.tid != tid;
    if !is_recorded(running.slot) {
        // Calls were not followed until now.
        running.call.key = CallKey::UNKNOWN;
    }
    running.moves = MOVES.get();
    let group = kernel::group(task);
    running.group = group as u64;
    running.tid = tid;
    match threads::get(task) {
        Some(thread) => {
            let now_ns = now_ns();
            threads::follow_in(task, thread, group, now_ns);
            if is_another {
                take_over(running, thread, now_ns);
            }
            running.slot = thread.slot.get();
        }
        None => {
            if is_another {
                running.call.key = CallKey::UNKNOWN;
            }
            running.slot = scope::find_in(task, group);
        }
    }
    0
}

/// The call that a thread was in when it lost the CPU goes on. Its storage is marked unknown until the thread next leaves the
/// CPU: should that be missed, the call is unknown, not a stale one.
#[inline(always)]
fn take_over(running: &mut Running, thread: &Thread, now_ns: u64) {
    let call = thread.views.syscalls.get();
    running.call = call;
    running.call.off_cpu_ns += now_ns.saturating_sub(call.left_ns);
    thread.views.syscalls.set(Call {
        key: CallKey::UNKNOWN,
        ..call
    });
}

/// Key of a call that the current thread makes or returns from.
#[inline(always)]
fn key_of(running: &Running, regs: Object, number: u32) -> CallKey {
    let slot = slot(running.slot);
    let confined = CALL_CONFINED.load() == 1 && kernel::is_confined(kernel::current());
    if !kernel::is_surely_native(regs) && kernel::is_compat(kernel::current()) {
        CallKey::of(slot, number, abi::COMPAT, confined)
    } else {
        let (abi, number) = numbered(number);
        CallKey::of(slot, number, abi, confined)
    }
}

/// The current thread begins a call.
#[inline(always)]
pub(super) fn begins(regs: Object, number: u32) {
    let Some(running) = recorded(regs) else {
        return;
    };
    running.call.key = key_of(running, regs, number);
    running.call.off_cpu_ns = 0;
    running.call.start_ns = now_ns();
    if running.call.key.abi() == abi::NATIVE {
        All::calls(number);
    }
}

/// The current thread returns from a call.
#[inline(always)]
pub(super) fn returns(ctx: *mut c_void, regs: Object, result: i64) {
    let error = error_of(result);
    if CALL_VIEW.load() == view::COUNTS {
        if let Some(running) = recorded(regs) {
            let key = key_of(running, regs, kernel::call_number(regs));
            count(key.with_error(error), 0, 0);
        }
        return;
    }
    let Some(running) = running() else {
        return;
    };
    if running.call.registers != regs as u64 {
        find(running);
        running.call.registers = regs as u64;
    }
    let key = running.call.key;
    if !key.is_call() {
        unpaired(ctx, regs, error, result);
        return;
    }
    running.call.key = CallKey::NONE;
    let ns = now_ns().saturating_sub(running.call.start_ns);
    let key = key.with_error(error);
    if slow::is_wanted(key, ns) {
        slow::send(ctx, regs, &raw const running.call, key.0, result);
    }
    let key = key.with_bucket(histogram::bucket(ns));
    count(key, ns, running.call.off_cpu_ns);
}

/// A return whose beginning was not seen: nobody asked, or it had begun before, or never did.
#[inline(always)]
fn unpaired(ctx: *mut c_void, regs: Object, error: u32, result: i64) {
    let Some(running) = recorded(regs) else {
        return;
    };
    let state = running.call.key;
    running.call.key = CallKey::NONE;
    let kind = match state {
        CallKey::BORN => return,
        CallKey::NONE => kind::REFUSED,
        _ => kind::BEFORE,
    };
    let key = key_of(running, regs, kernel::call_number(regs))
        .with_kind(kind)
        .with_error(error);
    if slow::is_judged() && kind == kind::REFUSED {
        running.call.start_ns = now_ns();
        running.call.off_cpu_ns = 0;
        slow::send(ctx, regs, &raw const running.call, key.0, result);
    }
    add(key, &ONE);
}

/// The current thread ends: the call that it is in does not return.
#[inline(always)]
pub(super) fn never_returns() {
    let Some(running) = running() else {
        return;
    };
    let key = running.call.key;
    running.call.key = CallKey::UNKNOWN;
    if key.is_call() && is_recorded(running.slot) {
        add(key.with_kind(kind::NEVER), &ONE);
    }
}

/// A thread was born, and will return from a call that it has not made.
#[inline(always)]
pub(super) fn is_born(thread: &Thread) {
    if is_on() {
        thread.views.syscalls.set(Call {
            key: CallKey::BORN,
            ..thread.views.syscalls.get()
        });
    }
}

/// A thread that is off the CPU may be in a call that had begun before the recording.
#[inline(always)]
pub(super) fn found(thread: &Thread, now_ns: u64) {
    if let Some((number, abi)) = of_code(thread.syscall.get())
        && is_on()
        && is_recorded(thread.slot.get())
    {
        thread.views.syscalls.set(Call {
            key: CallKey::of(slot(thread.slot.get()), number, abi, false).with_kind(kind::BEFORE),
            start_ns: now_ns,
            off_cpu_ns: 0,
            left_ns: now_ns,
            ..thread.views.syscalls.get()
        });
    }
}

/// The recording ends while a thread that is off the CPU is in a call.
#[inline(always)]
pub(super) fn is_left(thread: &Thread, now_ns: u64) {
    let call = thread.views.syscalls.get();
    if !is_on() || !call.key.is_call() || !is_recorded(thread.slot.get()) {
        return;
    }
    let ns = now_ns.saturating_sub(call.start_ns);
    let row = CallRow {
        count: 1,
        sum_ns: ns,
        off_cpu_ns: call.off_cpu_ns + now_ns.saturating_sub(call.left_ns),
        max_ns: ns,
    };
    let kind = if call.key.kind() == kind::BEFORE {
        kind::THROUGHOUT
    } else {
        kind::OPEN
    };
    add(call.key.with_kind(kind), &row);
}

/// This thread leaves the CPU.
#[inline(always)]
pub(super) fn loses_cpu(task: Object, thread: &Thread, now_ns: u64) {
    if !is_on() {
        return;
    }
    if let Some(running) = running()
        && running.group != 0
    {
        let call = if running.tid == kernel::pid(task) {
            running.call
        } else {
            // The switch to it was not seen.
            Call {
                key: CallKey::UNKNOWN,
                ..thread.views.syscalls.get()
            }
        };
        thread.views.syscalls.set(Call {
            left_ns: now_ns,
            ..call
        });
    }
}

/// This thread gets the CPU.
#[inline(always)]
pub(super) fn gets_cpu(task: Object, thread: &Thread, now_ns: u64) {
    if !is_on() {
        return;
    }
    if let Some(running) = running() {
        take_over(running, thread, now_ns);
        running.moves = MOVES.get();
        running.group = thread.group.get();
        running.slot = thread.slot.get();
        running.tid = kernel::pid(task);
    }
}

/// The CPU goes to a thread about which nothing is known, or to none.
#[inline(always)]
pub(super) fn nobody_runs() {
    if !is_on() {
        return;
    }
    if let Some(running) = running() {
        running.group = 0;
        running.slot = 0;
        running.call.key = CallKey::UNKNOWN;
        running.call.registers = 0;
    }
}
