//! Threads that somebody freezes: one computes, the others are in calls.

use std::io::{Read, Result, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::Pace;
use crate::workload::clock::{Meter, Spent};

/// Each for the time of the pace. Prints for how long each of them did not run by its own account, and for how long all
/// of them waited for a CPU.
pub(super) fn wait(pace: Pace) -> Result<Spent> {
    let time = pace.total();
    let begin = Meter::begin();
    let (socket, mut other_socket) = UnixStream::pair()?;
    let (mut pipe, mut other_pipe) = std::io::pipe()?;
    let (mut computed, mut polled, mut received, mut read) =
        <(Spent, Spent, Spent, Spent)>::default();
    std::thread::scope(|scope| {
        scope.spawn(|| computed = Meter::around(|| compute(time)));
        scope.spawn(|| {
            let milliseconds = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
            // SAFETY: no entries.
            polled = Meter::around(|| unsafe { libc::poll(std::ptr::null_mut(), 0, milliseconds) });
        });
        scope.spawn(|| {
            let mut byte = 0_u8;
            // SAFETY: room for one byte, which lives.
            received = Meter::around(|| unsafe {
                libc::recv(socket.as_raw_fd(), (&raw mut byte).cast(), 1, 0)
            });
        });
        scope.spawn(|| read = Meter::around(|| pipe.read_exact(&mut [0])));
        std::thread::sleep(time);
        let _ = other_socket
            .write_all(b"x")
            .and_then(|()| other_pipe.write_all(b"x"));
    });
    let all = begin.end();
    for (name, spent) in [
        ("computed", computed),
        ("polled", polled),
        ("received", received),
        ("read", read),
    ] {
        println!("{name}_ns {}", spent.blocked_ns());
        println!("delay_ns {}", spent.delay_ns);
    }
    println!("delay_ns {}", all.delay_ns);
    Ok(all)
}

fn compute(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}
