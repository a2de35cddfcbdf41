//! Asleep until a FUSE server answers.
//!
//! The server is a process of its own: one that ends with its files open would otherwise wait for itself. Its file system
//! has one file, and is mounted where nobody else sees it.

use std::fs::{File, OpenOptions};
use std::io::{Error, Read, Result, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use super::{Pace, check};
use crate::workload::clock::{Meter, Spent};

// The kernel's `linux/fuse.h`.
mod request {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FLUSH: u32 = 25;
    pub(super) const INIT: u32 = 26;
    pub(super) const BATCH_FORGET: u32 = 42;
}
/// Node of the root directory, and of the file.
const ROOT: u64 = 1;
const FILE: u64 = 2;
/// `FOPEN_DIRECT_IO`: no read is answered by the page cache.
const DIRECT: u32 = 1;
/// `FUSE_MIN_READ_BUFFER`, and room for a write.
const LARGEST: usize = 64 << 10;

/// Looks at, opens, reads and closes the file; the server takes its time for one of these.
pub(super) fn calls(slow: &str, pace: Pace) -> Result<Spent> {
    let slow = match slow {
        "fuse-open" => request::OPEN,
        "fuse-stat" => request::GETATTR,
        "fuse-read" => request::READ,
        _ => request::FLUSH,
    };
    let folder = tempfile::tempdir()?;
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")?;
    mount(folder.path(), &device)?;
    // SAFETY: this process has one thread.
    let server = check(unsafe { libc::fork() })?;
    if server == 0 {
        // SAFETY: touches no memory, and no destructors run.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::_exit(i32::from(serve(&device, slow, pace).is_err()));
        }
    }
    drop(device);
    let path = folder.path().join("file");
    let mut spent = Spent::default();
    let mut result = Ok(());
    for _ in 0..pace.times {
        spent += Meter::around(|| result = visit(&path));
        if result.is_err() {
            break;
        }
    }
    let mounted = std::ffi::CString::new(folder.path().to_string_lossy().as_bytes())?;
    // SAFETY: the name lives, and no status is wanted.
    unsafe {
        libc::umount2(mounted.as_ptr(), libc::MNT_DETACH);
        let server = i32::try_from(server).unwrap_or_default();
        libc::waitpid(server, std::ptr::null_mut(), 0);
    }
    result.map(|()| spent)
}

fn visit(path: &Path) -> Result<()> {
    let length = std::fs::metadata(path)?.len();
    let mut file = File::open(path)?;
    file.read_exact(&mut [0])?;
    if length == 1 {
        Ok(())
    } else {
        Err(Error::other(format!("{length} bytes")))
    }
}

fn mount(folder: &Path, device: &File) -> Result<()> {
    let folder = std::ffi::CString::new(folder.to_string_lossy().as_bytes())?;
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0",
        device.as_raw_fd()
    );
    let options = std::ffi::CString::new(options)?;
    let private = libc::MS_REC | libc::MS_PRIVATE;
    let none = std::ptr::null();
    // SAFETY: the texts live during the calls.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        check(libc::mount(none, c"/".as_ptr(), none, private, none.cast()))?;
        let kind = c"fuse".as_ptr();
        check(libc::mount(
            kind,
            folder.as_ptr(),
            kind,
            0,
            options.as_ptr().cast(),
        ))?;
    }
    Ok(())
}

/// Answers until the file system is gone.
fn serve(mut device: &File, slow: u32, pace: Pace) -> Result<()> {
    let mut buffer = vec![0; LARGEST];
    loop {
        let length = match device.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(()),
            Err(error) => return Err(error),
        };
        let word = |at: usize| {
            let bytes = buffer[..length].get(at..at + 4).map(<[u8; 4]>::try_from);
            bytes
                .and_then(std::result::Result::ok)
                .map(u32::from_ne_bytes)
        };
        let (Some(opcode), Some(low), Some(high), Some(node)) =
            (word(4), word(8), word(12), word(16))
        else {
            return Err(Error::other("half a request"));
        };
        if opcode == slow {
            std::thread::sleep(pace.each);
        }
        if opcode == request::FORGET || opcode == request::BATCH_FORGET {
            continue;
        }
        let (error, body) = match answer(opcode, u64::from(node)) {
            Some(body) => (0, body),
            None => (-libc::ENOSYS, Vec::new()),
        };
        let mut message = Vec::new();
        message.extend(
            u32::try_from(16 + body.len())
                .unwrap_or_default()
                .to_ne_bytes(),
        );
        message.extend(error.to_ne_bytes());
        message.extend(low.to_ne_bytes());
        message.extend(high.to_ne_bytes());
        message.extend(body);
        let written = device.write(&message);
        // Whoever asked may have been killed, and the file system be gone.
        if let Err(error) = written
            && ![Some(libc::ENOENT), Some(libc::ENODEV)].contains(&error.raw_os_error())
        {
            return Err(error);
        }
    }
}

/// What follows the header of an answer; `None` for a request that is not known. Nothing is valid for any time, so that the
/// kernel asks each time.
fn answer(opcode: u32, node: u64) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    match opcode {
        request::INIT => {
            for word in [7_u32, 31, 0, 0, 0, u32::try_from(LARGEST / 2).ok()?] {
                body.extend(word.to_ne_bytes());
            }
            body.resize(64, 0);
        }
        request::LOOKUP => {
            for word in [FILE, 0, 0, 0, 0] {
                body.extend(word.to_ne_bytes());
            }
            body.extend(attributes(FILE));
        }
        request::GETATTR => {
            body.resize(16, 0);
            body.extend(attributes(node));
        }
        request::OPEN => {
            for word in [0, 0, DIRECT, 0] {
                body.extend(word.to_ne_bytes());
            }
        }
        request::READ => body.push(b'x'),
        request::FLUSH | request::RELEASE => {}
        _ => return None,
    }
    Some(body)
}

/// `fuse_attr` of a node.
fn attributes(node: u64) -> Vec<u8> {
    let mode = if node == ROOT {
        libc::S_IFDIR | 0o755
    } else {
        libc::S_IFREG | 0o644
    };
    let mut bytes = Vec::new();
    // Inode, size, blocks, three times.
    for word in [node, 1, 1, 0, 0, 0] {
        bytes.extend(word.to_ne_bytes());
    }
    // Their fractions, mode, links, owners, device, size of a block, flags.
    for word in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}
