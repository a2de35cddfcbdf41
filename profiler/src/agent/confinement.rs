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
mod tests {
    use libc::{
        CLONE_THREAD, ENOSYS, EPERM, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, SIGCHLD,
    };

    use super::{Keeps, install, rules};

    const RECORDS: Keeps = Keeps {
        profiles: true,
        fetches: false,
    };

    const PATH: *const libc::c_char = c"/proc/self/status".as_ptr();

    /// What becomes of calls in a process of their own that has given up what the agent gives up: pairs of number,
    /// arguments and the error that is expected, 0 for none of the filter's.
    fn tried(keeps: Keeps, calls: &[(i64, [i64; 6], i32)]) {
        // SAFETY: the child makes system calls, allocates only what glibc lets a forked child, and never returns.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: plain system calls; arguments are numbers or addresses of constants.
            unsafe {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                if install(&rules(keeps, libc::getpid().cast_unsigned())).is_err() {
                    libc::_exit(200);
                }
                for (position, (number, args, expected)) in calls.iter().enumerate() {
                    let done = libc::syscall(
                        *number, args[0], args[1], args[2], args[3], args[4], args[5],
                    );
                    let error = if done == -1 {
                        *libc::__errno_location()
                    } else {
                        0
                    };
                    let as_expected = if *expected == 0 {
                        error != EPERM && error != ENOSYS
                    } else {
                        error == *expected
                    };
                    if !as_expected {
                        libc::_exit(100 + position as i32);
                    }
                }
                libc::_exit(0);
            }
        }
        let mut status = 0;
        // SAFETY: waits for our own child.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert!(
            libc::WIFEXITED(status),
            "ended by signal {}",
            libc::WTERMSIG(status)
        );
        let code = libc::WEXITSTATUS(status);
        assert!(code != 200, "the kernel refuses the filter");
        assert!(code == 0, "call {:?}", calls.get((code - 100) as usize));
    }

    fn open(flags: i32) -> [i64; 6] {
        [libc::AT_FDCWD.into(), PATH as i64, flags.into(), 0, 0, 0]
    }

    #[test]
    fn what_the_agent_does_not_do_is_refused() {
        let none = [0; 6];
        // SAFETY: have no preconditions.
        let (pid, parent) = unsafe { (libc::getpid(), libc::getppid()) };
        tried(
            RECORDS,
            &[
                (libc::SYS_openat, open(O_RDONLY), 0),
                (libc::SYS_openat, open(libc::O_DIRECTORY), 0),
                (libc::SYS_openat, open(O_WRONLY), EPERM),
                (libc::SYS_openat, open(O_RDWR), EPERM),
                (libc::SYS_openat, open(O_RDONLY | O_TRUNC), EPERM),
                (libc::SYS_openat, open(O_RDONLY | O_CREAT), EPERM),
                (libc::SYS_openat, open(libc::O_TMPFILE), EPERM),
                (
                    libc::SYS_open,
                    [PATH as i64, O_WRONLY.into(), 0, 0, 0, 0],
                    EPERM,
                ),
                (
                    libc::SYS_open,
                    [PATH as i64, O_RDONLY.into(), 0, 0, 0, 0],
                    0,
                ),
                (libc::SYS_creat, [PATH as i64, 0, 0, 0, 0, 0], EPERM),
                (libc::SYS_ptrace, none, EPERM),
                // The test's own process and its parent: signal 0 harms nobody.
                (libc::SYS_kill, [pid.into(), 0, 0, 0, 0, 0], EPERM),
                (
                    libc::SYS_tgkill,
                    [parent.into(), parent.into(), 0, 0, 0, 0],
                    EPERM,
                ),
                (libc::SYS_execve, [PATH as i64, 0, 0, 0, 0, 0], EPERM),
                (libc::SYS_clone, [SIGCHLD.into(), 0, 0, 0, 0, 0], EPERM),
                // Refused by the kernel, for want of `CLONE_SIGHAND`; not by the filter.
                (libc::SYS_clone, [CLONE_THREAD.into(), 0, 0, 0, 0, 0], 0),
                (libc::SYS_clone3, none, ENOSYS),
                (libc::SYS_fork, none, EPERM),
                (libc::SYS_process_vm_writev, none, EPERM),
                (libc::SYS_setns, [-1, 0, 0, 0, 0, 0], EPERM),
                (libc::SYS_unshare, none, EPERM),
                (libc::SYS_mount, none, EPERM),
                (libc::SYS_umount2, none, EPERM),
                (libc::SYS_init_module, none, EPERM),
                (libc::SYS_socket, [1, 1, 0, 0, 0, 0], EPERM),
                (libc::SYS_socket, [2, 1, 0, 0, 0, 0], EPERM),
                (libc::SYS_connect, [-1, 0, 0, 0, 0, 0], EPERM),
                (libc::SYS_io_uring_setup, none, EPERM),
                (libc::SYS_fcntl, [0, 8, 0, 0, 0, 0], EPERM),
                (libc::SYS_fcntl, [0, libc::F_GETFD.into(), 0, 0, 0, 0], 0),
                (
                    libc::SYS_mmap,
                    [0, 4096, libc::PROT_EXEC.into(), 0x22, -1, 0],
                    EPERM,
                ),
                (
                    libc::SYS_mmap,
                    [0, 4096, libc::PROT_READ.into(), 0x22, -1, 0],
                    0,
                ),
                // Pinning, which goes on when the agent has ended.
                (libc::SYS_bpf, [6, 0, 0, 0, 0, 0], EPERM),
                // x32 by its bit.
                (0x4000_0000 | libc::SYS_getpid, none, EPERM),
            ],
        );
    }

    #[test]
    fn without_profiles_nothing_new_is_loaded() {
        let keeps = Keeps {
            profiles: false,
            fetches: false,
        };
        for command in [0, 5, 17, 28] {
            tried(keeps, &[(libc::SYS_bpf, [command, 0, 0, 0, 0, 0], EPERM)]);
        }
        tried(keeps, &[(libc::SYS_perf_event_open, [0; 6], EPERM)]);
    }

    #[test]
    fn who_fetches_connects_to_other_hosts_and_to_nothing_here() {
        let keeps = Keeps {
            profiles: true,
            fetches: true,
        };
        let socket = |family| (libc::SYS_socket, [family, 1, 0, 0, 0, 0]);
        // Unix, X.25, netlink, packet, vsock and the like.
        let others = (0..64).filter(|family| ![2, 10].contains(family));
        let mut calls: Vec<_> = others
            .map(|family| (socket(family).0, socket(family).1, EPERM))
            .collect();
        calls.extend([2, 10].map(|family| (socket(family).0, socket(family).1, 0)));
        calls.push((libc::SYS_connect, [-1, 0, 0, 0, 0, 0], 0));
        calls.push((libc::SYS_bind, [-1, 0, 0, 0, 0, 0], EPERM));
        calls.push((libc::SYS_listen, [-1, 0, 0, 0, 0, 0], EPERM));
        calls.push((libc::SYS_memfd_create, [PATH as i64, 0, 0, 0, 0, 0], 0));
        tried(keeps, &calls);
    }

    /// i386 has other numbers: what is refused here would be had there.
    #[test]
    fn another_abi_is_the_end() {
        // SAFETY: as in `tried`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as in `tried`; the instruction is `getpid` by i386's number.
            unsafe {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                if install(&rules(RECORDS, 1)).is_ok() {
                    std::arch::asm!("int 0x80", inout("eax") 20 => _, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
                }
                libc::_exit(0);
            }
        }
        let mut status = 0;
        // SAFETY: waits for our own child.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert!(
            libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS,
            "{status:#x}"
        );
    }
}
