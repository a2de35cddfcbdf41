//! Page faults, context switches and migrations in known numbers.

use std::io::Result;
use std::time::Duration;

use super::{Options, PAGE, bind, map};

/// `--faults` pages touched for the first time, `--switches` sleeps, `--migrations` moves to the other CPU. Prints
/// the kernel's own account of the process (`getrusage`).
pub(super) fn events(options: &Options) -> Result<()> {
    let pages = usize::try_from(options.number("--faults", 0)).unwrap_or_default();
    if pages > 0 {
        let memory = map(pages)?;
        for page in 0..pages {
            // SAFETY: inside of the mapping, which nobody else knows.
            unsafe { memory.add(page * PAGE).write_volatile(1) };
        }
    }
    for _ in 0..options.number("--switches", 0) {
        std::thread::sleep(Duration::from_micros(20));
    }
    for number in 0..options.number("--migrations", 0) {
        bind(usize::from(number % 2 == 0))?;
    }
    let usage = usage();
    println!("faults {}", usage.ru_minflt + usage.ru_majflt);
    println!("switches {}", usage.ru_nvcsw + usage.ru_nivcsw);
    Ok(())
}

fn usage() -> libc::rusage {
    // SAFETY: an all-zero rusage is valid, and getrusage fills it.
    unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    }
}
