//! What a thread is in while it does not run its own code.

use super::{Object, has, is_kernel_thread, optional, probe, read};
use aya_ebpf::{Global, helpers::generated::bpf_task_pt_regs};
use ctprof_ebpf::abi::{
    layout::ABSENT,
    syscall::{abi, code_of, numbered},
};

optional! {
    OFF_TASK_STATUS, OFF_TASK_JOBCTL, OFF_TASK_IOWAIT, OFF_TASK_FILES, OFF_FILES_FDT, OFF_FDT_MAX, OFF_FDT_FD,
    OFF_FILE_INODE, OFF_INODE_MODE, OFF_REGS_NUMBER, OFF_REGS_FIRST, OFF_TASK_TIFLAGS, OFF_TASK_SECCOMP,
    OFF_REGS_CX, OFF_REGS_IP, OFF_REGS_SI, OFF_REGS_DX, OFF_REGS_R10, OFF_REGS_R8, OFF_REGS_R9, OFF_REGS_BX,
    OFF_REGS_BP, OFF_REGS_SP,
}

#[unsafe(no_mangle)]
static BIT_TASK_IOWAIT: Global<u32> = Global::new(0);

/// `TS_COMPAT` in x86's `thread_info.h`: a 32-bit system call, whose numbers are others.
const TS_COMPAT: u32 = 2;
/// `TIF_32BIT` in arm64's `thread_info.h`.
const TIF_32BIT: u64 = 1 << 22;
/// `SECCOMP_MODE_FILTER` in the kernel's `seccomp.h`.
const SECCOMP_MODE_FILTER: u32 = 2;
/// `JOBCTL_TRAP_FREEZE` in the kernel's `sched/jobctl.h`: the cgroup freezer of v2.
const JOBCTL_TRAP_FREEZE: u64 = 1 << 23;
/// `__TASK_STOPPED | __TASK_TRACED | TASK_PARKED | TASK_FROZEN` in the kernel's `sched.h`.
const HALTED: u32 = 0x4 | 0x8 | 0x40 | 0x8000;

/// A system call in progress.
pub(crate) struct Call {
    /// Its number.
    pub(crate) number: u32,
    /// By which numbers it was made: one of [`abi`].
    pub(crate) abi: u32,
    /// Its first argument.
    pub(crate) first: u32,
}

/// What a thread that does not run its own code is in.
pub(crate) enum Doing {
    /// A system call.
    Call(Call),
    /// A page fault.
    Fault,
    /// It was halted, is a kernel thread, or cannot be told.
    Other,
}

/// What a thread with this state is in, if it sleeps, or runs in the kernel.
#[inline(always)]
pub(crate) fn doing(task: Object, state: u32) -> Doing {
    if state & HALTED != 0 || is_kernel_thread(task) || !has(&OFF_REGS_NUMBER) || is_frozen(task) {
        return Doing::Other;
    }
    // SAFETY: `task` is a task that the verifier tracks.
    let regs: Object = unsafe { bpf_task_pt_regs(task.cast_mut().cast()) } as usize as Object;
    if regs.is_null() {
        return Doing::Other;
    }
    let number: i32 = read(regs, OFF_REGS_NUMBER.load());
    if number < 0 {
        return Doing::Fault;
    }
    let (abi, number) = if is_compat(task) {
        (abi::COMPAT, number as u32)
    } else {
        numbered(number as u32)
    };
    Doing::Call(Call {
        number,
        abi,
        first: read(regs, OFF_REGS_FIRST.load()),
    })
}

/// The system call that a thread is in that runs in the kernel, or was made to leave the CPU; 0 for none. What
/// interrupts its own code leaves registers without a call.
#[inline(always)]
pub(crate) fn in_call(task: Object) -> u32 {
    match doing(task, 0) {
        Doing::Call(call) => code_of(call.number, call.abi),
        Doing::Fault | Doing::Other => 0,
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

/// Whether it is in a 32-bit call, or on arm64, is a 32-bit thread.
#[inline(always)]
pub(crate) fn is_compat(task: Object) -> bool {
    if has(&OFF_TASK_STATUS) {
        return read::<u32>(task, OFF_TASK_STATUS.load()) & TS_COMPAT != 0;
    }
    has(&OFF_TASK_TIFLAGS) && read::<u64>(task, OFF_TASK_TIFLAGS.load()) & TIF_32BIT != 0
}

/// Whether these registers are of a 64-bit call for sure: the instruction `syscall` leaves its return address in
/// `cx`. Spares asking who the current thread is, which takes 9 ns; a "no" means nothing.
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

/// The number of the call in these registers.
#[inline(always)]
pub(crate) fn call_number(regs: Object) -> u32 {
    if has(&OFF_REGS_NUMBER) {
        read(regs, OFF_REGS_NUMBER.load())
    } else {
        u32::MAX
    }
}

/// The arguments of the call in these registers; what this machine has elsewhere is 0.
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

#[inline(always)]
fn is_frozen(task: Object) -> bool {
    has(&OFF_TASK_JOBCTL) && read::<u64>(task, OFF_TASK_JOBCTL.load()) & JOBCTL_TRAP_FREEZE != 0
}

/// Whether it waits for a block device.
#[inline(always)]
pub(crate) fn is_in_iowait(task: Object) -> bool {
    has(&OFF_TASK_IOWAIT)
        && u32::from(read::<u8>(task, OFF_TASK_IOWAIT.load())) & BIT_TASK_IOWAIT.load() != 0
}

/// Identity of the open file with this number; 0 if there is none.
#[inline(always)]
pub(crate) fn file(task: Object, number: u32) -> u64 {
    if !has(&OFF_TASK_FILES) || !has(&OFF_FILES_FDT) || !has(&OFF_FDT_FD) || !has(&OFF_FDT_MAX) {
        return 0;
    }
    let files: Object = read(task, OFF_TASK_FILES.load());
    let table: Object = read(files, OFF_FILES_FDT.load());
    if number >= read::<u32>(table, OFF_FDT_MAX.load()) {
        return 0;
    }
    let array: u64 = read(table, OFF_FDT_FD.load());
    probe(array + u64::from(number) * 8)
}

/// `S_IFMT` in the kernel's `stat.h`.
const TYPE_OF_FILE: u16 = 0xf000;

/// The type of an open file: its mode's `S_IF*` bits.
#[inline(always)]
pub(crate) fn type_of_file(file: u64) -> u16 {
    if !has(&OFF_FILE_INODE) || !has(&OFF_INODE_MODE) {
        return TYPE_OF_FILE;
    }
    let inode: u64 = probe(file + u64::from(OFF_FILE_INODE.load()));
    probe::<u16>(inode + u64::from(OFF_INODE_MODE.load())) & TYPE_OF_FILE
}
