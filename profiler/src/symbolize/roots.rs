//! The one table of functions where threads begin. A stack whose outermost frame is one of these is
//! complete; any other end means that unwinding stopped early.

/// Exact names of user functions in which a thread, or the program itself, starts.
const USER: &[&str] = &[
    // ELF entry points: crt1.o of glibc and musl, the dynamic loader.
    "_start",
    "_start_c",
    "_dl_start",
    "_dl_start_user",
    "_dlstart",
    "_dlstart_c",
    "__dls2",
    "__dls3",
    // What is outside of it is the C library's start and nobody's program. Where the program has no frame pointers, its
    // caller is not found.
    "main",
    // glibc, before main and below a thread function.
    "__libc_start_main",
    "__libc_start_main_impl",
    "__libc_start_call_main",
    "generic_start_main",
    "generic_start_main.isra.0",
    "clone",
    "__clone",
    "__clone_internal",
    "clone3",
    "__clone3",
    "__GI___clone",
    "__GI___clone3",
    "thread_start",
    "start_thread",
    // musl.
    "libc_start_main_stage2",
    "start_c11",
    // bionic.
    "__libc_init",
    "__pthread_start",
    "__start_thread",
    // Go: a goroutine's and an M's first function, and the switch to the scheduler's own stack.
    "runtime.mcall",
    "runtime.goexit",
    "runtime.goexit.abi0",
    "runtime.mstart",
    "runtime.mstart.abi0",
    "runtime.rt0_go",
    "runtime.rt0_go.abi0",
    "crosscall1",
];

/// Starts of user names: Go's per-platform entry points.
const USER_PREFIXES: &[&str] = &["_rt0_"];

/// Exact names of kernel functions at the bottom of a kernel stack: entered from user space, from an
/// interrupt or exception, or the first function of a kernel thread or CPU.
const KERNEL: &[&str] = &[
    "ret_from_fork",
    "ret_from_fork_asm",
    "ret_from_kernel_thread",
    "syscall_return_via_sysret",
    "int_ret_from_sys_call",
    "swapgs_restore_regs_and_return_to_usermode",
    "secondary_startup_64",
    "secondary_startup_64_no_verify",
    "common_startup_64",
    "start_secondary",
    "start_kernel",
    "x86_64_start_kernel",
    "x86_64_start_reservations",
    "rest_init",
    "error_return",
    "error_entry",
    "nmi_restore",
    "end_repeat_nmi",
    "paranoid_entry",
    "irq_entries_start",
    "common_interrupt_return",
    // arm64
    "__primary_switched",
    "__secondary_switched",
    "vectors",
];

/// Starts of kernel names: x86 entry code, and arm64's exception vectors.
const KERNEL_PREFIXES: &[&str] = &[
    "entry_SYSCALL_",
    "entry_SYSENTER_",
    "entry_INT80_",
    "asm_",
    "el0t_",
    "el1h_",
    "el1t_",
    "ret_to_user",
];

/// A thread or program starts in the user function `name`.
pub(super) fn is_user_root(name: &str) -> bool {
    USER.contains(&name)
        || USER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || is_rust_thread_start(name)
}

/// The kernel's stack begins in `name`.
pub(super) fn is_kernel_root(name: &str) -> bool {
    KERNEL.contains(&name)
        || KERNEL_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// `std::sys::thread::unix::Thread::new::thread_start` and its former homes: what `pthread_create` calls.
/// It is outermost where libc has no frame pointers.
fn is_rust_thread_start(name: &str) -> bool {
    name.starts_with("std::sys::") && name.ends_with("::thread_start")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_of_threads_are_roots_and_ordinary_functions_are_not() {
        for root in [
            "_start",
            "main",
            "clone3",
            "runtime.goexit.abi0",
            "_rt0_amd64_linux",
            "std::sys::pal::unix::thread::Thread::new::thread_start",
        ] {
            assert!(is_user_root(root), "{root}");
        }
        for other in ["start", "__cloned", "runtime.main", "thread_starter"] {
            assert!(!is_user_root(other), "{other}");
        }
    }

    #[test]
    fn kernel_entries_are_roots() {
        for root in [
            "entry_SYSCALL_64_after_hwframe",
            "asm_sysvec_apic_timer_interrupt",
            "ret_from_fork_asm",
        ] {
            assert!(is_kernel_root(root), "{root}");
        }
        for other in ["do_syscall_64", "kthread", "schedule"] {
            assert!(!is_kernel_root(other), "{other}");
        }
    }
}
