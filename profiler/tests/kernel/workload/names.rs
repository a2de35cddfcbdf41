//! What makes it hard to tell whose code runs.

use std::io::{Error, Result, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use super::Options;
use super::burn::burn;
use super::clock::now_ns;

/// `mov rax, rdi; dec rax; jnz -5; ret`: a loop of as many rounds as its argument says.
const LOOP: [u8; 9] = [0x48, 0x89, 0xf8, 0x48, 0xff, 0xc8, 0x75, 0xfb, 0xc3];
/// Rounds that take a few milliseconds.
const ROUNDS: u64 = 5_000_000;

/// As an entrypoint does: looks at a few things in child processes, then becomes the program that burns for `--ms`.
pub(super) fn becomes(options: &Options) -> Result<ExitCode> {
    for _ in 0..10 {
        // Has its own exec, as what a shell starts does.
        Command::new(std::env::current_exe()?)
            .args(["workload", "exit"])
            .status()?;
    }
    let milliseconds = options.number("--ms", 1000).to_string();
    let program = std::env::current_exe()?;
    let error = Command::new(program)
        .args(["workload", "burn", "--ms", &milliseconds])
        .exec();
    Err(error)
}

/// The first thread ends, another one burns on for `--ms` and ends the process.
pub(super) fn leaderless(options: &Options) {
    let milliseconds = options.number("--ms", 1000).to_string();
    let options = Options([("--ms".to_owned(), milliseconds)].into());
    std::thread::spawn(move || {
        let _ = burn(&options);
        // The runtime's own end waits for the first thread.
        let _ = std::io::stdout().flush();
        // SAFETY: ends the process; nothing after it is relied on.
        unsafe { libc::_exit(0) };
    });
    // SAFETY: ends this thread without taking its stack apart, on which nothing is that the other one uses.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// Starts a program that burns for 2 ms, over and over, for `--ms`.
pub(super) fn brief(options: &Options) -> Result<()> {
    let end = Instant::now() + options.duration();
    let mut count = 0;
    while Instant::now() < end {
        let args = ["workload", "burn", "--ms", "2"];
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).stdout(Stdio::null()).status()?;
        count += 1;
    }
    println!("started {count}");
    Ok(())
}

/// Maps two files with the same code in turn, at one address, and runs each for half of `--ms`.
pub(super) fn swapped(options: &Options) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("ctprof-swapped-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let result = ["first", "second"].iter().try_for_each(|name| {
        let path = folder.join(name);
        std::fs::write(&path, [&LOOP[..], &[0; 4096]].concat())?;
        let file = std::fs::File::open(path)?;
        // SAFETY: nothing else is at this address, far from what a program of this kind has.
        let code = unsafe {
            libc::mmap(
                0x10_0000_0000_usize as *mut libc::c_void,
                4096,
                libc::PROT_READ | libc::PROT_EXEC,
                libc::MAP_PRIVATE | libc::MAP_FIXED,
                std::os::fd::AsRawFd::as_raw_fd(&file),
                0,
            )
        };
        run_for(code, options.duration() / 2)
    });
    std::fs::remove_dir_all(&folder)?;
    result
}

fn run_for(code: *mut libc::c_void, duration: Duration) -> Result<()> {
    if code == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    // SAFETY: the code is `LOOP`, which keeps the rules of a function with one argument.
    let function: extern "C" fn(u64) = unsafe { std::mem::transmute(code) };
    let end = Instant::now() + duration;
    while Instant::now() < end {
        function(ROUNDS);
    }
    Ok(())
}

/// Has code of its own that a perf map describes, and a fork, without one, that runs it for `--ms`.
pub(super) fn inherited(options: &Options) -> Result<()> {
    let map = format!("/tmp/perf-{}.map", std::process::id());
    // SAFETY: a new mapping at an address of the kernel's choice, large enough for what is copied into it.
    let code = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        let code = libc::mmap(std::ptr::null_mut(), 4096, all, flags, -1, 0);
        if code == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        std::ptr::copy_nonoverlapping(LOOP.as_ptr(), code.cast(), LOOP.len());
        code
    };
    std::fs::write(
        &map,
        format!("{:x} {:x} compiled_loop\n", code as usize, LOOP.len()),
    )?;
    // SAFETY: there is one thread, and the child calls nothing that another one could have left locked.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let result = run_for(code, options.duration());
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(i32::from(result.is_err())) };
    }
    let mut status = 0;
    // SAFETY: waits for a child of ours and writes its status.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    std::fs::remove_file(map)?;
    Ok(())
}

/// 60,000 mappings, and 100 threads a second that each sleep three times, for `--ms`: to read the list of mappings for
/// each thread takes longer than they live.
pub(super) fn mappings(options: &Options) -> Result<()> {
    const PAGES: usize = 60_000;
    const PAGE: usize = 4096;
    // SAFETY: a new mapping at an address of the kernel's choice that nothing uses.
    let memory = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let length = PAGES * PAGE;
        libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, flags, -1, 0)
    };
    if memory == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    for page in (0..PAGES).step_by(2) {
        // SAFETY: a page of the mapping above, which nothing uses.
        unsafe {
            let executable = libc::PROT_READ | libc::PROT_EXEC;
            libc::mprotect(memory.byte_add(page * PAGE), PAGE, executable);
        }
    }
    println!("ready_ns {}", now_ns());
    std::io::stdout().flush()?;
    let end = Instant::now() + options.duration();
    while Instant::now() < end {
        std::thread::spawn(|| {
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
