//! Threads that sleep for one reason, for a time that they measure themselves.
//!
//! The main thread is the subject. Whatever else it takes to make it sleep and wake up is done by helpers, which
//! sleep in `nanosleep` meanwhile.

mod calls;
mod children;
mod fanotify;
mod fault;
mod files;
mod frozen;
mod fuse;
mod kernel_files;
mod locks;
mod queues;
mod restarts;
mod signals;
mod supervised;
mod traced;
mod uring;

use std::time::Duration;

use super::Options;
use super::clock::{Meter, Spent};

/// How often and how long to sleep.
#[derive(Clone, Copy)]
struct Pace {
    times: u32,
    each: Duration,
}

impl Pace {
    /// Calls `act` once for each time, each after a sleep.
    fn follow(self, mut act: impl FnMut()) {
        for _ in 0..self.times {
            std::thread::sleep(self.each);
            act();
        }
    }

    fn total(self) -> Duration {
        self.each * self.times
    }
}

/// Sleeps as `--how` says, `--times` times for `--each` ms. Prints, by its own account, `blocked_ns`: how long it has slept
/// for that reason, `rest_ns`: for others, such as helpers that come late to their ends, and `waited_ns`: how long it waited for a CPU meanwhile.
pub(super) fn block(options: &Options) -> std::io::Result<()> {
    let pace = Pace {
        times: u32::try_from(options.number("--times", 20)).unwrap_or(u32::MAX),
        each: Duration::from_millis(options.number("--each", 50)),
    };
    let path = options.text("--path");
    let all = Meter::begin();
    let spent = match options.text("--how") {
        "sleep" => calls::sleep(pace),
        "signal" => calls::signal(pace),
        "pipe" => calls::pipe(pace)?,
        "message" => calls::message(pace)?,
        "poll" => calls::poll(pace)?,
        "select" => calls::select(pace)?,
        "epoll" => calls::epoll(pace)?,
        "recv" => calls::recv(pace)?,
        "socket-read" => calls::socket_read(pace)?,
        "accept" => calls::accept(pace)?,
        "fifo-open" => kernel_files::fifo_open(pace)?,
        "eventfd" => kernel_files::eventfd(pace)?,
        "inotify" => kernel_files::inotify(pace)?,
        "terminal" => kernel_files::terminal(pace)?,
        "trace" => kernel_files::trace(path, pace)?,
        "splice" => kernel_files::splice(pace)?,
        "uring" => uring::pipe_read(pace, uring::By::Caller)?,
        "uring-worker" => uring::pipe_read(pace, uring::By::Worker)?,
        "uring-poller" => uring::pipe_read(pace, uring::By::Poller)?,
        "restarts" => restarts::wait(pace),
        "frozen" => frozen::wait(pace)?,
        "tracee" => traced::tracee(pace)?,
        "tracer" => traced::tracer(pace)?,
        "fanotify" => fanotify::calls(pace)?,
        "supervised" => supervised::calls(pace)?,
        how if how.starts_with("fuse-") => fuse::calls(how, pace)?,
        "mq-receive" => queues::receives(pace)?,
        "mq-send" => queues::sends(pace)?,
        "semaphore" => queues::semaphore(pace)?,
        "pause" => signals::pause(pace)?,
        "signalfd" => signals::signalfd(pace)?,
        "timerfd" => signals::timerfd(pace)?,
        "futex" => locks::futex(pace),
        "futex-waitv" => locks::futex_waitv(pace),
        "membarrier" => locks::barrier(pace),
        "lease" => locks::lease(pace)?,
        "mutex" => locks::mutex(pace),
        "flock" => locks::flock(pace)?,
        "record-lock" => locks::record_lock(pace)?,
        "child" => children::wait(pace)?,
        "vfork" => children::vfork(pace)?,
        "pidfd" => children::by_descriptor(pace, false)?,
        "pidfd-poll" => children::by_descriptor(pace, true)?,
        "fault" => fault::user(pace)?,
        "fault-handler" => fault::handler(pace)?,
        "file-fault" => files::fault(path, pace)?,
        "fsync" => files::fsync(path, pace)?,
        "direct-read" => files::direct_read(path, pace)?,
        how => {
            println!("no way to block called {how:?}");
            Spent::default()
        }
    };
    println!("blocked_ns {}", spent.blocked_ns());
    let rest_ns = all.end().blocked_ns().saturating_sub(spent.blocked_ns());
    println!("rest_ns {rest_ns}");
    println!("waited_ns {}", spent.delay_ns);
    println!("wall_ns {}", spent.wall_ns);
    Ok(())
}

/// The error of the last system call, if it said -1.
fn check(result: impl Into<i64>) -> std::io::Result<i64> {
    match result.into() {
        -1 => Err(std::io::Error::last_os_error()),
        value => Ok(value),
    }
}
