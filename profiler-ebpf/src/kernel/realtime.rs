//! The classes above the fair one: real-time threads (`SCHED_FIFO`, `SCHED_RR`) and those with a deadline.

use super::{
    Object, group_queue, has, has_run_queue, optional, probe, read, run_queue, run_queue_clock,
    tg_parent,
};
use aya_ebpf::Global;
use ctprof_ebpf::abi::layout::ABSENT;

optional! {
    OFF_TASK_PRIO, OFF_TASK_RTQ, OFF_RTQ_STOPPED, OFF_RTQ_GROUP, OFF_TG_RTQS, OFF_RQ_RT_COUNT, OFF_DL_DEADLINE,
    OFF_DL_RELATIVE, OFF_DL_PERIOD, OFF_DL_STOPPED,
}

#[unsafe(no_mangle)]
static BIT_DL_STOPPED: Global<u32> = Global::new(0);

/// `MAX_RT_PRIO` in the kernel's `sched/prio.h`: the priorities of the fair class begin here, those of the deadline class
/// are negative.
const MAX_RT_PRIO: i32 = 100;
/// Levels of cgroups that are searched for a limit.
const LEVELS: usize = 6;

#[inline(always)]
fn priority(task: Object) -> i32 {
    read(task, OFF_TASK_PRIO.load())
}

/// Whether it is of a class above the fair one.
#[inline(always)]
pub(crate) fn is_real_time(task: Object) -> bool {
    has(&OFF_TASK_PRIO) && priority(task) < MAX_RT_PRIO
}

/// Whether it is of the deadline class.
#[inline(always)]
pub(crate) fn has_deadline(task: Object) -> bool {
    priority(task) < 0
}

/// In how many ns a thread of the deadline class that has used up its budget gets a new one: computed like `start_dl_timer` in
/// the kernel's `sched/deadline.c`. 0 if its budget is not used up.
#[inline(always)]
pub(crate) fn new_budget_in_ns(task: Object) -> u64 {
    if !has(&OFF_DL_STOPPED)
        || !has(&OFF_DL_DEADLINE)
        || !has(&OFF_DL_RELATIVE)
        || !has(&OFF_DL_PERIOD)
        || !has_run_queue()
        || u32::from(read::<u8>(task, OFF_DL_STOPPED.load())) & BIT_DL_STOPPED.load() == 0
    {
        return 0;
    }
    let begin_ns =
        read::<u64>(task, OFF_DL_DEADLINE.load()).wrapping_sub(read(task, OFF_DL_RELATIVE.load()));
    let next_ns = begin_ns.wrapping_add(read(task, OFF_DL_PERIOD.load()));
    next_ns.saturating_sub(run_queue_clock(run_queue(task)))
}

/// How many real-time threads are on the queues of the CPU that this one is on.
#[inline(always)]
pub(crate) fn real_time_threads(task: Object) -> u32 {
    if !has(&OFF_RQ_RT_COUNT) || !has_run_queue() {
        return u32::MAX;
    }
    read(run_queue(task), OFF_RQ_RT_COUNT.load())
}

/// Identity of the real-time queue of a thread's group; 0 where groups have none.
#[inline(always)]
pub(crate) fn real_time_queue(task: Object) -> u64 {
    if has(&OFF_TASK_RTQ) {
        probe(task as u64 + u64::from(OFF_TASK_RTQ.load()))
    } else {
        0
    }
}

/// The queue of the same group on another CPU.
#[inline(always)]
pub(crate) fn real_time_queue_on(queue: u64, cpu: u32) -> u64 {
    if queue == 0 || !has(&OFF_RTQ_GROUP) || !has(&OFF_TG_RTQS) {
        return 0;
    }
    let group: u64 = probe(queue + u64::from(OFF_RTQ_GROUP.load()));
    group_queue(probe(group + u64::from(OFF_TG_RTQS.load())), cpu)
}

/// Whether this real-time queue of a group is stopped on this CPU: by a limit of its own or of one above it.
#[inline(always)]
pub(crate) fn is_stopped(queue: u64, cpu: u32) -> bool {
    if queue == 0 || !has(&OFF_RTQ_STOPPED) || !has(&OFF_RTQ_GROUP) || !has(&OFF_TG_RTQS) {
        return false;
    }
    let mut queue = queue;
    let mut group: u64 = probe(queue + u64::from(OFF_RTQ_GROUP.load()));
    for _ in 0..LEVELS {
        if probe::<u32>(queue + u64::from(OFF_RTQ_STOPPED.load())) != 0 {
            return true;
        }
        group = tg_parent(group);
        if group == 0 {
            break;
        }
        queue = group_queue(probe(group + u64::from(OFF_TG_RTQS.load())), cpu);
    }
    false
}
