//! Asleep in calls that go on as `restart_syscall` when the process was stopped meanwhile.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::Pace;
use crate::workload::clock::{Meter, Spent};

/// One thread in `poll`, one in `futex`, one in `nanosleep`, and this one in `clock_nanosleep`, each for the time of the
/// pace, stopped or not; and one in `recvfrom`, which is made again instead.
pub(super) fn wait(pace: Pace) -> Spent {
    let sockets = UnixStream::pair();
    let time = timespec(pace.total());
    let word = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut byte = 0_u8;
            let fd = sockets.as_ref().map_or(-1, |(ours, _)| ours.as_raw_fd());
            // SAFETY: room for one byte, which lives.
            unsafe { libc::recv(fd, (&raw mut byte).cast(), 1, 0) };
        });
        scope.spawn(|| {
            let milliseconds = i32::try_from(pace.total().as_millis()).unwrap_or(i32::MAX);
            // SAFETY: no entries.
            unsafe { libc::poll(std::ptr::null_mut(), 0, milliseconds) };
        });
        // SAFETY: the word and the time live during the call.
        scope.spawn(|| unsafe {
            let (word, time) = (word.as_ptr(), &raw const time);
            libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, 0, time)
        });
        // SAFETY: the time lives during the call. The C library would make another call of it.
        scope.spawn(|| unsafe {
            let no_rest = std::ptr::null_mut::<libc::timespec>();
            libc::syscall(libc::SYS_nanosleep, &raw const time, no_rest)
        });
        Meter::around(|| {
            // SAFETY: the time lives during the call.
            unsafe {
                libc::clock_nanosleep(
                    libc::CLOCK_MONOTONIC,
                    0,
                    &raw const time,
                    std::ptr::null_mut(),
                )
            };
        })
    })
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: duration.as_secs().cast_signed(),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
