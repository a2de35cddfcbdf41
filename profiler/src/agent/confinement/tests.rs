//! What the agent does not do is refused, by the kernel itself.

use libc::{CLONE_THREAD, ENOSYS, EPERM, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, SIGCHLD};

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
