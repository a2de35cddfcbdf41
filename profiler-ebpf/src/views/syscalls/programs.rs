//! The beginnings and ends of system calls. Attached only while a view asks for them: they put every thread of the
//! host on the kernel's slower path of system calls.

use aya_ebpf::{EbpfContext, macros::btf_tracepoint, programs::BtfTracePointContext};

use super::running;

/// A call begins. Arguments: the registers, its number.
#[btf_tracepoint(function = "sys_enter")]
fn sys_enter(ctx: BtfTracePointContext) -> i32 {
    running::begins(ctx.arg(0), ctx.arg::<u64>(1) as u32);
    0
}

/// A call returns. Arguments: the registers, its result.
#[btf_tracepoint(function = "sys_exit")]
fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    running::returns(ctx.as_ptr(), ctx.arg(0), ctx.arg::<u64>(1) as i64);
    0
}

/// A thread ends; it is the current one.
#[btf_tracepoint(function = "sched_process_exit")]
fn call_never(_: BtfTracePointContext) -> i32 {
    running::never_returns();
    0
}
