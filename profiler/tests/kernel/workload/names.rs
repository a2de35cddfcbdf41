//! What makes it hard to tell whose code runs.

use std::io::{Error, Result, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use super::burn::burn;
use super::clock::now_ns;
use super::{Options, PAGE};

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

/// Starts a program that burns for 2 ms, over and over, for `--ms`: from two threads 500 times a second, if there are CPUs
/// for that.
pub(super) fn brief(options: &Options) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("ctprof-brief-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let path = folder.join("spins");
    std::fs::write(&path, spins(rounds_in(Duration::from_millis(2))?))?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
    let end = Instant::now() + options.duration();
    let spawner = |path: PathBuf| move || spawn_until(&path, end);
    let threads = [(); 2].map(|()| std::thread::spawn(spawner(path.clone())));
    let mut started = 0;
    for thread in threads {
        started += thread
            .join()
            .map_err(|_| Error::other("a thread panicked"))??;
    }
    std::fs::remove_dir_all(folder)?;
    println!("started {started}");
    Ok(())
}

/// Runs the program every 4 ms; how often it did. The standard library spawns as vfork does: nothing is copied.
fn spawn_until(path: &Path, end: Instant) -> Result<u64> {
    const EVERY: Duration = Duration::from_millis(4);
    let (mut next, mut started) = (Instant::now(), 0);
    while next < end {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next = (next + EVERY).max(Instant::now());
        if !Command::new(path).status()?.success() {
            return Err(Error::other("the program does not run"));
        }
        started += 1;
    }
    Ok(started)
}

/// Rounds of [`LOOP`] that take this long here.
fn rounds_in(time: Duration) -> Result<u64> {
    // SAFETY: a new mapping at an address of the kernel's choice, large enough for what is copied into it.
    let code = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        let code = libc::mmap(std::ptr::null_mut(), PAGE, all, flags, -1, 0);
        if code == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        std::ptr::copy_nonoverlapping(LOOP.as_ptr(), code.cast(), LOOP.len());
        code
    };
    // SAFETY: the code is `LOOP`, which keeps the rules of a function with one argument.
    let function: extern "C" fn(u64) = unsafe { std::mem::transmute(code) };
    // The shortest is the one in which nobody else ran.
    let shortest = (0..5).map(|_| {
        let begin = Instant::now();
        function(ROUNDS);
        begin.elapsed()
    });
    let shortest = shortest.min().unwrap_or_default().as_nanos().max(1);
    Ok((u128::from(ROUNDS) * time.as_nanos() / shortest) as u64)
}

/// A program of one page, without libraries, that counts down from `rounds` and exits: it starts in a tenth of a
/// millisecond.
fn spins(rounds: u64) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    // mov rax, rounds; dec rax; jnz -5; mov eax, SYS_exit; xor edi, edi; syscall
    let mut code = vec![0x48, 0xb8];
    code.extend(rounds.to_le_bytes());
    code.extend([0x48, 0xff, 0xc8, 0x75, 0xfb]);
    code.extend([0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]);
    let length = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |value: u16| value.to_le_bytes().to_vec();
    let word = |value: u32| value.to_le_bytes().to_vec();
    let long = |value: u64| value.to_le_bytes().to_vec();
    let header = [
        // ET_EXEC, EM_X86_64, EV_CURRENT; entry, program headers, no sections.
        [half(2), half(62), word(1)].concat(),
        [long(BASE + HEADERS), long(64), long(0), word(0)].concat(),
        [half(64), half(56), half(1), half(64), half(0), half(0)].concat(),
        // PT_LOAD, readable and executable, all of the file.
        [word(1), word(5), long(0), long(BASE), long(BASE)].concat(),
        [long(length), long(length), long(0x1000)].concat(),
    ];
    file.extend(header.concat());
    file.extend(code);
    file
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
