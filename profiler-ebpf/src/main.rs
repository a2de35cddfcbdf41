//! The kernel half of ctprof. On the host it is empty, so that plain cargo builds the workspace.
//!
//! Some functions are *global*: `extern "C"` under a name of their own, with plain numbers and pointers to records
//! of the border as arguments. The verifier follows such a function once, by itself, for any arguments: anything
//! else it follows anew on every path that leads there, and start-up is little else than its time.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// Atomic additions on map values: the BPF target has no `AtomicU64` that lowers to one instruction.
#![cfg_attr(
    target_arch = "bpf",
    allow(internal_features),
    feature(core_intrinsics)
)]

#[cfg(target_arch = "bpf")]
mod accounts;
#[cfg(target_arch = "bpf")]
mod delays;
#[cfg(target_arch = "bpf")]
mod end;
#[cfg(target_arch = "bpf")]
#[macro_use]
mod hooks;
#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod loss;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod notices;
#[cfg(target_arch = "bpf")]
mod off_cpu;
#[cfg(target_arch = "bpf")]
mod present;
#[cfg(target_arch = "bpf")]
mod probes;
#[cfg(target_arch = "bpf")]
mod realtime;
#[cfg(target_arch = "bpf")]
mod rows;
#[cfg(target_arch = "bpf")]
mod saved;
#[cfg(target_arch = "bpf")]
mod scope;
#[cfg(target_arch = "bpf")]
mod stack;
#[cfg(target_arch = "bpf")]
mod threads;
#[cfg(target_arch = "bpf")]
mod time;
#[cfg(target_arch = "bpf")]
mod views;
#[cfg(target_arch = "bpf")]
mod walk;
#[cfg(target_arch = "bpf")]
mod wanted;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

/// Helpers such as `bpf_get_current_task_btf` are for programs whose licence is compatible with the GPL.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier rejects a program in which this can be reached.
    loop {}
}
