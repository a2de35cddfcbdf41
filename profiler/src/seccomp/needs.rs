//! Calls that a container needs before and beside its own.
//!
//! A runtime installs the filter in its own process, which then becomes the container's: what it still does in
//! between runs under the filter. Most of it is seen when a container is recorded from its birth, but not all of it
//! happens each time (a Go runtime preempts and parks threads as it sees fit), and nothing of it is seen when a
//! container is recorded that runs already. So a profile always has these. Measured under runc 1.1, and read from
//! what runc and crun do after they load the filter.

/// What the kernel has a program call, or what every program ends with.
const KERNEL: &[&str] = &["exit", "exit_group", "restart_syscall", "rt_sigreturn"];

/// What a runtime calls between the filter and the program.
const RUNTIME: &[&str] = &[
    // Its own process: who it is, where it is, what it may do.
    "capget",
    "capset",
    "chdir",
    "fchdir",
    "fchown",
    "getcwd",
    "getgid",
    "getpid",
    "getppid",
    "gettid",
    "getuid",
    "prctl",
    "setgid",
    "setgroups",
    "setresgid",
    "setresuid",
    "setuid",
    "umask",
    // Descriptors that the program must not inherit, the pipe on which it waits for the start.
    "close",
    "close_range",
    "dup3",
    "fcntl",
    "fstat",
    "fstatfs",
    "getdents64",
    "lseek",
    "newfstatat",
    "openat",
    "openat2",
    "pipe2",
    "read",
    "readlinkat",
    "statx",
    "write",
    // Whether the program can be executed, and its start.
    "access",
    "execve",
    "faccessat",
    "faccessat2",
    "stat",
    // Go's own: memory, threads, timers, signals.
    "arch_prctl",
    "brk",
    "clone",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "eventfd2",
    "futex",
    "getrandom",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "nanosleep",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "tgkill",
];

/// Names of the calls that every profile allows.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KERNEL.iter().chain(RUNTIME).copied()
}

/// Whether every profile allows this call.
#[must_use]
pub fn is_needed(name: &str) -> bool {
    names().any(|needed| needed == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::names;

    #[test]
    fn every_name_is_listed_once() {
        let mut seen = HashSet::new();
        for name in names() {
            assert!(seen.insert(name), "{name} is listed twice");
        }
    }

    /// What makes a filter worth its while.
    #[test]
    fn nothing_dangerous_is_needed() {
        for name in [
            "mount", "ptrace", "bpf", "setns", "unshare", "socket", "execveat",
        ] {
            assert!(!super::is_needed(name), "{name}");
        }
    }
}
