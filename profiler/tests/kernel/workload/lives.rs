//! Threads and processes that are born and gone, and know when.

use std::hint::black_box;
use std::io::Result;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::clock::{Meter, Spent, now_ns};
use super::{Options, map};

/// What all threads of the process fight for.
static LOCK: Mutex<()> = Mutex::new(());

/// Starts `--threads` threads in `--ms`, at even distances, of which each lives for `--life` ms: it works for a
/// while, sleeps for `--nap` us, waits for a lock, over and over; a `--calm` one only sleeps. Prints the sums over all of them of what they know of themselves.
pub(super) fn threads(options: &Options) {
    let count = u32::try_from(options.number("--threads", 10)).unwrap_or(u32::MAX);
    let life = Duration::from_millis(options.number("--life", 1000));
    let hops = options.number("--hops", 0) != 0;
    let calm = options.number("--calm", 0) != 0;
    let nap = Duration::from_micros(options.number("--nap", 700));
    let apart = options.duration() / count.max(1);
    let start = Instant::now();
    let threads: Vec<JoinHandle<(u64, Spent)>> = (0..count)
        .map(|number| {
            std::thread::sleep((apart * number).saturating_sub(start.elapsed()));
            let born_ns = now_ns();
            std::thread::spawn(move || {
                let meter = Meter::begin();
                if calm {
                    std::thread::sleep(life);
                } else {
                    live(life, nap, hops);
                }
                let spent = meter.end();
                (now_ns() - born_ns, spent)
            })
        })
        .collect();
    let (mut lived_ns, mut spent) = (0, Spent::default());
    for thread in threads {
        if let Ok((lived, its)) = thread.join() {
            lived_ns += lived;
            spent += its;
        }
    }
    println!("threads {count}");
    println!("lived_ns {lived_ns}");
    println!("cpu_ns {}", spent.cpu_ns);
    println!("delay_ns {}", spent.delay_ns);
}

/// Some of everything. `hops` changes the CPU now and then.
fn live(life: Duration, nap: Duration, hops: bool) {
    let end = Instant::now() + life;
    let mut round = 0_usize;
    while Instant::now() < end {
        work(Duration::from_micros(300));
        std::thread::sleep(nap);
        if let Ok(guard) = LOCK.lock() {
            work(Duration::from_micros(50));
            drop(guard);
        }
        std::thread::yield_now();
        round += 1;
        if hops {
            // A CPU that is not there is no reason to stop.
            let _ = super::bind(round % 2);
        }
    }
}

/// Keeps the CPU for so long.
pub(super) fn work(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        black_box(());
    }
}

/// What the processes of a fork bomb have in common.
struct Shared {
    born: AtomicU64,
    refused: AtomicU64,
    lived_ns: AtomicU64,
}

/// Every process forks as fast as it can and lives for some ms, until `--ms` are over. Prints how many were born
/// beside the first one, how many births were refused, and the sum of the lifetimes.
pub(super) fn forks(options: &Options) -> Result<()> {
    // SAFETY: a page of zeros is a valid `Shared`, larger than one, and never unmapped.
    let shared = unsafe {
        let memory = map(1)?;
        // Shared with the children, unlike what `map` gives.
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(memory.cast(), super::PAGE, protection, flags, -1, 0);
        &*memory.cast::<Shared>()
    };
    let end = Instant::now() + options.duration();
    let mut born_ns = now_ns();
    let mut generation = 0_u64;
    while Instant::now() < end {
        let before_ns = now_ns();
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            0 => {
                generation += 1;
                born_ns = before_ns;
                shared.born.fetch_add(1, Ordering::Relaxed);
            }
            -1 => {
                shared.refused.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
        reap(libc::WNOHANG);
        // Half of the population ends soon, whoever it is: room for others.
        if generation > 0 && now_ns() - born_ns > 3_000_000 && (now_ns() / 1000).is_multiple_of(2) {
            break;
        }
    }
    if generation > 0 {
        let lived_ns = now_ns() - born_ns;
        shared.lived_ns.fetch_add(lived_ns, Ordering::Relaxed);
        // SAFETY: ends the process; nothing of it is needed.
        unsafe { libc::_exit(0) };
    }
    // Orphans are reaped by others: they are gone when the cgroup is empty, not here.
    while reap(0) {}
    std::thread::sleep(Duration::from_millis(100));
    for (name, value) in [
        ("born", &shared.born),
        ("refused", &shared.refused),
        ("lived_ns", &shared.lived_ns),
    ] {
        println!("{name} {}", value.load(Ordering::Relaxed));
    }
    Ok(())
}

/// Takes in a child that has ended; false when there is none.
fn reap(flags: i32) -> bool {
    // SAFETY: no status is wanted.
    unsafe { libc::waitpid(-1, std::ptr::null_mut(), flags) > 0 }
}

/// Sleeps for `--ms` and says that it was not ended before. A `--deaf` one ignores what asks it to end.
pub(super) fn outlives(options: &Options) {
    if options.number("--deaf", 0) != 0 {
        for signal in [libc::SIGINT, libc::SIGTERM] {
            // SAFETY: no handler is installed: the signal is ignored.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    }
    println!("ready");
    std::thread::sleep(options.duration());
    println!("ended by itself");
}

/// Leaves two daemons that [outlive](outlives) it, each in a session of its own, one of them deaf.
pub(super) fn leaves(options: &Options) -> Result<()> {
    let ms = options.number("--ms", 1000).to_string();
    for deaf in ["0", "1"] {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["workload", "outlives", "--ms", &ms, "--deaf", deaf]);
        // SAFETY: setsid(2) is async-signal-safe.
        unsafe { command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?)) };
        command.spawn()?;
    }
    Ok(())
}

/// Waits until nobody can write to its standard input any more, then runs the workload `--args` as a child and ends as it
/// does. With `--above` 1, all that is done by a child that it has at once.
pub(super) fn parent(options: &Options) -> Result<ExitCode> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("workload");
    if options.number("--above", 0) == 0 {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        command.args(options.text("--args").split(' '));
    } else {
        command.args(["parent", "--args", options.text("--args")]);
    }
    Ok(if command.status()?.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
