//! Known system calls with known results.

use std::io::{Error, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::gettid;

use super::Options;

/// Makes what the options ask for, on each of `--threads` threads of each of `--processes` processes.
pub(super) fn calls(options: &Options) -> Result<()> {
    let processes = options.number("--processes", 1);
    let mut children = Vec::new();
    for _ in 1..processes {
        // SAFETY: this process has one thread, so the child may do what it likes.
        match unsafe { libc::fork() } {
            -1 => return Err(Error::last_os_error()),
            0 => {
                let result = threads(options);
                // SAFETY: ends the child without running what belongs to its parent.
                unsafe { libc::_exit(i32::from(result.is_err())) };
            }
            child => children.push(child),
        }
    }
    threads(options)?;
    for child in children {
        let mut status = 0;
        // SAFETY: `status` is a place for the result.
        if unsafe { libc::waitpid(child, &raw mut status, 0) } != child || status != 0 {
            return Err(Error::other("a child failed"));
        }
    }
    Ok(())
}

fn threads(options: &Options) -> Result<()> {
    let count = options.number("--threads", 1);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..count).map(|_| scope.spawn(|| make(options))).collect();
        make(options)?;
        others
            .into_iter()
            .try_for_each(|other| other.join().map_err(|_| Error::other("a thread failed"))?)
    })
}

fn make(options: &Options) -> Result<()> {
    let times = |name: &str| 0..options.number(name, 0);
    for _ in times("--getppid") {
        call(libc::SYS_getppid, [0; 3], None)?;
    }
    for _ in times("--enoent") {
        let path = c"/does/not/exist".as_ptr() as usize;
        let arguments = [libc::AT_FDCWD.cast_unsigned() as usize, path, 0];
        call(libc::SYS_openat, arguments, Some(libc::ENOENT))?;
    }
    let sleep = Duration::from_millis(options.number("--sleep-ms", 10));
    let begin = Instant::now();
    for _ in times("--sleeps") {
        let time = libc::timespec {
            tv_sec: 0,
            tv_nsec: i64::from(sleep.subsec_nanos()),
        };
        call(
            libc::SYS_nanosleep,
            [(&raw const time) as usize, 0, 0],
            None,
        )?;
    }
    if options.number("--sleeps", 0) > 0 {
        println!("slept_ns {}", begin.elapsed().as_nanos());
    }
    let (empty, _end) = std::io::pipe()?;
    rustix::fs::fcntl_setfl(&empty, rustix::fs::OFlags::NONBLOCK)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&empty);
    for _ in times("--eagain") {
        let mut byte = 0_u8;
        let place = (&raw mut byte) as usize;
        let arguments = [number.cast_unsigned() as usize, place, 1];
        call(libc::SYS_read, arguments, Some(libc::EAGAIN))?;
    }
    for _ in times("--unknown") {
        call(999, [0; 3], Some(libc::ENOSYS))?;
    }
    #[cfg(target_arch = "x86_64")]
    for _ in times("--compat") {
        compat_getppid();
    }
    Ok(())
}

/// Makes a call, which has to fail with this error, or with none.
fn call(number: libc::c_long, arguments: [usize; 3], error: Option<i32>) -> Result<()> {
    let [a, b, c] = arguments;
    // SAFETY: the callers pass pointers to what lives, of the size that the call takes.
    let result = unsafe { libc::syscall(number, a, b, c) };
    let found = (result == -1)
        .then(|| Error::last_os_error().raw_os_error())
        .flatten();
    if found == error {
        Ok(())
    } else {
        Err(Error::other(format!(
            "call {number} ended with {found:?} instead of {error:?}"
        )))
    }
}

/// `getppid` by its number on i386, 64.
#[cfg(target_arch = "x86_64")]
fn compat_getppid() {
    // SAFETY: the call takes no argument and changes nothing but its result.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("eax") 64 => _, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
}

/// Joins the cgroups 0, 1, … of `--cgroups` in the folder `--below`, one after the other, and makes `--calls` calls in
/// each that do not exist, once.
pub(super) fn spread(options: &Options) -> Result<()> {
    const FIRST: u64 = 1_000;
    for cgroup in 0..options.number("--cgroups", 1) {
        let file = format!("{}/{cgroup}/cgroup.procs", options.text("--below"));
        std::fs::write(file, "0")?;
        for number in FIRST..FIRST + options.number("--calls", 1) {
            let number = libc::c_long::try_from(number).unwrap_or_default();
            call(number, [0; 3], Some(libc::ENOSYS))?;
        }
    }
    Ok(())
}

