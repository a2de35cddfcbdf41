//! Asleep until somebody else lets go of a lock.

use std::fs::File;
use std::io::Result;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Pace;
use crate::workload::clock::{Meter, Spent};

/// On a word of memory that a helper changes.
pub(super) fn futex(pace: Pace) -> Spent {
    word(pace, wait)
}

/// The same, as one of several words could.
pub(super) fn futex_waitv(pace: Pace) -> Spent {
    word(pace, wait_for_one)
}

fn word(pace: Pace, wait: impl Fn(&AtomicU32, u32)) -> Spent {
    let word = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pace.follow(|| {
                word.fetch_add(1, Ordering::SeqCst);
                wake(&word);
            });
        });
        let mut spent = Spent::default();
        for round in 0..pace.times {
            spent += Meter::around(|| {
                while word.load(Ordering::SeqCst) == round {
                    wait(&word, round);
                }
            });
        }
        spent
    })
}

fn wait_for_one(word: &AtomicU32, value: u32) {
    /// `FUTEX_32` in the kernel's `linux/futex.h`.
    const OF_32_BITS: u32 = 2;
    /// `futex_waitv`.
    #[repr(C)]
    struct Word {
        value: u64,
        address: u64,
        flags: u32,
        reserved: u32,
    }
    let one = Word {
        value: value.into(),
        address: word.as_ptr() as u64,
        flags: OF_32_BITS,
        reserved: 0,
    };
    let no_timeout = std::ptr::null::<libc::timespec>();
    // SAFETY: one word, which lives during the call.
    unsafe { libc::syscall(libc::SYS_futex_waitv, &raw const one, 1, 0, no_timeout, 0) };
}

fn wait(word: &AtomicU32, value: u32) {
    let no_timeout = std::ptr::null::<libc::timespec>();
    // SAFETY: the word lives during the call.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            value,
            no_timeout,
        )
    };
}

fn wake(word: &AtomicU32) {
    // SAFETY: the word lives during the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}

/// A helper takes the lock, holds it for a while and releases it, over and over; `take` is to take and release it
/// once. Between two rounds both wait for each other in short sleeps.
fn contend(pace: Pace, lock: impl Fn(&dyn Fn()) + Sync, take: impl Fn()) -> Spent {
    const PAUSE: Duration = Duration::from_micros(200);
    /// The helper has the lock.
    const HELD: u32 = 1;
    /// The subject has had it.
    const TAKEN: u32 = 0;
    let turn = AtomicU32::new(TAKEN);
    let until = |wanted| {
        while turn.load(Ordering::SeqCst) != wanted {
            std::thread::sleep(PAUSE);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..pace.times {
                lock(&|| {
                    turn.store(HELD, Ordering::SeqCst);
                    std::thread::sleep(pace.each);
                });
                until(TAKEN);
            }
        });
        let mut spent = Spent::default();
        for _ in 0..pace.times {
            until(HELD);
            spent += Meter::around(&take);
            turn.store(TAKEN, Ordering::SeqCst);
        }
        spent
    })
}

/// A lock in memory.
pub(super) fn mutex(pace: Pace) -> Spent {
    let mutex = Mutex::new(());
    contend(
        pace,
        |hold| {
            let _guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
            hold();
        },
        || drop(mutex.lock().unwrap_or_else(PoisonError::into_inner)),
    )
}

/// A lock on a file.
pub(super) fn flock(pace: Pace) -> Result<Spent> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("lock");
    let (ours, theirs) = (File::create(&path)?, File::create(&path)?);
    let change = |file: &File, how| {
        // SAFETY: the file is open, and no memory is touched.
        unsafe { libc::flock(file.as_raw_fd(), how) };
    };
    Ok(contend(
        pace,
        |hold| {
            change(&theirs, libc::LOCK_EX);
            hold();
            change(&theirs, libc::LOCK_UN);
        },
        || {
            change(&ours, libc::LOCK_EX);
            change(&ours, libc::LOCK_UN);
        },
    ))
}

/// A lock on a part of a file, by `fcntl`.
pub(super) fn record_lock(pace: Pace) -> Result<Spent> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("lock");
    let (ours, theirs) = (File::create(&path)?, File::create(&path)?);
    let change = |file: &File, kind: i32| {
        // SAFETY: all zeros is a valid value: the whole file.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = i16::try_from(kind).unwrap_or_default();
        // SAFETY: the file is open, and the lock lives during the call.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLKW, &raw mut lock) };
    };
    Ok(contend(
        pace,
        |hold| {
            change(&theirs, libc::F_WRLCK);
            hold();
            change(&theirs, libc::F_UNLCK);
        },
        || {
            change(&ours, libc::F_WRLCK);
            change(&ours, libc::F_UNLCK);
        },
    ))
}

/// Until every other thread of the machine has been seen to be in no critical section.
pub(super) fn barrier(pace: Pace) -> Spent {
    /// `MEMBARRIER_CMD_GLOBAL` in the kernel's `linux/membarrier.h`.
    const GLOBAL: i32 = 1;
    let mut spent = Spent::default();
    while spent.wall_ns < pace.total().as_nanos() as u64 / 2 {
        // SAFETY: touches no memory.
        spent += Meter::around(|| unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) });
    }
    spent
}

/// Opens a file until a helper has given up its lease on it.
pub(super) fn lease(pace: Pace) -> Result<Spent> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("leased");
    let file = File::create(&path)?;
    let file = {
        // A lease for reading needs a file that nobody writes to.
        drop(file);
        File::open(&path)?
    };
    // SAFETY: a signal that says that the lease is wanted back is not waited for.
    unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    let change = |kind: i32| {
        // SAFETY: the file is open, and no memory is touched.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    };
    Ok(contend(
        pace,
        |hold| {
            change(libc::F_RDLCK);
            hold();
            change(libc::F_UNLCK);
        },
        || drop(File::options().write(true).open(&path)),
    ))
}
