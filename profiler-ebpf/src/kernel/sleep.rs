//! What a thread is doing in the kernel: a system call, a page fault, something else.

use super::{Object, PF_KTHREAD, PF_WORKERS, flags, has, optional, probe, read, symbol};
use aya_ebpf::{Global, helpers::generated::bpf_task_pt_regs};
use ctprof_ebpf::{
    abi::{
        layout::ABSENT,
        syscall::{abi, code_of, numbered},
    },
    unwind::Registers,
};

optional! {
    OFF_TASK_STATUS, OFF_TASK_JOBCTL, OFF_TASK_IOWAIT, OFF_TASK_RESTART, OFF_REGS_NUMBER, OFF_REGS_RESULT,
    OFF_REGS_FIRST, OFF_TASK_TIFLAGS, OFF_TASK_SECCOMP, OFF_REGS_CX, OFF_REGS_IP, OFF_REGS_SI, OFF_REGS_DX,
    OFF_REGS_R10, OFF_REGS_R8, OFF_REGS_R9, OFF_REGS_BX, OFF_REGS_BP, OFF_REGS_SP, OFF_TASK_FILTER, OFF_FILTER_PREV,
    OFF_FILTER_NOTIF,
}
// Numbers of calls: those of this machine.
optional! { CALL_RESTART, CALL_POLL, CALL_FUTEX, CALL_NANOSLEEP, CALL_CLOCK_NANOSLEEP }

#[unsafe(no_mangle)]
static BIT_TASK_IOWAIT: Global<u32> = Global::new(0);

/// `TS_COMPAT` in x86's `thread_info.h`: a 32-bit system call, which has numbers of its own.
const TS_COMPAT: u32 = 2;
/// `TIF_32BIT` in arm64's `thread_info.h`.
const TIF_32BIT: u64 = 1 << 22;
/// `SECCOMP_MODE_FILTER` in the kernel's `seccomp.h`.
const SECCOMP_MODE_FILTER: u32 = 2;
/// `JOBCTL_TRAP_FREEZE` in the kernel's `sched/jobctl.h`: the cgroup freezer of v2.
const JOBCTL_TRAP_FREEZE: u64 = 1 << 23;
/// `TASK_WAKEKILL` in the kernel's `sched.h`.
const TASK_WAKEKILL: u32 = 0x100;
/// `TASK_INTERRUPTIBLE` in the kernel's `sched.h`.
const TASK_INTERRUPTIBLE: u32 = 0x1;
/// `__TASK_STOPPED | __TASK_TRACED | TASK_PARKED | TASK_FROZEN` in the kernel's `sched.h`.
const HALTED: u32 = 0x4 | 0x8 | 0x40 | 0x8000;

/// `PF_EXITING | PF_POSTCOREDUMP | PF_DUMPCORE | PF_SIGNALED` in the kernel's `sched.h`.
const PF_ENDING: u32 = 0x4 | 0x8 | 0x200 | 0x400;
/// What x86 leaves in the register of the result until a call has one: `-ENOSYS`.
const NO_RESULT_YET: i64 = -38;

/// A system call in progress.
pub(crate) struct Call {
    /// Its number.
    pub(crate) number: u32,
    /// Whose system call numbers it was made by: one of [`abi`].
    pub(crate) abi: u32,
    /// Its first argument.
    pub(crate) first: u32,
}

/// What a thread is doing in the kernel.
pub(crate) enum Doing {
    /// A system call.
    Call(Call),
    /// A page fault.
    Fault,
    /// Work in the kernel that belongs to no call: it is a worker of io_uring or vhost, on its way back to user mode, or
    /// about to end.
    Work,
    /// Stopped or traced, a kernel thread, or unknown.
    Other,
}

/// What a thread with this state is in, if it sleeps, or runs in the kernel.
#[inline(always)]
pub(crate) fn doing(task: Object, state: u32) -> Doing {
    let flags = flags(task);
    if state & HALTED != 0
        || flags & PF_KTHREAD != 0
        || !has(&OFF_REGS_NUMBER)
        || is_frozen(task, state)
    {
        return Doing::Other;
    }
    if flags & PF_WORKERS != 0 {
        return Doing::Work;
    }
    // SAFETY: `task` is a task that the verifier tracks.
    let regs: Object = unsafe { bpf_task_pt_regs(task.cast_mut().cast()) } as usize as Object;
    if regs.is_null() {
        return Doing::Other;
    }
    let number: i32 = read(regs, OFF_REGS_NUMBER.load());
    if number < 0 {
        return if flags & PF_ENDING != 0 {
            Doing::Work
        } else {
            Doing::Fault
        };
    }
    if is_over(regs, flags) {
        return Doing::Work;
    }
    let (abi, number) = if is_compat(task) {
        (abi::COMPAT, number as u32)
    } else {
        numbered(number as u32)
    };
    let first: u64 = read(regs, OFF_REGS_FIRST.load());
    let number = if number == CALL_RESTART.load() && abi == abi::NATIVE && has(&OFF_TASK_RESTART) {
        // Not a direct load: the verifier would type the field as a pointer, not as a number.
        let function = probe(task as u64 + u64::from(OFF_TASK_RESTART.load()));
        restarted(function, first)
    } else {
        number
    };
    Doing::Call(Call {
        number,
        abi,
        first: first as u32,
    })
}

