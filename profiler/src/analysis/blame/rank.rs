//! Which names say something about a program: tables of those that do not.

use crate::analysis::names::{Name, NameKind};

/// Functions that begin so are a library's or a runtime's: the C library's insides, threads and locks, the standard
/// libraries of C++, Rust, Go and Java, tokio, the interpreters of Python, Node and Java.
const PLUMBING_PREFIXES: [&str; 84] = [
    "__",
    "_IO_",
    "_dl_",
    "_Py",
    "Builtins_",
    "Interpreter",
    "JavaCalls::",
    "JavaThread",
    "ObjectMonitor::",
    "ObjectSynchronizer::",
    "Parker::",
    "PyEval_",
    "PyObject_",
    "PyRun_",
    "SharedRuntime::",
    "Thread::call_run",
    "Unsafe_",
    "bufio.",
    "cfunction_",
    "core::",
    "futex_",
    "lll_",
    "alloc::",
    "internal/",
    "io.",
    "java.",
    "jdk.",
    "libuv",
    "mio::",
    "net.",
    "node::",
    "os.",
    "os::Platform",
    "parking_lot",
    "pthread_",
    "runtime.",
    "sem_",
    "std::",
    "<std::",
    "<core::",
    "sync.",
    "syscall.",
    "thread_native_entry",
    "tokio::",
    "uv_",
    "v8::",
    "archive/",
    "bytes.",
    "compress/",
    "container/",
    "context.",
    "crypto/",
    "database/",
    "embed.",
    "encoding/",
    "errors.",
    "fmt.",
    "hash/",
    "html/",
    "image/",
    "iter.",
    "log.",
    "log/",
    "maps.",
    "math/",
    "mime/",
    "net/",
    "path/",
    "reflect.",
    "regexp.",
    "regexp/",
    "slices.",
    "sort.",
    "strconv.",
    "strings.",
    "text/",
    "time.",
    "type:",
    "unicode/",
    "vendor/",
    "Py_",
    "pymain_",
    "PyThread_",
    "PyVectorcall_",
];

/// Functions of that name are wrappers of system calls, or where programs and threads begin.
const PLUMBING: [&str; 58] = [
    "_start",
    "accept",
    "accept4",
    "clock_nanosleep",
    "clone",
    "clone3",
    "close",
    "connect",
    "epoll_pwait",
    "epoll_wait",
    "fdatasync",
    "fsync",
    "futex",
    "io_uring_enter",
    "ioctl",
    "main_thread",
    "memcpy",
    "memset",
    "msync",
    "nanosleep",
    "open",
    "open64",
    "openat",
    "pause",
    "poll",
    "ppoll",
    "pread",
    "pread64",
    "preadv",
    "pselect",
    "pwrite",
    "pwrite64",
    "pwritev",
    "read",
    "readv",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "select",
    "send",
    "sendfile",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "sigsuspend",
    "sigtimedwait",
    "sleep",
    "splice",
    "start_thread",
    "sync",
    "syscall",
    "thread_start",
    "usleep",
    "wait4",
    "waitpid",
    "write",
    "writev",
];

/// Kernel functions on every path to the scheduler, by how they begin: they repeat what the state says.
const KERNEL_PLUMBING_PREFIXES: [&str; 32] = [
    "__do_sys_",
    "__futex",
    "__schedule",
    "__se_sys_",
    "__x64_sys_",
    "asm_",
    "common_nsleep",
    "core_sys_select",
    "do_epoll",
    "do_futex",
    "do_nanosleep",
    "do_poll",
    "do_select",
    "do_sys_poll",
    "do_syscall",
    "do_wait",
    "entry_SYSCALL",
    "ep_poll",
    "exc_",
    "exit_to_user",
    "finish_task_switch",
    "futex_",
    "hrtimer_nanosleep",
    "io_schedule",
    "irqentry_exit",
    "kernel_wait",
    "kthread",
    "poll_schedule",
    "preempt_schedule",
    "ret_from_fork",
    "schedule",
    "x64_sys_call",
];

/// How a name ranks when a stack looks for the function to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Nobody's: it stands for what is not known, has no name, or is plumbing that says no more than the state.
    None,
    /// Of the kernel, and says what the wait was about: a socket, a file system's journal, a driver.
    Kernel,
    /// Of the program.
    Own,
}

impl Rank {
    /// The rank of a name.
    pub(crate) fn of(name: &Name) -> Self {
        let text = &*name.text;
        match name.kind {
            NameKind::StandIn => Self::None,
            NameKind::Kernel if is_kernel_plumbing(name) => Self::None,
            NameKind::Kernel => Self::Kernel,
            // A place in a file: no name to tell anybody.
            NameKind::Plain | NameKind::Inlined if text.starts_with('[') => Self::None,
            NameKind::Plain | NameKind::Inlined => {
                let wraps = PLUMBING.contains(&text) || starts_with_any(text, &PLUMBING_PREFIXES);
                if wraps { Self::None } else { Self::Own }
            }
        }
    }
}

/// Whether this is the name of a kernel function that is on every path to the scheduler.
#[must_use]
pub fn is_kernel_plumbing(name: &Name) -> bool {
    name.kind == NameKind::Kernel && starts_with_any(&name.text, &KERNEL_PLUMBING_PREFIXES)
}

fn starts_with_any(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}
