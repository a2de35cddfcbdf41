//! How many arguments system calls take, and which of them is a file descriptor.

/// Arguments, and the place of the file descriptor among them.
#[rustfmt::skip]
const KNOWN: &[(u8, Option<u8>, &[&str])] = &[
    (0, None, &["fork", "getpid", "getppid", "gettid", "munlockall", "pause", "restart_syscall", "rt_sigreturn",
        "sched_yield", "sync", "vfork", "vhangup"]),
    (1, None, &["alarm", "brk", "chdir", "chroot", "exit", "exit_group", "io_destroy", "mlockall", "rmdir", "swapoff",
        "unlink", "unshare"]),
    (1, Some(0), &["close", "epoll_create", "fdatasync", "fsync", "syncfs"]),
    (2, None, &["access", "creat", "getrlimit", "link", "membarrier", "mkdir", "mlock", "munlock", "munmap",
        "nanosleep", "pipe2", "rename", "rt_sigsuspend", "stat", "statfs", "symlink", "truncate", "umount2"]),
    (2, Some(0), &["flock", "fstat", "fstatfs", "ftruncate", "listen", "setns", "shutdown"]),
    (3, None, &["close_range", "execve", "io_submit", "madvise", "mlock2", "mprotect", "msync", "open", "poll",
        "readlink", "semop", "socket"]),
    (3, Some(0), &["accept", "bind", "connect", "fcntl", "getdents", "getdents64", "ioctl", "lseek", "mkdirat", "read",
        "readahead", "readv", "recvmsg", "sendmsg", "unlinkat", "write", "writev"]),
    (4, None, &["clock_nanosleep", "mount", "rt_sigtimedwait", "semtimedop", "wait4"]),
    (4, Some(0), &["accept4", "epoll_ctl", "epoll_wait", "fadvise64", "faccessat2", "fallocate", "getsockname",
        "newfstatat", "openat", "openat2", "pread64", "preadv", "pwrite64", "pwritev", "readlinkat", "sendfile",
        "sendmmsg", "sync_file_range", "tee", "utimensat", "vmsplice"]),
    (5, None, &["clone", "ppoll", "select", "waitid"]),
    (5, Some(0), &["execveat", "getsockopt", "linkat", "mq_timedreceive", "mq_timedsend", "recvmmsg", "renameat2",
        "setsockopt", "statx"]),
    (6, None, &["futex", "mremap", "process_vm_readv", "pselect6"]),
    (6, Some(0), &["copy_file_range", "epoll_pwait", "epoll_pwait2", "io_uring_enter", "preadv2", "pwritev2",
        "recvfrom", "sendto", "splice"]),
    (6, Some(4), &["mmap"]),
];

/// How many arguments a call takes, 6 if that is not known, and which of them is a file descriptor.
#[must_use]
pub fn of(name: &str) -> (usize, Option<usize>) {
    KNOWN
        .iter()
        .find(|(_, _, names)| names.contains(&name))
        .map_or((6, None), |(count, descriptor, _)| {
            (usize::from(*count), descriptor.map(usize::from))
        })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::str::FromStr;

    use syscalls::Sysno;

    use super::{KNOWN, of};

    #[test]
    fn every_call_exists_once_and_its_descriptor_is_one_of_its_arguments() {
        let mut seen = HashSet::new();
        for (count, descriptor, names) in KNOWN {
            assert!(descriptor.is_none_or(|place| place < *count));
            for name in *names {
                assert!(seen.insert(name), "{name} is listed twice");
                if cfg!(target_arch = "x86_64") {
                    assert!(Sysno::from_str(name).is_ok(), "{name} is no call");
                }
            }
        }
        assert_eq!(of("fsync"), (1, Some(0)));
        assert_eq!(of("syscall_999"), (6, None));
    }
}