/// Puts itself under a filter that refuses `getppid` with EPERM, and calls it `--getppid` times from a thread called
/// asker, which stays for `--stay-ms`: names of a program that ends at once may come too late.
pub(super) fn refused(options: &Options) -> Result<()> {
    // `BPF_LD | BPF_W | BPF_ABS`, `BPF_JMP | BPF_JEQ | BPF_K` and `BPF_RET | BPF_K` of the kernel's `filter.h`.
    const LOAD: u16 = 0x20;
    const JUMP_IF: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let getppid = u32::try_from(libc::SYS_getppid).unwrap_or_default();
    let mut steps = [
        // The number of the call is the first field of `seccomp_data`.
        step(LOAD, 0, 0, 0),
        step(JUMP_IF, 0, 1, getppid),
        step(
            RETURN,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned(),
        ),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the program lives until the kernel has copied it.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) == 0
    };
    if !done {
        return Err(Error::last_os_error());
    }
    let times = options.number("--getppid", 1);
    let stay = Duration::from_millis(options.number("--stay-ms", 0));
    let asker = std::thread::Builder::new().name("asker".to_owned());
    asker
        .spawn(move || ask_in_vain(times, stay))?
        .join()
        .map_err(|_| Error::other("a thread failed"))?
}

#[inline(never)]
fn ask_in_vain(times: u64, stay: Duration) -> Result<()> {
    for _ in 0..times {
        call(libc::SYS_getppid, [0; 3], Some(libc::EPERM))?;
    }
    std::thread::sleep(stay);
    Ok(())
}

/// Reads zeros for `--ms`, and prints for how long it was in the calls.
pub(super) fn zeros(options: &Options) -> Result<()> {
    let zero = std::fs::File::open("/dev/zero")?;
    let mut buffer = vec![0; 1 << 20];
    let end = Instant::now() + options.duration();
    let mut in_calls = Duration::ZERO;
    while Instant::now() < end {
        in_calls += read_zeros(&zero, &mut buffer)?;
    }
    println!("in_calls_ns {}", in_calls.as_nanos());
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    println!("cpu_ns {}", cpu.tv_sec * 1_000_000_000 + cpu.tv_nsec);
    Ok(())
}

#[inline(never)]
fn read_zeros(zero: &std::fs::File, buffer: &mut [u8]) -> Result<Duration> {
    let begin = Instant::now();
    rustix::io::pread(zero, buffer, 0)?;
    Ok(begin.elapsed())
}

/// How often the handler ran.
static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
}

/// Is interrupted by `--signals` signals while it reads from an empty pipe; with `--restart 1`, the kernel makes the
/// call again each time. Then it reads a byte.
pub(super) fn interrupted(options: &Options) -> Result<()> {
    let signals = options.number("--signals", 100);
    let restart = options.number("--restart", 0) == 1;
    // SAFETY: an all-zero sigaction is valid, and the handler does nothing that a handler must not.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = if restart { libc::SA_RESTART } else { 0 };
        if libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) != 0 {
            return Err(Error::last_os_error());
        }
    }
    let (from, to) = std::io::pipe()?;
    let reader = gettid();
    let process = rustix::process::getpid();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for sent in 0..signals {
                // The reader has been back in its call for a while.
                std::thread::sleep(Duration::from_millis(5));
                // SAFETY: the thread lives as long as this scope.
                unsafe {
                    libc::syscall(
                        libc::SYS_tgkill,
                        process.as_raw_nonzero().get(),
                        reader.as_raw_nonzero().get(),
                        libc::SIGUSR1,
                    )
                };
                while SIGNALS.load(Ordering::SeqCst) == sent {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            std::thread::sleep(Duration::from_millis(5));
            let _ = rustix::io::write(&to, b"x");
        });
        let mut byte = [0];
        let (mut reads, mut interruptions) = (0, 0);
        loop {
            reads += 1;
            match rustix::io::read(&from, &mut byte) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => interruptions += 1,
                Err(error) => return Err(error.into()),
            }
        }
        println!("reads {reads}");
        println!("interrupted {interruptions}");
        println!("signals {}", SIGNALS.load(Ordering::SeqCst));
        Ok(())
    })
}
