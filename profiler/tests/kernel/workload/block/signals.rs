//! Asleep until a timer's signal, or a timer or signal that is read like a file.

use std::fs::File;
use std::io::{Read, Result};

use super::kernel_files::owned;
use super::{Pace, check};
use crate::workload::clock::{Meter, Spent};

/// In `pause` and `sigsuspend` by turns, until a signal comes.
pub(super) fn pause(pace: Pace) -> Result<Spent> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: an all-zero sigaction is valid, and the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        check(libc::sigaction(
            libc::SIGALRM,
            &raw const action,
            std::ptr::null_mut(),
        ))?;
    }
    alarms(pace)?;
    let mut spent = Spent::default();
    for round in 0..pace.times {
        // SAFETY: an empty set of signals, alive during the call.
        spent += Meter::around(|| unsafe {
            if round % 2 == 0 {
                libc::pause()
            } else {
                let mut none = std::mem::zeroed();
                libc::sigemptyset(&raw mut none);
                libc::sigsuspend(&raw const none)
            }
        });
    }
    Ok(spent)
}

/// Reads a signalfd.
pub(super) fn signalfd(pace: Pace) -> Result<Spent> {
    // SAFETY: a set of signals, alive during the calls.
    let result = unsafe {
        let mut signals = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        libc::sigaddset(&raw mut signals, libc::SIGALRM);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut());
        libc::signalfd(-1, &raw const signals, libc::SFD_CLOEXEC)
    };
    let file = File::from(owned(result)?);
    alarms(pace)?;
    reads(pace, &file, size_of::<libc::signalfd_siginfo>())
}

/// Reads a timerfd.
pub(super) fn timerfd(pace: Pace) -> Result<Spent> {
    let each = libc::timespec {
        tv_sec: 0,
        tv_nsec: i64::from(pace.each.subsec_nanos()),
    };
    let times = libc::itimerspec {
        it_interval: each,
        it_value: each,
    };
    // SAFETY: creates a descriptor, touches no memory.
    let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) };
    let file = File::from(owned(fd)?);
    // SAFETY: the times live during the call.
    check(unsafe { libc::timerfd_settime(fd, 0, &raw const times, std::ptr::null_mut()) })?;
    reads(pace, &file, 8)
}

fn reads(pace: Pace, mut file: &File, size: usize) -> Result<Spent> {
    let mut bytes = vec![0; size];
    let mut spent = Spent::default();
    for _ in 0..pace.times {
        let mut result = Ok(());
        spent += Meter::around(|| result = file.read_exact(&mut bytes));
        result?;
    }
    Ok(spent)
}

/// Has this process sent a `SIGALRM` after each time of the pace.
fn alarms(pace: Pace) -> Result<()> {
    let each = libc::timeval {
        tv_sec: 0,
        tv_usec: i64::from(pace.each.subsec_micros()),
    };
    let times = libc::itimerval {
        it_interval: each,
        it_value: each,
    };
    // SAFETY: the times live during the call. The C library has no binding for it.
    check(unsafe {
        libc::syscall(
            libc::SYS_setitimer,
            libc::ITIMER_REAL,
            &raw const times,
            std::ptr::null_mut::<libc::itimerval>(),
        )
    })?;
    Ok(())
}
