//! System calls: which one each thread is in, and the rows that they are counted in.
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
        loss::Loss,
        scope::{is_recorded, slot},
        syscall::{
            CachedRow, Call, CallKey, CallRow, Running, abi, error_of, kind, numbered, of_code,
            view,
        },
    },
    histogram,
    shared::Shared,
};

use crate::{
    kernel::{self, Object},
    loss,
    maps::{CALL_CACHE, CALLS, RUNNING},
    scope, slow, threads,
    time::now_ns,
};

const BPF_NOEXIST: u64 = 1;

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
pub(crate) fn moved() {
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

/// The call that a thread was in when it lost the CPU goes on. Its storage does not know any more until the next time:
/// if that is not seen, the call is not known, instead of an older one.
#[inline(always)]
fn take_over(running: &mut Running, thread: &Thread, now_ns: u64) {
    let call = thread.call.get();
    running.call = call;
    running.call.off_cpu_ns += now_ns.saturating_sub(call.left_ns);
    thread.call.set(Call {
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
pub(crate) fn begins(regs: Object, number: u32) {
    let Some(running) = recorded(regs) else {
        return;
    };
    running.call.key = key_of(running, regs, number);
    running.call.off_cpu_ns = 0;
    running.call.start_ns = now_ns();
}

/// The current thread returns from a call.
#[inline(always)]
pub(crate) fn returns(ctx: *mut c_void, regs: Object, result: i64) {
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

const ONE: CallRow = CallRow {
    count: 1,
    sum_ns: 0,
    off_cpu_ns: 0,
    max_ns: 0,
};

/// The current thread ends: the call that it is in does not return.
#[inline(always)]
pub(crate) fn never_returns() {
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
pub(crate) fn is_born(thread: &Thread) {
    if is_on() {
        thread.call.set(Call {
            key: CallKey::BORN,
            ..thread.call.get()
        });
    }
}

/// A sleeping thread is in a call that had begun before the recording.
#[inline(always)]
pub(crate) fn began_before(thread: &Thread, now_ns: u64) {
    if let Some((number, abi)) = of_code(thread.syscall.get())
        && is_on()
        && is_recorded(thread.slot.get())
    {
        thread.call.set(Call {
            key: CallKey::of(slot(thread.slot.get()), number, abi, false).with_kind(kind::BEFORE),
            start_ns: now_ns,
            off_cpu_ns: 0,
            left_ns: now_ns,
            ..thread.call.get()
        });
    }
}

/// The recording ends while a thread that is off the CPU is in a call.
#[inline(always)]
pub(crate) fn is_open(thread: &Thread, now_ns: u64) {
    let call = thread.call.get();
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
pub(crate) fn loses_cpu(task: Object, thread: &Thread, now_ns: u64) {
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
                ..thread.call.get()
            }
        };
        thread.call.set(Call {
            left_ns: now_ns,
            ..call
        });
    }
}

/// This thread gets the CPU.
#[inline(always)]
pub(crate) fn gets_cpu(task: Object, thread: &Thread, now_ns: u64) {
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
pub(crate) fn nobody_runs() {
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

/// Counts a call in this CPU's cache.
#[inline(always)]
fn count(key: CallKey, ns: u64, off_cpu_ns: u64) {
    let Some(cached) = CALL_CACHE.get_ptr_mut(key.place()) else {
        return;
    };
    // SAFETY: this CPU's value; returns from system calls do not interrupt each other.
    let cached = unsafe { &mut *cached };
    if cached.key != key {
        give_back(cached);
        cached.key = key;
        cached.row = CallRow::default();
    }
    let row = &mut cached.row;
    row.count += 1;
    row.sum_ns += ns;
    row.off_cpu_ns += off_cpu_ns;
    if ns > row.max_ns {
        row.max_ns = ns;
    }
}

/// Makes a place in the cache free.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn give_back(cached: *const CachedRow) -> u32 {
    // SAFETY: the caller's pointer is to a live map value; it is checked because the verifier asks for that.
    if let Some(cached) = unsafe { cached.as_ref() }
        && cached.key.is_call()
    {
        add(cached.key, &cached.row);
    }
    0
}

/// Adds to a row that all CPUs share.
#[inline(always)]
fn add(key: CallKey, more: &CallRow) {
    if CALLS.get_ptr(key).is_none() {
        // Another CPU may insert first (EEXIST): then both add to its row.
        let _ = CALLS.insert(key, CallRow::default(), BPF_NOEXIST);
    }
    let Some(row) = CALLS.get_ptr_mut(key) else {
        loss::add(Loss::CallMapFull, more.count);
        return;
    };
    // SAFETY: the pointer is to a live map value; other CPUs add to it atomically as well. A maximum that two CPUs
    // raise at once may be the smaller of theirs.
    unsafe {
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*row).count, more.count);
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*row).sum_ns, more.sum_ns);
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(
            &raw mut (*row).off_cpu_ns,
            more.off_cpu_ns,
        );
        if more.max_ns > (*row).max_ns {
            (*row).max_ns = more.max_ns;
        }
    }
}
