//! Run queues, and for how long a quota stopped them.
//!
//! A queue's *throttle clock* is the time for which it has been stopped so far. Between becoming runnable and
//! getting a CPU it advances by the throttled part of the wait. Kernels differ in where it is to be found; see
//! `ctprof_ebpf::abi::layout::throttle`.

use super::{
    OFF_CSS_CGROUP, OFF_TASK_GROUP, OFF_TG_CSS, Object, cgroup_id, current, has, optional, probe,
    read,
};
use crate::maps::THROTTLES;
use aya_ebpf::Global;
use ctprof_ebpf::abi::layout::{ABSENT, throttle};

optional! {
    OFF_TASK_QUEUE, OFF_TASK_STOPPED, OFF_QUEUE_TOTAL, OFF_QUEUE_SINCE, OFF_QUEUE_PELT, OFF_QUEUE_PSINCE,
    OFF_QUEUE_COUNT, OFF_QUEUE_RQ, OFF_RQ_CLOCK, OFF_RQ_PELT, OFF_RQ_LOST, OFF_RQ_CPU,
    OFF_TG_QUEUES, OFF_TG_PARENT, OFF_TG_QUOTA, OFF_TG_PERIODS,
}

/// Whether BTF has the fields that lead from a thread to the run queue of its CPU.
#[inline(always)]
pub(super) fn has_run_queue() -> bool {
    has(&OFF_TASK_QUEUE) && has(&OFF_QUEUE_RQ) && has(&OFF_RQ_CLOCK)
}

/// What a run queue's clock showed at its last update.
#[inline(always)]
pub(super) fn run_queue_clock(rq: Object) -> u64 {
    read(rq, OFF_RQ_CLOCK.load())
}

/// The group above the one at this address; 0 if there is none.
#[inline(always)]
pub(super) fn tg_parent(group: u64) -> u64 {
    if has(&OFF_TG_PARENT) {
        field(group, &OFF_TG_PARENT)
    } else {
        0
    }
}

/// Run queue of the CPU that a thread is on.
#[inline(always)]
pub(super) fn run_queue(task: Object) -> Object {
    let queue: Object = read(task, OFF_TASK_QUEUE.load());
    read(queue, OFF_QUEUE_RQ.load())
}

/// For how long a queue has been stopped by now that was stopped at `since` by the clock of this run queue. That clock
/// stands still while its CPU idles without ticks, as it does when all of its threads are stopped: the clock of this CPU,
/// which is the same but for the moment of its last update, goes on.
#[inline(always)]
fn stopped_for_ns(rq: Object, since: u64) -> u64 {
    let here = run_queue_clock(run_queue(current()));
    run_queue_clock(rq).max(here).saturating_sub(since)
}

#[unsafe(no_mangle)]
static THROTTLE: Global<u32> = Global::new(throttle::UNKNOWN);

/// A queue, and its throttle clock at some moment.
#[derive(Clone, Copy, Default)]
pub(crate) struct QueueClock {
    /// Identity of the queue; 0 if the thread cannot be stopped now.
    pub(crate) queue: u64,
    /// Its throttle clock.
    pub(crate) ns: u64,
}

/// Where the kernel marks the threads that it stops: whether this one is. Elsewhere any may be.
#[inline(always)]
pub(crate) fn may_be_stopped(task: Object) -> bool {
    match THROTTLE.load() {
        throttle::UNKNOWN => false,
        throttle::BY_THREAD => read::<u8>(task, OFF_TASK_STOPPED.load()) != 0,
        _ => true,
    }
}

/// The queue that a thread is on.
#[inline(always)]
pub(crate) fn queue_clock(task: Object, now_ns: u64) -> QueueClock {
    let queue: Object = read(task, OFF_TASK_QUEUE.load());
    let ns = match THROTTLE.load() {
        throttle::BY_THREAD | throttle::BY_QUEUE => {
            let total: u64 = read(queue, OFF_QUEUE_TOTAL.load());
            let since: u64 = read(queue, OFF_QUEUE_SINCE.load());
            if since == 0 {
                total
            } else {
                let rq: Object = read(queue, OFF_QUEUE_RQ.load());
                total + stopped_for_ns(rq, since)
            }
        }
        throttle::BY_PELT => {
            let total: u64 = read(queue, OFF_QUEUE_PELT.load());
            if read::<u32>(queue, OFF_QUEUE_COUNT.load()) == 0 {
                total
            } else {
                let rq: Object = read(queue, OFF_QUEUE_RQ.load());
                let pelt: u64 = read(rq, OFF_RQ_PELT.load());
                let since: u64 = read(queue, OFF_QUEUE_PSINCE.load());
                total
                    + pelt
                        .saturating_sub(read(rq, OFF_RQ_LOST.load()))
                        .saturating_sub(since)
            }
        }
        throttle::BY_HOOK => hooked_clock(queue as u64, now_ns),
        _ => 0,
    };
    QueueClock {
        queue: queue as u64,
        ns,
    }
}

