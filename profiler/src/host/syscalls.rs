//! System calls of this machine: names, and why a thread sleeps in each.

use std::str::FromStr;

use ctprof_ebpf::abi::layout::{self, GlobalName};
use ctprof_ebpf::abi::ledger::{SYSCALLS, reason};
use ctprof_ebpf::abi::syscall::{LAST_NUMBER, abi, of_code};
use syscalls::{Errno, Sysno};

/// What calls, whose numbers count by, and errors are called.
#[derive(Clone, Copy, Debug)]
pub struct CallNames {
    /// Name of a call, by its number and the numbers that it counts by.
    pub call: fn(u32, u32) -> String,
    /// Name of the numbers that it counts by.
    pub abi: fn(u32) -> &'static str,
    /// Name of an error.
    pub error: fn(u32) -> String,
}

/// What they are called on this machine.
pub const CALL_NAMES: CallNames = CallNames {
    call: name_by,
    abi: abi_name,
    error: error_name,
};

/// The name of a system call; `syscall_999` for a number that has none.
#[must_use]
pub fn name(number: u32) -> String {
    Sysno::new(number as usize).map_or_else(
        || format!("syscall_{number}"),
        |call| call.name().to_owned(),
    )
}

/// By which numbers a call was made, and what they are called: nothing for the machine's own.
#[must_use]
pub const fn abi_name(number: u32) -> &'static str {
    match number {
        abi::COMPAT if cfg!(target_arch = "aarch64") => "arm",
        abi::COMPAT => "i386",
        abi::X32 => "x32",
        _ => "",
    }
}

/// The name of a call by the numbers of its [`abi`].
#[must_use]
pub fn name_by(number: u32, by: u32) -> String {
    if number >= LAST_NUMBER {
        return format!("syscall_{LAST_NUMBER}_or_more");
    }
    let known = match by {
        abi::COMPAT if cfg!(target_arch = "aarch64") => {
            syscalls::arm::Sysno::new(number as usize).map(|call| call.name())
        }
        abi::COMPAT => syscalls::x86::Sysno::new(number as usize).map(|call| call.name()),
        abi::X32 if number >= X32_FIRST => X32.get((number - X32_FIRST) as usize).copied(),
        _ => return name(number),
    };
    known.map_or_else(|| format!("syscall_{number}"), str::to_owned)
}

/// The call with this code (see [`of_code`]), with whose number it was made by if it is not the machine's own.
#[must_use]
pub fn label(code: u32) -> Option<String> {
    let (number, by) = of_code(code)?;
    let name = name_by(number, by);
    Some(match abi_name(by) {
        "" => name,
        abi => format!("{name} ({abi})"),
    })
}

/// The first number that x32 has for itself; below are those of x86-64.
const X32_FIRST: u32 = 512;
/// The calls of x32's own, from the kernel's `syscall_64.tbl`.
const X32: &[&str] = &[
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// The name of an error, the kernel's internal ones included: `ERESTARTSYS` is a call that a signal interrupted,
/// which the program sees as `EINTR` or, if the kernel makes the call again, not at all.
#[must_use]
pub fn error_name(number: u32) -> String {
    i32::try_from(number)
        .ok()
        .and_then(|number| Errno::new(number).name())
        .map_or_else(|| format!("E{number}"), str::to_owned)
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
            "vmsplice",
            "ioctl",
            "copy_file_range",
        ],
    ),
    (reason::SPLICES, &["splice", "tee"]),
    (reason::CLOSES, &["close", "close_range", "dup2", "dup3"]),
    (reason::COMPLETION, &["io_uring_enter"]),
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

/// The calls that go on as another one after their thread was stopped, frozen or traced, and that one: numbers for the
/// kernel half. What this machine does not have is missing.
#[must_use]
pub fn restarts() -> Vec<(GlobalName, u32)> {
    let calls = [
        (layout::CALL_RESTART, "restart_syscall"),
        (layout::CALL_POLL, "poll"),
        (layout::CALL_FUTEX, "futex"),
        (layout::CALL_NANOSLEEP, "nanosleep"),
        (layout::CALL_CLOCK_NANOSLEEP, "clock_nanosleep"),
    ];
    let known = calls
        .into_iter()
        .filter_map(|(global, name)| Some((global, Sysno::from_str(name).ok()?.id())));
    known
        .filter_map(|(global, number)| Some((global, u32::try_from(number).ok()?)))
        .collect()
}

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

    use super::{REASONS, abi_name, error_name, name, name_by, reasons};
    use ctprof_ebpf::abi::ledger::reason;
    use ctprof_ebpf::abi::syscall::{LAST_NUMBER, abi};

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

    #[test]
    fn numbers_of_other_machines() {
        assert_eq!(name_by(999, abi::NATIVE), "syscall_999");
        assert_eq!(name_by(LAST_NUMBER, abi::NATIVE), "syscall_65535_or_more");
        if cfg!(target_arch = "x86_64") {
            assert_eq!(
                (name_by(5, abi::NATIVE), abi_name(abi::NATIVE)),
                ("fstat".into(), "")
            );
            assert_eq!(
                (name_by(5, abi::COMPAT), abi_name(abi::COMPAT)),
                ("open".into(), "i386")
            );
            assert_eq!(
                (name_by(5, abi::X32), abi_name(abi::X32)),
                ("fstat".into(), "x32")
            );
            assert_eq!(name_by(520, abi::X32), "execve");
            assert_eq!(name_by(547, abi::X32), "pwritev2");
            assert_eq!(name_by(548, abi::X32), "syscall_548");
        }
    }

    #[test]
    fn errors_have_names() {
        assert_eq!(error_name(2), "ENOENT");
        assert_eq!(error_name(11), "EAGAIN");
        assert_eq!(error_name(512), "ERESTARTSYS");
        assert_eq!(error_name(516), "ERESTART_RESTARTBLOCK");
        assert_eq!(error_name(4_000), "E4000");
    }
}
