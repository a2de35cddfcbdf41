//! System calls of this machine: names, and why a thread sleeps in each.

use std::str::FromStr;

use ctprof_ebpf::abi::ledger::{SYSCALLS, reason};
use syscalls::Sysno;

/// The name of a system call; `syscall_999` for a number that has none.
#[must_use]
pub fn name(number: u32) -> String {
    Sysno::new(number as usize).map_or_else(
        || format!("syscall_{number}"),
        |call| call.name().to_owned(),
    )
}

/// Why a thread sleeps in these calls. What is not listed is [`reason::OTHER`].
const REASONS: &[(u32, &[&str])] = &[
    (
        reason::BY_FILE,
        &[
            "read",
            "write",
            "readv",
            "writev",
            "pread64",
            "pwrite64",
            "preadv",
            "pwritev",
            "preadv2",
            "pwritev2",
            "sendfile",
            "splice",
            "tee",
            "vmsplice",
            "close",
            "ioctl",
            "copy_file_range",
        ],
    ),
    (
        reason::NET,
        &[
            "accept",
            "accept4",
            "connect",
            "recvfrom",
            "recvmsg",
            "recvmmsg",
            "sendto",
            "sendmsg",
            "sendmmsg",
            "shutdown",
            "bind",
            "listen",
            "socket",
            "getsockopt",
            "setsockopt",
        ],
    ),
    (
        reason::POLL,
        &[
            "poll",
            "ppoll",
            "select",
            "pselect6",
            "epoll_wait",
            "epoll_pwait",
            "epoll_pwait2",
            "io_uring_enter",
            "io_getevents",
            "io_pgetevents",
        ],
    ),
    (
        reason::LOCK,
        &[
            "futex",
            "futex_wait",
            "futex_waitv",
            "futex_requeue",
            "flock",
            "fcntl",
            "semop",
            "semtimedop",
            "membarrier",
        ],
    ),
    (
        reason::SLEEP,
        &[
            "nanosleep",
            "clock_nanosleep",
            "pause",
            "rt_sigsuspend",
            "rt_sigtimedwait",
            "sched_yield",
            "restart_syscall",
        ],
    ),
    (
        reason::PIPE,
        &["msgrcv", "msgsnd", "mq_timedreceive", "mq_timedsend"],
    ),
    (
        reason::CHILD,
        &["wait4", "waitid", "vfork", "clone", "clone3", "fork"],
    ),
    (
        reason::DISK,
        &[
            "fsync",
            "fdatasync",
            "sync",
            "syncfs",
            "sync_file_range",
            "msync",
            "open",
            "openat",
            "openat2",
            "creat",
            "stat",
            "lstat",
            "newfstatat",
            "fstat",
            "statx",
            "statfs",
            "fstatfs",
            "access",
            "faccessat",
            "faccessat2",
            "getdents",
            "getdents64",
            "readlink",
            "readlinkat",
            "rename",
            "renameat",
            "renameat2",
            "unlink",
            "unlinkat",
            "mkdir",
            "mkdirat",
            "rmdir",
            "link",
            "linkat",
            "symlink",
            "symlinkat",
            "truncate",
            "ftruncate",
            "fallocate",
            "chmod",
            "fchmod",
            "fchmodat",
            "chown",
            "fchown",
            "lchown",
            "fchownat",
            "utimensat",
            "readahead",
            "fadvise64",
            "io_submit",
            "io_destroy",
            "mount",
            "umount2",
            "execve",
            "execveat",
            "getxattr",
            "setxattr",
            "listxattr",
            "swapon",
            "swapoff",
        ],
    ),
];

/// The table for the kernel half: reason by number.
#[must_use]
pub fn reasons() -> Vec<u32> {
    let mut table = vec![reason::OTHER; SYSCALLS as usize];
    for (reason, names) in REASONS {
        // Old calls are missing on new architectures.
        for call in names.iter().filter_map(|name| Sysno::from_str(name).ok()) {
            if let Some(entry) = table.get_mut(call.id() as usize) {
                *entry = *reason;
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{REASONS, name, reasons};
    use ctprof_ebpf::abi::ledger::reason;

    #[test]
    fn every_call_has_one_reason() {
        let mut seen = HashSet::new();
        for name in REASONS.iter().flat_map(|(_, names)| *names) {
            assert!(seen.insert(name), "{name} is listed twice");
        }
    }

    #[test]
    fn numbers_of_this_machine() {
        let table = reasons();
        let of = |number: libc::c_long| table[usize::try_from(number).unwrap()];
        assert_eq!(of(libc::SYS_read), reason::BY_FILE);
        assert_eq!(of(libc::SYS_futex), reason::LOCK);
        assert_eq!(of(libc::SYS_getpid), reason::OTHER);
        assert_eq!(
            name(u32::try_from(libc::SYS_epoll_pwait).unwrap()),
            "epoll_pwait"
        );
        assert_eq!(name(9_999), "syscall_9999");
    }
}
