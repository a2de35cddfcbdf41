//! Asleep until another process, here a thread, has allowed to open or read a file (`FAN_OPEN_PERM`, `FAN_ACCESS_PERM`).

use std::fs::File;
use std::io::{Read, Result, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;

use super::{Pace, check};
use crate::workload::clock::{Meter, Spent};

/// Opens a file, and reads it, in turn; a helper allows each after a sleep.
pub(super) fn calls(pace: Pace) -> Result<Spent> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("watched");
    std::fs::write(&path, "content")?;
    let listener = listener(&path)?;
    std::thread::spawn(move || answers(pace, listener));
    let mut spent = Spent::default();
    let mut asked = 0;
    while asked < pace.times {
        let mut file = None;
        spent += Meter::around(|| file = File::open(&path).ok());
        let mut byte = [0];
        let mut read = Ok(0);
        if let Some(file) = &mut file {
            spent += Meter::around(|| read = file.read(&mut byte));
        }
        read?;
        asked += 2;
    }
    Ok(spent)
}

fn listener(path: &std::path::Path) -> Result<File> {
    // SAFETY: touches no memory.
    let listener = unsafe {
        libc::fanotify_init(
            libc::FAN_CLASS_CONTENT | libc::FAN_CLOEXEC,
            libc::O_RDONLY as u32,
        )
    };
    check(listener)?;
    // SAFETY: a new descriptor that nobody else has.
    let listener = unsafe { File::from_raw_fd(listener) };
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a string of C's.
    let marked = unsafe {
        libc::fanotify_mark(
            listener.as_raw_fd(),
            libc::FAN_MARK_ADD,
            libc::FAN_OPEN_PERM | libc::FAN_ACCESS_PERM,
            libc::AT_FDCWD,
            path.as_ptr(),
        )
    };
    check(marked)?;
    Ok(listener)
}

/// Allows each request after a sleep, for as long as the program runs.
fn answers(pace: Pace, mut listener: File) {
    loop {
        let mut event = [0_u8; size_of::<libc::fanotify_event_metadata>()];
        if listener.read_exact(&mut event).is_err() {
            return;
        }
        // The kernel's `fanotify_event_metadata`: the descriptor of the file is at 16.
        let descriptor = i32::from_ne_bytes([event[16], event[17], event[18], event[19]]);
        std::thread::sleep(pace.each);
        let mut answer = [0_u8; size_of::<libc::fanotify_response>()];
        answer[..4].copy_from_slice(&descriptor.to_ne_bytes());
        answer[4..8].copy_from_slice(&libc::FAN_ALLOW.to_ne_bytes());
        let is_told = listener.write_all(&answer);
        // SAFETY: the kernel has opened it for this process, and nobody else has it.
        drop(unsafe { File::from_raw_fd(descriptor) });
        if is_told.is_err() {
            return;
        }
    }
}
