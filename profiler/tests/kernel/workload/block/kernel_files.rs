//! Asleep on what looks like a file and has no disk behind it.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, Read, Result, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{Pace, check};
use crate::workload::PAGE;
use crate::workload::clock::{Meter, Spent};

/// A descriptor that a call returned.
pub(super) fn owned(result: i32) -> Result<OwnedFd> {
    check(result)?;
    // SAFETY: the call has just returned it, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// Reads as many bytes as fit into `size` when a helper has made them available.
fn reads(pace: Pace, file: &mut File, size: usize, act: impl Fn() + Sync) -> Result<Spent> {
    let mut bytes = vec![0; size];
    std::thread::scope(|scope| {
        scope.spawn(|| pace.follow(&act));
        let mut spent = Spent::default();
        for _ in 0..pace.times {
            let mut result = Ok(0);
            spent += Meter::around(|| result = file.read(&mut bytes));
            result?;
        }
        Ok(spent)
    })
}

/// Opens a FIFO, until a helper opens its other end.
pub(super) fn fifo_open(pace: Pace) -> Result<Spent> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("fifo");
    let name = std::ffi::CString::new(path.to_string_lossy().as_bytes())?;
    // SAFETY: the name lives during the call.
    check(unsafe { libc::mkfifo(name.as_ptr(), 0o600) })?;
    let helper = {
        let path = path.clone();
        std::thread::spawn(move || {
            pace.follow(|| drop(OpenOptions::new().write(true).open(&path)));
        })
    };
    let mut spent = Spent::default();
    for _ in 0..pace.times {
        let mut file = Err(Error::other("not opened"));
        spent += Meter::around(|| file = File::open(&path));
        // The helper's end is closed: the next one to open is the next round's.
        while file
            .as_mut()
            .map_err(|error| Error::other(error.to_string()))?
            .read(&mut [0])?
            > 0
        {}
    }
    let _ = helper.join();
    Ok(spent)
}

/// Reads an eventfd that a helper adds to.
pub(super) fn eventfd(pace: Pace) -> Result<Spent> {
    // SAFETY: creates a descriptor, touches no memory.
    let mut file = File::from(owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })?);
    let writer = file.try_clone()?;
    reads(pace, &mut file, 8, || {
        let _ = (&writer).write_all(&1_u64.to_ne_bytes());
    })
}

/// Reads notices of a folder in which a helper creates files.
pub(super) fn inotify(pace: Pace) -> Result<Spent> {
    let folder = tempfile::tempdir()?;
    // SAFETY: creates a descriptor, touches no memory.
    let mut file = File::from(owned(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) })?);
    let name = std::ffi::CString::new(folder.path().to_string_lossy().as_bytes())?;
    // SAFETY: the name lives during the call.
    check(unsafe { libc::inotify_add_watch(file.as_raw_fd(), name.as_ptr(), libc::IN_CREATE) })?;
    let path = folder.path().join("new");
    reads(pace, &mut file, 4096, || {
        let _ = fs::create_dir(&path).and_then(|()| fs::remove_dir(&path));
    })
}

/// Reads a terminal whose other end a helper writes to.
pub(super) fn terminal(pace: Pace) -> Result<Spent> {
    let (mut master, mut slave) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: both numbers live; there are no settings.
    check(unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            null,
            std::ptr::null(),
            std::ptr::null(),
        )
    })?;
    let (master, mut slave) = (File::from(owned(master)?), File::from(owned(slave)?));
    reads(pace, &mut slave, 16, || {
        let _ = (&master).write_all(b"x\n");
    })
}

/// Reads the kernel's trace, an instance of it in this folder, into which a helper writes.
pub(super) fn trace(path: &str, pace: Pace) -> Result<Spent> {
    let mut pipe = File::open(format!("{path}/trace_pipe"))?;
    let marker = OpenOptions::new()
        .write(true)
        .open(format!("{path}/trace_marker"))?;
    reads(pace, &mut pipe, 4096, || {
        let _ = (&marker).write_all(b"x");
    })
}

/// Splices a file, which is in memory, into a pipe that is full until a helper has emptied it.
pub(super) fn splice(pace: Pace) -> Result<Spent> {
    let mut file = tempfile::tempfile()?;
    file.write_all(&[1; PAGE])?;
    let (mut reader, writer) = std::io::pipe()?;
    // SAFETY: changes the size of the pipe, touches no memory.
    check(unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, PAGE) })?;
    let splice = || {
        let mut offset = 0;
        // SAFETY: both are open, and the offset lives.
        let moved = unsafe {
            libc::splice(
                file.as_raw_fd(),
                &raw mut offset,
                writer.as_raw_fd(),
                std::ptr::null_mut(),
                PAGE,
                0,
            )
        };
        check(moved as i64)
    };
    splice()?;
    let helper = std::thread::spawn(move || {
        pace.follow(|| drop(reader.read_exact(&mut [0; PAGE])));
        reader
    });
    let mut spent = Spent::default();
    for _ in 0..pace.times {
        let mut result = Ok(0);
        spent += Meter::around(|| result = splice());
        result?;
    }
    let _ = helper.join();
    Ok(spent)
}
