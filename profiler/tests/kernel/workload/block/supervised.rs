//! Asleep until another process, here a thread, has decided about a call (`SECCOMP_RET_USER_NOTIF`).

use std::fs::File;
use std::io::Result;
use std::os::fd::AsRawFd;

use super::kernel_files::owned;
use super::{Pace, check};
use crate::workload::clock::{Meter, Spent};

// The kernel's `linux/seccomp.h`.
const RECEIVE: libc::Ioctl = 0xc050_2100;
const SEND: libc::Ioctl = 0xc018_2101;

/// `seccomp_notif`.
#[repr(C)]
#[derive(Default)]
struct Request {
    id: u64,
    rest: [u64; 9],
}

/// `seccomp_notif_resp`.
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

const _: () = assert!(size_of::<Request>() == 80 && size_of::<Answer>() == 24);

/// First argument of calls that are asked about. No other call has it.
const ASKED: u32 = 0x4242;

/// These would sleep for four reasons, if they were made.
const CALLS: [libc::c_long; 4] = [
    libc::SYS_recvfrom,
    libc::SYS_nanosleep,
    libc::SYS_openat,
    libc::SYS_futex,
];

/// Makes calls that a helper refuses, each after a sleep.
pub(super) fn calls(pace: Pace) -> Result<Spent> {
    let (sender, listener) = std::sync::mpsc::channel::<File>();
    // Before there is a filter: it is not the supervisor's.
    let helper = std::thread::spawn(move || {
        if let Ok(listener) = listener.recv() {
            pace_answers(pace, &listener);
        }
    });
    let _ = sender.send(filter()?);
    let mut spent = Spent::default();
    for call in CALLS.iter().cycle().take(pace.times as usize) {
        let mut result = 0;
        // SAFETY: the call is refused.
        spent += Meter::around(|| result = unsafe { libc::syscall(*call, ASKED, 0, 0, 0, 0, 0) });
        if check(result).err().and_then(|error| error.raw_os_error()) != Some(libc::EPERM) {
            return Err(std::io::Error::other(format!("call {call} was made")));
        }
    }
    let _ = helper.join();
    Ok(spent)
}

/// Puts the calling thread under a filter, and returns what its supervisor listens to.
fn filter() -> Result<File> {
    // `BPF_LD | BPF_W | BPF_ABS`, `BPF_JMP | BPF_JEQ | BPF_K` and `BPF_RET | BPF_K` of the kernel's `filter.h`.
    const LOAD: u16 = 0x20;
    const JUMP_IF: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// Where the lower half of the first argument is in `seccomp_data`.
    const FIRST: u32 = 16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        step(LOAD, 0, 0, FIRST),
        step(JUMP_IF, 0, 1, ASKED),
        step(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the program lives until the kernel has copied it.
    let fd = unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        let flag = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        let mode = libc::SECCOMP_SET_MODE_FILTER;
        check(libc::syscall(
            libc::SYS_seccomp,
            mode,
            flag,
            &raw const program,
        ))?
    };
    Ok(File::from(owned(i32::try_from(fd).unwrap_or(-1))?))
}

fn pace_answers(pace: Pace, listener: &File) {
    for _ in 0..pace.times {
        let mut request = Request::default();
        // SAFETY: the kernel writes one request, which lives.
        unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut request) };
        std::thread::sleep(pace.each);
        let mut answer = Answer {
            id: request.id,
            value: 0,
            error: -libc::EPERM,
            flags: 0,
        };
        // SAFETY: the kernel reads one answer, which lives.
        unsafe { libc::ioctl(listener.as_raw_fd(), SEND, &raw mut answer) };
    }
}
