//! Real-time and deadline threads that a limit stops: rare, and kept off the path of all other threads.
//!
//! - A thread with a deadline says so itself, and when it gets its next budget.
//! - A group's limit (`cpu.rt_runtime_us`) marks the group's queue of a CPU.
//! - The limit of the whole host (`kernel.sched_rt_runtime_us`), and from 6.12 on the fair class' server, have the CPU pass
//!   from a real-time thread that could run on to a thread of a lower class, or to none. Nothing else does.
//!
//! The two latter are told when a thread loses its CPU, and are over when the next one of its kind gets it. Meanwhile a
//! throttle clock as for CFS queues goes on, for the group's queue or for the CPU: whoever waits there meanwhile is stopped
//! as well.

use ctprof_ebpf::abi::{
    ledger::{Thread, ThrottleClock, queued},
    loss::Loss,
};

use crate::{
    kernel::{self, Object},
    loss,
    maps::THROTTLES,
};

/// Key of a CPU's clock; never the address of a queue.
#[inline(always)]
const fn key_of_cpu(cpu: u32) -> u64 {
    cpu as u64 + 1
}

/// What both clocks of a waiting thread are for, in one word: addresses in the kernel do not differ in the upper bits.
#[inline(always)]
const fn identity(queue: u64, cpu: u32) -> u64 {
    queue ^ key_of_cpu(cpu) << 48
}

/// Remembers where a thread of these classes begins to wait. `is_passed_over` says whether its CPU goes to a thread of a
/// lower class.
#[inline(never)]
pub(crate) fn queued(
    task: Object,
    thread: *const Thread,
    now_ns: u64,
    is_passed_over: bool,
) -> u32 {
    // SAFETY: the caller's pointer is to a live map value; it is checked because the verifier asks for that.
    let Some(thread) = (unsafe { thread.as_ref() }) else {
        return 0;
    };
    thread.queued.set(queued::FREE);
    if kernel::has_deadline(task) {
        let in_ns = kernel::new_budget_in_ns(task);
        if in_ns > 0 {
            thread.queued.set(queued::DEADLINE);
            thread.queue.set(now_ns + in_ns);
        }
        return 0;
    }
    let Some(cpu) = kernel::cpu(task) else {
        return 0;
    };
    let queue = kernel::real_time_queue(task);
    thread.queue.set(identity(queue, cpu));
    let is_alone = kernel::real_time_threads(task) <= 1;
    thread.queue_ns.set(begin(
        queue,
        cpu,
        now_ns,
        u32::from(is_passed_over),
        u32::from(is_alone),
    ));
    thread.queued.set(queued::REAL_TIME);
    0
}

/// Starts and ends stops by what is known when a thread begins to wait, and returns its clock.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn begin(queue: u64, cpu: u32, now_ns: u64, is_passed_over: u32, is_alone: u32) -> u64 {
    let of_cpu = key_of_cpu(cpu);
    if kernel::is_stopped(queue, cpu) {
        stop(queue, now_ns);
    } else {
        // The thread that was stopped may have left for another CPU.
        release(queue, now_ns);
        if is_passed_over != 0 {
            stop(of_cpu, now_ns);
        } else if is_alone != 0 {
            release(of_cpu, now_ns);
        }
    }
    clock_ns(queue, now_ns) + clock_ns(of_cpu, now_ns)
}

/// A thread that waits is moved to another CPU.
#[inline(never)]
pub(crate) fn requeued(task: Object, thread: *const Thread, cpu: u32, now_ns: u64) -> u32 {
    // SAFETY: the caller's pointer is to a live map value; it is checked because the verifier asks for that.
    let Some(thread) = (unsafe { thread.as_ref() }) else {
        return 0;
    };
    let queue = kernel::real_time_queue_on(kernel::real_time_queue(task), cpu);
    thread.queue.set(identity(queue, cpu));
    thread.queue_ns.set(both_ns(queue, cpu, now_ns));
    0
}

/// For how long a thread of these classes that waits has been stopped since it was [`queued()`].
#[inline(never)]
pub(crate) fn stopped_ns(task: Object, thread: *const Thread, now_ns: u64) -> u64 {
    // SAFETY: the caller's pointer is to a live map value; it is checked because the verifier asks for that.
    let Some(thread) = (unsafe { thread.as_ref() }) else {
        return 0;
    };
    if thread.queued.get() == queued::DEADLINE {
        let until_ns = thread.queue.get().min(now_ns);
        return until_ns.saturating_sub(thread.clock.since_ns.get());
    }
    let Some(cpu) = kernel::cpu(task) else {
        return 0;
    };
    let queue = kernel::real_time_queue(task);
    if thread.queue.get() == identity(queue, cpu) {
        both_ns(queue, cpu, now_ns).saturating_sub(thread.queue_ns.get())
    } else {
        0
    }
}

/// A real-time thread gets its CPU: any stop of real-time threads there is over.
#[inline(never)]
pub(crate) fn gets_cpu(task: Object, now_ns: u64) -> u32 {
    if let Some(cpu) = kernel::cpu(task) {
        release(kernel::real_time_queue(task), now_ns);
        release(key_of_cpu(cpu), now_ns);
    }
    0
}

#[inline(always)]
fn both_ns(queue: u64, cpu: u32, now_ns: u64) -> u64 {
    clock_ns(queue, now_ns) + clock_ns(key_of_cpu(cpu), now_ns)
}

/// The throttle clock of a queue or CPU; 0 if it was never stopped.
#[inline(always)]
fn clock_ns(key: u64, now_ns: u64) -> u64 {
    // SAFETY: entries are never removed; a half-written one is at worst off by one interval.
    match unsafe { THROTTLES.get(key) } {
        Some(clock) if clock.since_ns == 0 => clock.total_ns,
        Some(clock) => clock.total_ns + now_ns.saturating_sub(clock.since_ns),
        None => 0,
    }
}

#[inline(always)]
fn stop(key: u64, now_ns: u64) {
    if let Some(clock) = THROTTLES.get_ptr_mut(key) {
        // SAFETY: the pointer is to a live map value, written by the CPU whose clock it is only.
        unsafe {
            if (*clock).since_ns == 0 {
                (*clock).since_ns = now_ns;
            }
        }
        return;
    }
    let clock = ThrottleClock {
        total_ns: 0,
        since_ns: now_ns,
    };
    if THROTTLES.insert(key, clock, 0).is_err() {
        loss::count(Loss::ThrottleMapFull);
    }
}

#[inline(always)]
fn release(key: u64, now_ns: u64) {
    if let Some(clock) = THROTTLES.get_ptr_mut(key) {
        // SAFETY: the pointer is to a live map value, written by the CPU whose clock it is only.
        unsafe {
            if (*clock).since_ns != 0 {
                (*clock).total_ns += now_ns.saturating_sub((*clock).since_ns);
                (*clock).since_ns = 0;
            }
        }
    }
}
