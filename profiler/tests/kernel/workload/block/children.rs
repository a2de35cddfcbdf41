//! Asleep until a child is done.

use std::io::Result;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::kernel_files::owned;
use super::{Pace, check};
use crate::workload::clock::{Meter, Spent};

/// Until a child exits.
pub(super) fn wait(pace: Pace) -> Result<Spent> {
    let mut spent = Spent::default();
    for _ in 0..pace.times {
        // SAFETY: this process has one thread; the child only sleeps and ends.
        let child = check(unsafe { libc::fork() })?;
        if child == 0 {
            nap(pace.each);
        }
        spent += Meter::around(|| reap(child));
    }
    Ok(spent)
}

/// The same, by a descriptor of the child; `by_poll` waits until this could be told, and is told then.
pub(super) fn by_descriptor(pace: Pace, by_poll: bool) -> Result<Spent> {
    let mut spent = Spent::default();
    for _ in 0..pace.times {
        // SAFETY: this process has one thread; the child only sleeps and ends.
        let child = check(unsafe { libc::fork() })?;
        if child == 0 {
            nap(pace.each);
        }
        // SAFETY: creates a descriptor, touches no memory.
        let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) })?;
        let descriptor = owned(i32::try_from(fd).unwrap_or(-1))?;
        let fd = descriptor.as_raw_fd();
        spent += Meter::around(|| {
            if by_poll {
                let mut wanted = libc::pollfd {
                    fd,
                    events: libc::POLLIN,
                    revents: 0,
                };
                // SAFETY: one entry, which lives.
                unsafe { libc::poll(&raw mut wanted, 1, -1) };
            } else {
                // SAFETY: room for what is said of the child, which lives.
                unsafe {
                    let mut told = std::mem::zeroed();
                    let which = fd.cast_unsigned();
                    libc::waitid(
                        libc::P_PIDFD,
                        which,
                        &raw mut told,
                        libc::WEXITED | libc::WNOWAIT,
                    );
                }
            }
        });
        reap(child);
    }
    Ok(spent)
}

/// Until a child that shares our memory is gone.
pub(super) fn vfork(pace: Pace) -> Result<Spent> {
    extern "C" fn child(each: *mut libc::c_void) -> i32 {
        // SAFETY: the parent passed a duration, and stands still while we run.
        nap(unsafe { *each.cast::<Duration>() })
    }
    let mut stack = vec![0_u8; 64 << 10];
    let mut each = pace.each;
    let mut spent = Spent::default();
    for _ in 0..pace.times {
        let mut pid = 0;
        spent += Meter::around(|| {
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            // SAFETY: the child runs on a stack of its own, which ends at an address with 16 bytes' alignment, only
            // sleeps and ends; the parent does not go on before that.
            pid = unsafe {
                let top = stack.as_mut_ptr().add(stack.len() & !15);
                let top = top.sub(top as usize & 15);
                libc::clone(child, top.cast(), flags, (&raw mut each).cast())
            };
        });
        reap(check(pid)?);
    }
    Ok(spent)
}

/// Sleeps and ends this process, calling nothing that a forked child may not.
fn nap(each: Duration) -> ! {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: i64::from(each.subsec_nanos()),
    };
    // SAFETY: the time lives; the process ends without running anybody's destructors.
    unsafe {
        libc::nanosleep(&raw const time, std::ptr::null_mut());
        libc::_exit(0)
    }
}

fn reap(child: i64) {
    let pid = libc::pid_t::try_from(child).unwrap_or_default();
    // SAFETY: no status is wanted.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}
