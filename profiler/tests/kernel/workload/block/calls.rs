//! Asleep in a call until a helper, a signal or the clock ends it.

use std::io::{Error, Read, Result, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

use super::{Pace, check};
use crate::workload::clock::{Meter, Spent};

/// Until the clock says so.
pub(super) fn sleep(pace: Pace) -> Spent {
    Meter::around(|| pace.follow(|| ()))
}

/// For a signal that does not come.
pub(super) fn signal(pace: Pace) -> Spent {
    let mut spent = Spent::default();
    for _ in 0..pace.times {
        // SAFETY: an empty set of signals and a timeout, both alive during the call; nothing is returned.
        spent += Meter::around(|| unsafe {
            let mut signals = std::mem::zeroed();
            libc::sigemptyset(&raw mut signals);
            let timeout = libc::timespec {
                tv_sec: 0,
                tv_nsec: i64::from(pace.each.subsec_nanos()),
            };
            libc::sigtimedwait(&raw const signals, std::ptr::null_mut(), &raw const timeout)
        });
    }
    spent
}

/// On a pipe that a helper writes to.
pub(super) fn pipe(pace: Pace) -> Result<Spent> {
    let (mut reader, mut writer) = std::io::pipe()?;
    let helper = std::thread::spawn(move || {
        pace.follow(|| drop(writer.write_all(b"x")));
    });
    let mut spent = Spent::default();
    for _ in 0..pace.times {
        spent += Meter::around(|| reader.read_exact(&mut [0]));
    }
    let _ = helper.join();
    Ok(spent)
}

/// On a message queue that a helper sends to.
pub(super) fn message(pace: Pace) -> Result<Spent> {
    #[repr(C)]
    struct Message {
        kind: libc::c_long,
        text: [u8; 8],
    }
    let flags = libc::IPC_CREAT | 0o600;
    // SAFETY: creates a queue, touches no memory.
    let queue = check(unsafe { libc::msgget(libc::IPC_PRIVATE, flags) })?;
    let queue = i32::try_from(queue).unwrap_or_default();
    let helper = std::thread::spawn(move || {
        pace.follow(|| {
            let message = Message {
                kind: 1,
                text: [0; 8],
            };
            // SAFETY: the message lives, and has as many bytes of text.
            unsafe { libc::msgsnd(queue, (&raw const message).cast(), 8, 0) };
        });
    });
    let mut spent = Spent::default();
    for _ in 0..pace.times {
        let mut message = Message {
            kind: 0,
            text: [0; 8],
        };
        // SAFETY: the message lives, and has room for as many bytes of text.
        spent +=
            Meter::around(|| unsafe { libc::msgrcv(queue, (&raw mut message).cast(), 8, 0, 0) });
    }
    let _ = helper.join();
    // SAFETY: removes the queue, touches no memory.
    unsafe { libc::msgctl(queue, libc::IPC_RMID, std::ptr::null_mut()) };
    Ok(spent)
}

/// A socket that a helper writes to; `receive` takes what has come, and says what it spent.
fn socket(pace: Pace, mut receive: impl FnMut(&mut UnixStream) -> Spent) -> Result<Spent> {
    let (mut reader, mut writer) = UnixStream::pair()?;
    let helper = std::thread::spawn(move || {
        pace.follow(|| drop(writer.write_all(b"x")));
    });
    let mut spent = Spent::default();
    for _ in 0..pace.times {
        spent += receive(&mut reader);
    }
    let _ = helper.join();
    Ok(spent)
}

/// Waits with `wait` until the socket can be read, and reads.
fn ready(pace: Pace, mut wait: impl FnMut(i32)) -> Result<Spent> {
    socket(pace, |reader| {
        let spent = Meter::around(|| wait(reader.as_raw_fd()));
        let _ = reader.read_exact(&mut [0]);
        spent
    })
}

/// In `poll`.
pub(super) fn poll(pace: Pace) -> Result<Spent> {
    ready(pace, |fd| {
        let mut wanted = libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry, which lives.
        unsafe { libc::poll(&raw mut wanted, 1, -1) };
    })
}

/// In `select`.
pub(super) fn select(pace: Pace) -> Result<Spent> {
    ready(pace, |fd| {
        // SAFETY: a set with one small descriptor; what is not wanted is null.
        unsafe {
            let mut wanted = std::mem::zeroed();
            libc::FD_SET(fd, &raw mut wanted);
            let none = std::ptr::null_mut();
            libc::select(fd + 1, &raw mut wanted, none, none, std::ptr::null_mut());
        }
    })
}

/// In `epoll_wait`.
pub(super) fn epoll(pace: Pace) -> Result<Spent> {
    // SAFETY: creates a descriptor, touches no memory.
    let set = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    let set = i32::try_from(set).unwrap_or_default();
    ready(pace, |fd| {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN.cast_unsigned(),
            u64: 0,
        };
        // SAFETY: one event, which lives.
        unsafe {
            libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, fd, &raw mut event);
            libc::epoll_wait(set, &raw mut event, 1, -1);
            libc::epoll_ctl(set, libc::EPOLL_CTL_DEL, fd, &raw mut event);
        }
    })
}

/// In `recv`.
pub(super) fn recv(pace: Pace) -> Result<Spent> {
    socket(pace, |reader| {
        let mut byte = 0_u8;
        // SAFETY: room for one byte, which lives.
        Meter::around(|| unsafe { libc::recv(reader.as_raw_fd(), (&raw mut byte).cast(), 1, 0) })
    })
}

/// In `read`, which does not say that it is a socket.
pub(super) fn socket_read(pace: Pace) -> Result<Spent> {
    socket(pace, |reader| Meter::around(|| reader.read_exact(&mut [0])))
}

/// In `accept`, until a helper connects.
pub(super) fn accept(pace: Pace) -> Result<Spent> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path)?;
    let helper = std::thread::spawn(move || {
        pace.follow(|| drop(UnixStream::connect(&path)));
    });
    let mut spent = Spent::default();
    let mut refused: Option<Error> = None;
    for _ in 0..pace.times {
        spent += Meter::around(|| refused = listener.accept().err());
    }
    let _ = helper.join();
    refused.map_or(Ok(spent), Err)
}