/// Whether the call in these registers has returned: what a thread sleeps in between that and user mode (signals, a
/// cgroup over its `memory.high`, files that are closed late) is no part of it. Newborn threads have the call that
/// created them in their registers, with a result.
#[inline(always)]
fn is_over(regs: Object, flags: u32) -> bool {
    if has(&OFF_REGS_RESULT) {
        read::<i64>(regs, OFF_REGS_RESULT.load()) != NO_RESULT_YET
    } else {
        flags & PF_ENDING != 0
    }
}

/// The call that goes on as `restart_syscall` after the thread was stopped, frozen or traced: that is told by the
/// function with which it goes on. `first` is its first argument, which the registers still hold.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn restarted(function: u64, first: u64) -> u32 {
    /// Numbers of clocks are small; where `nanosleep` has an address, `clock_nanosleep` has one of them.
    const CLOCKS: u64 = 4096;
    match symbol(function) {
        [b'd', b'o', b'_', b'r', b'e', b's', b't', b'a', ..] => CALL_POLL.load(),
        // `futex_wait_restart` sets `do_no_restart_syscall` before it waits, which itself never does.
        [b'f', b'u', b't', b'e', b'x', b'_', ..] | [b'd', b'o', b'_', b'n', b'o', b'_', ..] => {
            CALL_FUTEX.load()
        }
        [b'h', b'r', b't', b'i', b'm', b'e', b'r', b'_', ..] if first >= CLOCKS => {
            CALL_NANOSLEEP.load()
        }
        [b'h', b'r', b't', b'i', b'm', b'e', b'r', b'_', ..]
        | [b'p', b'o', b's', b'i', b'x', b'_', b'c', b'p', ..]
        | [b'a', b'l', b'a', b'r', b'm', b'_', ..] => CALL_CLOCK_NANOSLEEP.load(),
        _ => CALL_RESTART.load(),
    }
}

/// The system call that a thread is in that runs in the kernel, or was made to leave the CPU; 0 for none. What
/// interrupts its own code leaves registers without a call.
#[inline(always)]
pub(crate) fn in_call(task: Object) -> u32 {
    match doing(task, 0) {
        Doing::Call(call) => code_of(call.number, call.abi),
        Doing::Fault | Doing::Work | Doing::Other => 0,
    }
}

/// The stack pointer with which a thread left user mode; 0 if it cannot be told, or its words are not of 64 bits.
#[inline(always)]
pub(crate) fn user_stack_pointer(task: Object) -> u64 {
    if !has(&OFF_REGS_SP) || is_compat(task) {
        return 0;
    }
    // SAFETY: `task` is a task that the verifier tracks.
    let regs: Object = unsafe { bpf_task_pt_regs(task.cast_mut().cast()) } as usize as Object;
    read(regs, OFF_REGS_SP.load())
}

/// The registers with which a thread left user mode, as far as unwinding needs them; all 0 where they cannot be told, or are
/// not of 64 bits. (Not an `Option`: LLVM would spill the undefined payload of `None`, and the verifier rejects reads of
/// uninitialised stack.)
#[inline(always)]
pub(crate) fn user_registers(task: Object) -> Registers {
    if !has(&OFF_REGS_SP) || !has(&OFF_REGS_BP) || !has(&OFF_REGS_IP) || is_compat(task) {
        return Registers::default();
    }
    // SAFETY: `task` is a task that the verifier tracks.
    let regs: Object = unsafe { bpf_task_pt_regs(task.cast_mut().cast()) } as usize as Object;
    Registers {
        ip: read(regs, OFF_REGS_IP.load()),
        sp: read(regs, OFF_REGS_SP.load()),
        bp: read(regs, OFF_REGS_BP.load()),
    }
}

/// Whether it is in a 32-bit call, or on arm64, is a 32-bit thread.
#[inline(always)]
pub(crate) fn is_compat(task: Object) -> bool {
    if has(&OFF_TASK_STATUS) {
        return read::<u32>(task, OFF_TASK_STATUS.load()) & TS_COMPAT != 0;
    }
    has(&OFF_TASK_TIFLAGS) && read::<u64>(task, OFF_TASK_TIFLAGS.load()) & TIF_32BIT != 0
}

