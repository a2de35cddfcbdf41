//! A debugger, and what it debugs.

use std::io::Result;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{Pace, check};
use crate::workload::clock::{Meter, Spent};

/// What a tracer sees of calls, told from signals.
const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD;

/// Is stopped by a tracer: while it computes, when it begins and ends calls, which do not wait themselves, and when it comes
/// to a breakpoint.
pub(super) fn tracee(pace: Pace) -> Result<Spent> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: an all-zero sigaction is valid, and the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        check(libc::sigaction(
            libc::SIGTRAP,
            &raw const action,
            std::ptr::null_mut(),
        ))?;
    }
    let (socket, _other) = UnixStream::pair()?;
    let this = std::process::id().cast_signed();
    // SAFETY: this process has one thread.
    let tracer = check(unsafe { libc::fork() })?;
    if tracer == 0 {
        trace(this, pace);
    }
    let tracer = i32::try_from(tracer).unwrap_or_default();
    let mut status = 0;
    let spent = Meter::around(|| {
        loop {
            let mut byte = 0_u8;
            // SAFETY: room for one byte and the status, which live. A signal whose handler does nothing is what a
            // breakpoint would send.
            let is_over = unsafe {
                let room = (&raw mut byte).cast();
                libc::recv(socket.as_raw_fd(), room, 1, libc::MSG_DONTWAIT);
                libc::raise(libc::SIGTRAP);
                libc::waitpid(tracer, &raw mut status, libc::WNOHANG) != 0
            };
            if is_over {
                break;
            }
            compute(Duration::from_millis(2));
        }
    });
    ended_well(status)?;
    Ok(spent)
}

fn compute(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Stops this process so many times, each for so long, then leaves it alone and ends.
fn trace(process: i32, pace: Pace) -> ! {
    let request = |request, data: usize| {
        // SAFETY: none of these requests touches memory.
        unsafe { libc::ptrace(request, process, 0_usize, data) }
    };
    let mut fails = request(libc::PTRACE_SEIZE, OPTIONS as usize) != 0;
    // While it computes.
    std::thread::sleep(pace.each);
    fails |= request(libc::PTRACE_INTERRUPT, 0) != 0;
    for stop in 0..pace.times {
        // SAFETY: no status is wanted.
        fails |= unsafe { libc::waitpid(process, std::ptr::null_mut(), libc::__WALL) } != process;
        std::thread::sleep(pace.each);
        let go_on = if stop + 1 < pace.times {
            libc::PTRACE_SYSCALL
        } else {
            libc::PTRACE_DETACH
        };
        fails |= request(go_on, 0) != 0;
    }
    // SAFETY: ends without running anybody's destructors.
    unsafe { libc::_exit(i32::from(fails)) }
}

fn ended_well(status: i32) -> Result<()> {
    if status == 0 {
        Ok(())
    } else {
        let text = format!("the tracer ended with {status}");
        Err(std::io::Error::other(text))
    }
}

/// Waits for a tracee that stops after each sleep.
pub(super) fn tracer(pace: Pace) -> Result<Spent> {
    // SAFETY: this process has one thread; the child traces nobody, sleeps, stops and ends.
    let child = check(unsafe { libc::fork() })?;
    if child == 0 {
        // SAFETY: no memory is touched, and no destructors run.
        unsafe {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            pace.follow(|| {
                libc::raise(libc::SIGTRAP);
            });
            libc::_exit(0);
        }
    }
    let child = i32::try_from(child).unwrap_or_default();
    let mut status = 0;
    let spent = Meter::around(|| {
        // SAFETY: the status lives, and going on touches no memory.
        unsafe {
            while libc::waitpid(child, &raw mut status, 0) == child && libc::WIFSTOPPED(status) {
                libc::ptrace(libc::PTRACE_CONT, child, 0, 0);
            }
        }
    });
    ended_well(status)?;
    Ok(spent)
}
