//! Reads of kernel structures: the only directory that knows their fields.
//!
//! - here: threads and cgroups
//! - `area`: what is mapped where
//! - `file`: open files
//! - `queue`: run queues, and for how long a quota stopped them
//! - `realtime`: classes above the fair one, and what stops their threads
//! - `sleep`: what a thread sleeps in
//! - `symbol`: names of functions
//!
//! Every offset is a read-only global that the loader sets from the running kernel's BTF. The verifier
//! sees constants, so a load through a BTF pointer at such an offset is a plain, fault-safe load: a NULL
//! or stale pointer on the way reads as 0.

use core::ffi::c_void;

use aya_ebpf::{
    Global,
    helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel},
};
use ctprof_ebpf::abi::{COMM_BYTES, layout::ABSENT};

mod area;
mod file;
mod queue;
mod realtime;
mod sleep;
mod symbol;

pub(crate) use area::*;
pub(crate) use file::*;
pub(crate) use queue::*;
pub(crate) use realtime::*;
pub(crate) use sleep::*;
pub(crate) use symbol::*;

/// A pointer to a kernel object whose type the verifier tracks.
pub(crate) type Object = *const c_void;

macro_rules! globals {
    ($($name:ident),* $(,)?) => {
        $(#[unsafe(no_mangle)] static $name: Global<u32> = Global::new(0);)*
    };
}

/// Offsets that the loader sets where the field is there.
macro_rules! optional {
    ($($name:ident),* $(,)?) => {
        $(#[unsafe(no_mangle)] static $name: Global<u32> = Global::new(ABSENT);)*
    };
}
use optional;

globals! {
    OFF_TASK_GROUP, OFF_TG_CSS, OFF_CSS_CGROUP, OFF_CSS_PARENT, OFF_TASK_CGROUPS, OFF_CSET_DFL,
    OFF_CGROUP_KN, OFF_CGROUP_SELF, OFF_CGROUP_ROOT, OFF_ROOT_HIER, OFF_KN_ID,
    OFF_TASK_FLAGS, OFF_TASK_EXEC, OFF_TASK_PEXEC, OFF_TASK_START, OFF_TASK_MM, OFF_MM_STACK, OFF_MM_CODE, OFF_TASK_PARENT, OFF_TASK_TGID, OFF_TASK_PID, OFF_TASK_STATE,
    OFF_TASK_ON_CPU, OFF_TASK_LEADER, OFF_TASK_COMM,
    CGROUP_V1, HIERARCHY_ID,
}
optional! { OFF_TASK_CPU, OFF_TASK_UTIME, OFF_TASK_STIME }

/// Whether the kernel has the field at this offset.
#[inline(always)]
fn has(offset: &Global<u32>) -> bool {
    offset.load() != ABSENT
}

/// Reads where the verifier cannot follow; 0 if the address is bad.
#[inline(always)]
fn probe<T: Copy + Default>(address: u64) -> T {
    let mut value = T::default();
    // SAFETY: the helper checks the address and writes at most the size of `value`.
    unsafe {
        bpf_probe_read_kernel(
            (&raw mut value).cast(),
            size_of::<T>() as u32,
            address as *const c_void,
        );
    }
    value
}

/// `PF_KTHREAD` in the kernel's `sched.h`.
const PF_KTHREAD: u32 = 0x0020_0000;
/// `PF_IO_WORKER | PF_USER_WORKER` in the kernel's `sched.h`: threads that io_uring and vhost create in a process. They
/// never return to user mode, and their registers are a copy of their creator's.
const PF_WORKERS: u32 = 0x10 | 0x4000;

#[inline(always)]
fn read<T: Copy>(object: Object, offset: u32) -> T {
    // SAFETY: `object` is a BTF pointer, and the verifier checks that offset and size lie in its type.
    unsafe { object.byte_add(offset as usize).cast::<T>().read_volatile() }
}

/// The task that this CPU runs.
#[inline(always)]
pub(crate) fn current() -> Object {
    // SAFETY: has no precondition.
    unsafe { bpf_get_current_task_btf() }.cast_const().cast()
}

/// `PF_*` bits.
#[inline(always)]
fn flags(task: Object) -> u32 {
    read(task, OFF_TASK_FLAGS.load())
}

#[inline(always)]
pub(crate) fn is_kernel_thread(task: Object) -> bool {
    flags(task) & PF_KTHREAD != 0
}

/// Whether it runs a program. Kernel threads do not, nor do the workers that io_uring and vhost create in a process:
/// what looks like their user half is a copy of their creator's.
#[inline(always)]
pub(crate) fn has_user_half(task: Object) -> bool {
    flags(task) & (PF_KTHREAD | PF_WORKERS) == 0
}

#[inline(always)]
pub(crate) fn tgid(task: Object) -> u32 {
    read(task, OFF_TASK_TGID.load())
}

/// Thread id; 0 is the idle thread of a CPU.
#[inline(always)]
pub(crate) fn pid(task: Object) -> u32 {
    read(task, OFF_TASK_PID.load())
}

/// `TASK_*` bits; 0 is runnable.
#[inline(always)]
pub(crate) fn state(task: Object) -> u32 {
    read(task, OFF_TASK_STATE.load())
}

/// `TASK_DEAD` in the kernel's `sched.h`: this was the thread's last switch.
pub(crate) const TASK_DEAD: u32 = 0x80;

/// Whether a CPU runs it right now.
#[inline(always)]
pub(crate) fn is_on_cpu(task: Object) -> bool {
    read::<u32>(task, OFF_TASK_ON_CPU.load()) != 0
}

/// The CPU whose queue it is on.
#[inline(always)]
pub(crate) fn cpu(task: Object) -> Option<u32> {
    has(&OFF_TASK_CPU).then(|| read(task, OFF_TASK_CPU.load()))
}

/// What the scheduler's ticks have found it doing so far, in ns: user mode, and in the kernel.
#[inline(always)]
pub(crate) fn ticked_ns(task: Object) -> (u64, u64) {
    if has(&OFF_TASK_UTIME) && has(&OFF_TASK_STIME) {
        (
            read(task, OFF_TASK_UTIME.load()),
            read(task, OFF_TASK_STIME.load()),
        )
    } else {
        (0, 0)
    }
}

/// The first thread of its process.
#[inline(always)]
pub(crate) fn leader(task: Object) -> Object {
    read(task, OFF_TASK_LEADER.load())
}

/// Its name.
#[inline(always)]
pub(crate) fn comm(task: Object) -> [u8; COMM_BYTES] {
    probe(task as u64 + u64::from(OFF_TASK_COMM.load()))
}

/// Opaque cgroup-membership pointer of the watched hierarchy: changes on every move, and is cheaper to read than the cgroup's
/// id. Read once and handed on: from 6.2 on, the verifier looks in all of the kernel's types for whether such a pointer can be
/// trusted, which takes it as long as 500 other instructions.
#[inline(always)]
pub(crate) fn group(task: Object) -> Object {
    if CGROUP_V1.load() == 1 {
        read(task, OFF_TASK_GROUP.load())
    } else {
        read(task, OFF_TASK_CGROUPS.load())
    }
}

/// How often this process and its ancestors have called `execve`.
#[inline(always)]
fn execs(task: Object) -> u32 {
    read(task, OFF_TASK_EXEC.load())
}

/// Which image this is of all that have its tgid; see `CountKey::exec_id`.
#[inline(always)]
pub(crate) fn exec_id(task: Object) -> u32 {
    // `execve` of another thread hands the leader's time of birth on to it.
    let born: u64 = read(leader(task), OFF_TASK_START.load());
    // Fibonacci hashing: spreads births that are close together over the upper bits.
    let hash = born.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    execs(task) & 0xffff | (hash as u32) << 16
}

/// Start of the process's stack when its program was loaded: randomised by each `execve`, inherited by forks.
#[inline(always)]
fn stack_start(task: Object) -> u64 {
    of_memory(task, OFF_MM_STACK.load())
}

/// A field of the memory of a process; 0 without memory.
#[inline(always)]
fn of_memory(task: Object, offset: u32) -> u64 {
    let memory: u64 = read(task, OFF_TASK_MM.load());
    if memory == 0 {
        0
    } else {
        probe(memory + u64::from(offset))
    }
}

/// Whether the process is within `execve` and has its new memory, but not yet its new program, or has given back its memory on its
/// way out: the registers that it came into the kernel with are those of the program that is gone.
#[inline(always)]
pub(crate) fn is_in_exec(task: Object) -> bool {
    // The kernel sets it last (`load_elf_binary`).
    of_memory(task, OFF_MM_CODE.load()) == 0
}

/// The process that this one was forked from, if both still have the image that the parent had then: thread group id
/// and image.
///
/// `parent_exec_id` is the parent's at the fork. An orphan has been reparented, and its new parent may have the same exec id by
/// chance; the layout of its memory tells them apart.
#[inline(always)]
pub(crate) fn same_parent(task: Object) -> Option<(u32, u32)> {
    let parent = parent(task);
    let at_fork: u32 = read(task, OFF_TASK_PEXEC.load());
    let stack = stack_start(task);
    let is_same = execs(task) == at_fork
        && execs(parent) == at_fork
        && stack != 0
        && stack == stack_start(parent);
    is_same.then(|| (tgid(parent), exec_id(parent)))
}

/// A thread of the process that created this one; of the nearest reaper above, if that has ended.
#[inline(always)]
pub(crate) fn parent(task: Object) -> Object {
    read(task, OFF_TASK_PARENT.load())
}

/// The cgroup that a thread with this [`group`] is in; its id is 0 for an autogroup, which has no cgroup.
#[inline(always)]
pub(crate) fn cgroup_of(group: Object) -> Object {
    if CGROUP_V1.load() == 1 {
        read(group, OFF_TG_CSS.load() + OFF_CSS_CGROUP.load())
    } else {
        read(group, OFF_CSET_DFL.load())
    }
}

/// The same cgroup as a plain number, which can be handed to a global function.
#[inline(always)]
pub(crate) fn cgroup_address(group: Object) -> u64 {
    let offset = if CGROUP_V1.load() == 1 {
        OFF_TG_CSS.load() + OFF_CSS_CGROUP.load()
    } else {
        OFF_CSET_DFL.load()
    };
    probe(group as u64 + u64::from(offset))
}

/// Kernfs id of a cgroup: the inode number of its directory.
#[inline(always)]
pub(crate) fn cgroup_id(cgroup: Object) -> u64 {
    let node: Object = read(cgroup, OFF_CGROUP_KN.load());
    read(node, OFF_KN_ID.load())
}

/// Id of the cgroup above; 0 above the root.
#[inline(always)]
pub(crate) fn parent_cgroup_id(cgroup: Object) -> u64 {
    let parent: Object = read(cgroup, OFF_CGROUP_SELF.load() + OFF_CSS_PARENT.load());
    cgroup_id(read(parent, OFF_CSS_CGROUP.load()))
}

/// The cgroup above, and its id, where the verifier cannot follow; `None` above the root.
#[inline(always)]
pub(crate) fn above(cgroup: u64) -> Option<(u64, u64)> {
    let parent: u64 = probe(cgroup + u64::from(OFF_CGROUP_SELF.load() + OFF_CSS_PARENT.load()));
    if parent == 0 {
        return None;
    }
    let cgroup: u64 = probe(parent + u64::from(OFF_CSS_CGROUP.load()));
    let node: u64 = probe(cgroup + u64::from(OFF_CGROUP_KN.load()));
    Some((cgroup, probe(node + u64::from(OFF_KN_ID.load()))))
}

/// Whether a cgroup belongs to the watched hierarchy. Ids repeat across hierarchies.
#[inline(always)]
pub(crate) fn is_watched_hierarchy(cgroup: Object) -> bool {
    let root: Object = read(cgroup, OFF_CGROUP_ROOT.load());
    read::<u32>(root, OFF_ROOT_HIER.load()) == HIERARCHY_ID.load()
}