/// Whether these registers are of a 64-bit call for sure: the instruction `syscall` leaves its return address in `cx`. Saves a
/// lookup of the current thread (9 ns). False does not mean that it is a 32-bit call.
#[inline(always)]
pub(crate) fn is_surely_native(regs: Object) -> bool {
    has(&OFF_REGS_CX)
        && has(&OFF_REGS_IP)
        && read::<u64>(regs, OFF_REGS_CX.load()) == read::<u64>(regs, OFF_REGS_IP.load())
}

/// Whether a seccomp filter is on.
#[inline(always)]
pub(crate) fn is_confined(task: Object) -> bool {
    has(&OFF_TASK_SECCOMP) && read::<u32>(task, OFF_TASK_SECCOMP.load()) == SECCOMP_MODE_FILTER
}

/// The newest seccomp filter of a thread, as an address to compare; null where it has none.
#[inline(always)]
pub(crate) fn newest_filter(task: Object) -> Object {
    if is_confined(task) && has(&OFF_TASK_FILTER) {
        read(task, OFF_TASK_FILTER.load())
    } else {
        core::ptr::null()
    }
}

/// Whether another process decides about calls for one of a thread's filters.
#[inline(always)]
pub(crate) fn has_supervisor(task: Object) -> u32 {
    if !has(&OFF_TASK_FILTER) || !has(&OFF_FILTER_PREV) || !has(&OFF_FILTER_NOTIF) {
        return 0;
    }
    // Not a direct load: the verifier would type the field as a pointer, not as a number.
    filters_have_supervisor(probe(task as u64 + u64::from(OFF_TASK_FILTER.load())))
}

/// The same for this filter and those before it.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn filters_have_supervisor(newest: u64) -> u32 {
    /// A container has one or two, a systemd unit in it a dozen more.
    const FILTERS: usize = 32;
    let mut filter = newest;
    for _ in 0..FILTERS {
        if filter == 0 {
            return 0;
        }
        if probe::<u64>(filter + u64::from(OFF_FILTER_NOTIF.load())) != 0 {
            return 1;
        }
        filter = probe(filter + u64::from(OFF_FILTER_PREV.load()));
    }
    0
}

/// The number of the call in these registers.
#[inline(always)]
pub(crate) fn call_number(regs: Object) -> u32 {
    if has(&OFF_REGS_NUMBER) {
        read(regs, OFF_REGS_NUMBER.load())
    } else {
        u32::MAX
    }
}

/// The arguments of the call in these registers; 0 for those that this architecture does not pass in them.
#[inline(always)]
pub(crate) fn call_arguments(regs: Object, compat: bool) -> [u64; 6] {
    let of = |offset: &Global<u32>| {
        if has(offset) {
            read(regs, offset.load())
        } else {
            0
        }
    };
    if compat {
        return [
            of(&OFF_REGS_BX),
            of(&OFF_REGS_CX),
            of(&OFF_REGS_DX),
            of(&OFF_REGS_SI),
            of(&OFF_REGS_FIRST),
            of(&OFF_REGS_BP),
        ];
    }
    [
        of(&OFF_REGS_FIRST),
        of(&OFF_REGS_SI),
        of(&OFF_REGS_DX),
        of(&OFF_REGS_R10),
        of(&OFF_REGS_R8),
        of(&OFF_REGS_R9),
    ]
}

/// The freezer of v2 has threads sleep like this on their way to user mode. One that sleeps deeper has not got there.
#[inline(always)]
fn is_frozen(task: Object, state: u32) -> bool {
    is_interruptible(state)
        && has(&OFF_TASK_JOBCTL)
        && read::<u64>(task, OFF_TASK_JOBCTL.load()) & JOBCTL_TRAP_FREEZE != 0
}

/// Whether only a signal that kills would end a sleep with this state.
#[inline(always)]
pub(crate) fn is_killable(state: u32) -> bool {
    state & TASK_WAKEKILL != 0
}

/// Whether a signal would end a sleep with this state.
#[inline(always)]
pub(crate) fn is_interruptible(state: u32) -> bool {
    state & TASK_INTERRUPTIBLE != 0
}

/// Whether the thread sleeps for input or output, as the kernel accounts for it.
#[inline(always)]
pub(crate) fn is_in_iowait(task: Object) -> bool {
    has(&OFF_TASK_IOWAIT)
        && u32::from(read::<u8>(task, OFF_TASK_IOWAIT.load())) & BIT_TASK_IOWAIT.load() != 0
}
