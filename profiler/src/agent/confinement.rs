//! System calls that the agent gives up once everything is attached, with a filter of its own.
//!
//! Whoever finds a way to run code in the agent can still do what the agent does: read what its capabilities open to it,
//! and load BPF programs where it records on demand. What it does not do itself is refused: starting programs, writing to
//! files, signals and debugging, new sockets, namespaces and mounts.

use libc::{ENOSYS, EPERM, O_CREAT, O_DIRECTORY, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY, PROT_EXEC};

use crate::seccomp::{Rule, When, program};

/// Refused whatever the arguments.
const REFUSED: &[i64] = &[
    // Programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes: their memory, their descriptors, signals, priorities.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setaffinity,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Files: whatever changes them without a descriptor, and opens that no filter can look into.
    libc::SYS_open_by_handle_at,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Sockets: those that it has are enough. A container runtime's would start programs.
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_listen,
    // Namespaces, mounts, modules, the machine.
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_syslog,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_userfaultfd,
    libc::SYS_personality,
];

/// The older forms of some of these, which only x86-64 has.
#[cfg(target_arch = "x86_64")]
const REFUSED_OLD: &[i64] = &[
    libc::SYS_creat,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_rename,
    libc::SYS_unlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_mknod,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_kexec_load,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_OLD: &[i64] = &[];

/// An open with any of these may change a file. `O_TMPFILE` contains `O_DIRECTORY`, which changes nothing.
const WRITES: i32 = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | (O_TMPFILE & !O_DIRECTORY);

/// Commands of `bpf` that reach beyond the agent's own programs and maps, from the kernel's `bpf.h`: attaching to cgroups
/// and devices, pinning, and descriptors of what others have loaded.
const BPF_OF_OTHERS: &[u32] = &[6, 7, 8, 9, 13, 14, 30];
/// Those that make something new: maps, programs, links.
const BPF_NEW: &[u32] = &[0, 5, 17, 28];

/// `fcntl` and `ioctl` that have the kernel send a signal to another process.
const F_SETSIG: u32 = 10;
const F_SETOWN: u32 = 8;
const F_SETOWN_EX: u32 = 15;
const FIOSETOWN: u32 = 0x8901;
const SIOCSPGRP: u32 = 0x8902;
/// Puts a byte into a terminal's input.
const TIOCSTI: u32 = 0x5412;

/// What the agent still does once everything is attached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeps {
    /// Records on demand.
    pub(super) profiles: bool,
    /// Fetches debug information from servers for that: connects to other hosts.
    pub(super) fetches: bool,
}

/// What the agent does without. `pid`: its own.
fn rules(keeps: Keeps, pid: u32) -> Vec<Rule> {
    let Keeps { profiles, fetches } = keeps;
    let deny = |number, when| Rule {
        number,
        when,
        error: EPERM,
    };
    let mut rules: Vec<Rule> = REFUSED
        .iter()
        .chain(REFUSED_OLD)
        .map(|number| deny(*number, When::Always))
        .collect();
    let writes = WRITES.cast_unsigned();
    #[cfg(target_arch = "x86_64")]
    rules.push(deny(libc::SYS_open, When::AnyBit(1, writes)));
    rules.extend([
        deny(libc::SYS_openat, When::AnyBit(2, writes)),
        // Threads are made with it, too. What `clone3` is asked for is in memory; the C library then takes `clone`.
        deny(
            libc::SYS_clone,
            When::NoBit(0, libc::CLONE_THREAD.cast_unsigned()),
        ),
        Rule {
            number: libc::SYS_clone3,
            when: When::Always,
            error: ENOSYS,
        },
        // To abort is to send oneself a signal.
        deny(libc::SYS_tgkill, When::IsNot(0, pid)),
        deny(libc::SYS_prlimit64, When::IsNot(0, 0)),
        deny(
            libc::SYS_mprotect,
            When::AnyBit(2, PROT_EXEC.cast_unsigned()),
        ),
        deny(
            libc::SYS_pkey_mprotect,
            When::AnyBit(2, PROT_EXEC.cast_unsigned()),
        ),
        deny(libc::SYS_mmap, When::AnyBit(2, PROT_EXEC.cast_unsigned())),
    ]);
    for command in [F_SETSIG, F_SETOWN, F_SETOWN_EX] {
        rules.push(deny(libc::SYS_fcntl, When::Is(1, command)));
    }
    for command in [FIOSETOWN, SIOCSPGRP, TIOCSTI] {
        rules.push(deny(libc::SYS_ioctl, When::Is(1, command)));
    }
    let new = if profiles { &[] } else { BPF_NEW };
    for command in BPF_OF_OTHERS.iter().chain(new) {
        rules.push(deny(libc::SYS_bpf, When::Is(0, *command)));
    }
    if !profiles {
        rules.push(deny(libc::SYS_perf_event_open, When::Always));
    }
    let internet = (libc::AF_INET | libc::AF_INET6).cast_unsigned();
    if fetches {
        // No other bits, and the one that both have: exactly these two families, and no socket of a runtime.
        rules.push(deny(libc::SYS_socket, When::AnyBit(0, !internet)));
        let both = (libc::AF_INET & libc::AF_INET6).cast_unsigned();
        rules.push(deny(libc::SYS_socket, When::NoBit(0, both)));
    } else {
        rules.push(deny(libc::SYS_socket, When::Always));
        rules.push(deny(libc::SYS_connect, When::Always));
    }
    rules
}

/// Gives these calls up, in all threads and for good.
pub(super) fn apply(keeps: Keeps) {
    match install(&rules(keeps, std::process::id())) {
        Ok(()) => tracing::info!("system calls given up: a seccomp filter is on"),
        Err(error) => tracing::warn!(
            "cannot give up system calls: {error}; the agent goes on without a seccomp filter of its own (--no-seccomp \
             if that is meant)"
        ),
    }
}

fn install(rules: &[Rule]) -> std::io::Result<()> {
    let mut code = program(rules);
    let program = libc::sock_fprog {
        len: u16::try_from(code.len()).map_err(std::io::Error::other)?,
        filter: code.as_mut_ptr(),
    };
    // SAFETY: the program lives until the call returns, and the kernel copies it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    match done {
        0 => Ok(()),
        // The kernel refuses a thread, by its id, that has another filter.
        1.. => Err(std::io::Error::other(format!("thread {done} has a filter"))),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