/// The queue of a thread's group on another CPU: where it will be after a migration.
#[inline(always)]
pub(crate) fn queue_clock_on(task: Object, cpu: u32, now_ns: u64) -> QueueClock {
    if !has(&OFF_TG_QUEUES) {
        return QueueClock::default();
    }
    let group: Object = read(task, OFF_TASK_GROUP.load());
    let queue = group_queue(read(group, OFF_TG_QUEUES.load()), cpu);
    let ns = match THROTTLE.load() {
        throttle::BY_THREAD | throttle::BY_QUEUE => {
            let total: u64 = field(queue, &OFF_QUEUE_TOTAL);
            let since: u64 = field(queue, &OFF_QUEUE_SINCE);
            if since == 0 {
                total
            } else {
                let rq: u64 = field(queue, &OFF_QUEUE_RQ);
                total + field::<u64>(rq, &OFF_RQ_CLOCK).saturating_sub(since)
            }
        }
        throttle::BY_PELT => field(queue, &OFF_QUEUE_PELT),
        throttle::BY_HOOK => hooked_clock(queue, now_ns),
        _ => 0,
    };
    QueueClock { queue, ns }
}

#[inline(always)]
fn field<T: Copy + Default>(object: u64, offset: &Global<u32>) -> T {
    probe(object + u64::from(offset.load()))
}

/// The queue of this CPU, of a group's array of queues.
#[inline(always)]
pub(super) fn group_queue(queues: u64, cpu: u32) -> u64 {
    probe(queues + u64::from(cpu) * 8)
}

/// The queue that `tg_throttle_down` and `tg_unthrottle_up` are called for, and how many quotas stop it already.
/// Both are called with the group and the run queue of a CPU.
#[inline(always)]
pub(crate) fn hooked_queue(group: u64, rq: u64) -> (u64, u32) {
    let cpu: u32 = field(rq, &OFF_RQ_CPU);
    let queue = group_queue(field(group, &OFF_TG_QUEUES), cpu);
    (queue, field(queue, &OFF_QUEUE_COUNT))
}

#[inline(always)]
fn hooked_clock(queue: u64, now_ns: u64) -> u64 {
    // SAFETY: entries are never removed; a half-written one is at worst off by one interval.
    match unsafe { THROTTLES.get(queue) } {
        Some(clock) if clock.since_ns == 0 => clock.total_ns,
        Some(clock) => clock.total_ns + now_ns.saturating_sub(clock.since_ns),
        None => 0,
    }
}

/// `RUNTIME_INF` in the kernel's `sched.h`: no quota.
const NO_QUOTA: u64 = u64::MAX;
/// Bits of a period's identity that hold its number: 2^24 periods of 0.1 s are 19 days.
const PERIOD_BITS: u32 = 24;
/// Levels of cgroups that are searched for a quota.
const LEVELS: usize = 6;

/// Identity of the quota period that a thread's group is in: of the nearest quota above it; 0 without any.
#[inline(always)]
pub(crate) fn quota_period(task: Object) -> u64 {
    if !has(&OFF_TG_QUOTA) || !has(&OFF_TG_PERIODS) || !has(&OFF_TG_PARENT) {
        return 0;
    }
    let mut group: Object = read(task, OFF_TASK_GROUP.load());
    for _ in 0..LEVELS {
        if group.is_null() {
            break;
        }
        if read::<u64>(group, OFF_TG_QUOTA.load()) != NO_QUOTA {
            let periods: u32 = read(group, OFF_TG_PERIODS.load());
            let cgroup = cgroup_id(read(group, OFF_TG_CSS.load() + OFF_CSS_CGROUP.load()));
            return (cgroup << PERIOD_BITS) ^ u64::from(periods) ^ 1 << 63;
        }
        group = read(group, OFF_TG_PARENT.load());
    }
    0
}
