//! Asleep on message queues and semaphores between processes.

use std::ffi::CString;
use std::io::{Error, Result};

use super::{Pace, check};
use crate::workload::clock::{Meter, Spent};

/// Room for messages in a queue: one, of one byte.
const ONE: i64 = 1;

/// A POSIX message queue without a name.
fn queue() -> Result<libc::mqd_t> {
    let name = CString::new(format!("/ctprof-test-{}", std::process::id()))?;
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    // SAFETY: name and attributes live during the calls.
    unsafe {
        let mut attributes: libc::mq_attr = std::mem::zeroed();
        attributes.mq_maxmsg = ONE;
        attributes.mq_msgsize = ONE;
        let queue = libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut attributes);
        let error = Error::last_os_error();
        libc::mq_unlink(name.as_ptr());
        if queue < 0 { Err(error) } else { Ok(queue) }
    }
}

fn send(queue: libc::mqd_t) {
    // SAFETY: a message of one byte, which lives.
    unsafe { libc::mq_send(queue, c"x".as_ptr(), 1, 0) };
}

fn receive(queue: libc::mqd_t) {
    let mut byte: libc::c_char = 0;
    // SAFETY: room for one byte, which lives; no priority is wanted.
    unsafe { libc::mq_receive(queue, &raw mut byte, 1, std::ptr::null_mut()) };
}

/// Receives what a helper sends.
pub(super) fn receives(pace: Pace) -> Result<Spent> {
    let queue = queue()?;
    Ok(exchange(pace, || send(queue), || receive(queue)))
}

/// Sends to a queue that is full until a helper receives.
pub(super) fn sends(pace: Pace) -> Result<Spent> {
    let queue = queue()?;
    send(queue);
    Ok(exchange(pace, || receive(queue), || send(queue)))
}

/// Takes a semaphore that a helper gives.
pub(super) fn semaphore(pace: Pace) -> Result<Spent> {
    // SAFETY: creates a set with one semaphore, touches no memory.
    let set = check(unsafe { libc::semget(libc::IPC_PRIVATE, 1, libc::IPC_CREAT | 0o600) })?;
    let set = i32::try_from(set).unwrap_or_default();
    let change = |by| {
        let mut change = libc::sembuf {
            sem_num: 0,
            sem_op: by,
            sem_flg: 0,
        };
        // SAFETY: one change, which lives during the call.
        unsafe { libc::semop(set, &raw mut change, 1) };
    };
    let spent = exchange(pace, || change(1), || change(-1));
    // SAFETY: removes the set, touches no memory.
    unsafe { libc::semctl(set, 0, libc::IPC_RMID) };
    Ok(spent)
}

/// The subject does `waits` once for each time that a helper does `ends`.
fn exchange(pace: Pace, ends: impl Fn() + Sync, waits: impl Fn()) -> Spent {
    std::thread::scope(|scope| {
        scope.spawn(|| pace.follow(&ends));
        let mut spent = Spent::default();
        for _ in 0..pace.times {
            spent += Meter::around(&waits);
        }
        spent
    })
}
