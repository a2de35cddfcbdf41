//! Code that a program has compiled for itself, and a perf map of it that takes long to read.

use std::fs::File;
use std::io::{BufWriter, Error, Result, Write};
use std::time::{Duration, Instant};

use super::clock::now_ns;
use super::{Options, PAGE};

/// `mov eax, SYS_nanosleep; syscall; ret`: sleeps, in the program's own code, for as long as its argument says.
const SLEEP: [u8; 8] = [0xb8, 35, 0, 0, 0, 0x0f, 0x05, 0xc3];

/// How often another function is written down: a compiler never quite comes to its end.
const EVERY: Duration = Duration::from_millis(100);

/// Sleeps for `--sleep-ms`, again and again for `--ms`, on each of `--threads` threads, in code that the very first line of
/// a perf map of `--map-mb` MB names. The map grows meanwhile.
pub(super) fn compiled(options: &Options) -> Result<()> {
    let code = code()?;
    let path = format!("/tmp/perf-{}.map", std::process::id());
    let result = write(&path, code, options.number("--map-mb", 1) << 20)
        .and_then(|map| sleep(options, code, map));
    let _ = std::fs::remove_file(path);
    result
}

/// The address of [`SLEEP`] in memory of no file.
fn code() -> Result<usize> {
    // SAFETY: a new mapping at an address of the kernel's choice, large enough for what is copied into it.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        let code = libc::mmap(std::ptr::null_mut(), PAGE, all, flags, -1, 0);
        if code == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        std::ptr::copy_nonoverlapping(SLEEP.as_ptr(), code.cast(), SLEEP.len());
        Ok(code as usize)
    }
}

fn write(path: &str, code: usize, length: u64) -> Result<BufWriter<File>> {
    let mut map = BufWriter::new(File::create(path)?);
    writeln!(map, "{code:x} {:x} compiled_sleep", SLEEP.len())?;
    for number in 0..length / 32 {
        writeln!(map, "{:x} 10 another_function", 0x10_0000 + number * 0x10)?;
    }
    map.flush()?;
    Ok(map)
}

fn sleep(options: &Options, code: usize, mut map: BufWriter<File>) -> Result<()> {
    // SAFETY: the code is `SLEEP`, which keeps the rules of a function with two arguments.
    let function: extern "C" fn(*const libc::timespec, usize) -> i64 =
        unsafe { std::mem::transmute(code) };
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: i64::try_from(options.number("--sleep-ms", 10) * 1_000_000).unwrap_or_default(),
    };
    println!("ready_ns {}", now_ns());
    std::io::stdout().flush()?;
    let end = Instant::now() + options.duration();
    std::thread::scope(|scope| {
        for _ in 0..options.number("--threads", 1) {
            scope.spawn(|| {
                while Instant::now() < end {
                    function(&raw const time, 0);
                }
            });
        }
        while Instant::now() < end {
            std::thread::sleep(EVERY);
            writeln!(map, "ffff0000 10 another_function")?;
            map.flush()?;
        }
        Ok(())
    })
}
