//! Page faults, context switches and migrations in known numbers.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};

/// Size of a page on every architecture that the tests run on.
const PAGE: usize = 4096;

use super::Options;

/// `--faults` pages touched for the first time, `--switches` sleeps, `--migrations` moves to the other CPU. Prints
/// the kernel's own account of the process (`getrusage`).
pub(super) fn events(options: &Options) {
    touch(usize::try_from(options.number("--faults", 0)).unwrap_or_default());
    for _ in 0..options.number("--switches", 0) {
        std::thread::sleep(Duration::from_micros(20));
    }
    for number in 0..options.number("--migrations", 0) {
        let mut cpus = CpuSet::new();
        cpus.set(usize::from(number % 2 == 0));
        if let Err(error) = sched_setaffinity(None, &cpus) {
            println!("cannot move: {error}");
        }
    }
    let usage = usage();
    println!("faults {}", usage.ru_minflt + usage.ru_majflt);
    println!("switches {}", usage.ru_nvcsw + usage.ru_nivcsw);
}

fn touch(pages: usize) {
    // SAFETY: a private anonymous mapping at an address of the kernel's choice touches nothing that exists.
    let memory = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(
            std::ptr::null_mut(),
            pages * PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return;
    }
    // One fault a page, whatever the machine's policy on huge ones.
    // SAFETY: the range is the mapping above, and only advised on.
    unsafe { libc::madvise(memory, pages * PAGE, libc::MADV_NOHUGEPAGE) };
    for page in 0..pages {
        // SAFETY: inside of the mapping, which nobody else knows.
        unsafe { memory.cast::<u8>().add(page * PAGE).write_volatile(1) };
    }
}

fn usage() -> libc::rusage {
    // SAFETY: an all-zero rusage is valid, and getrusage fills it.
    unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    }
}
