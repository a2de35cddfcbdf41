//! What a seccomp filter costs a system call on this host: measured, because a timer's samples fall short of it. Behind the
//! slow way into the kernel, whatever comes next is slower as well, and has no function of seccomp's on its stack.

use std::hint::black_box;
use std::io::{Error, Result};
use std::sync::mpsc::{Receiver, Sender, channel};

use libc::{c_ulong, sock_filter, sock_fprog};
use rustix::time::{ClockId, clock_gettime};

use crate::seccomp::{Rule, When, program};

/// Calls of a round, which takes a few milliseconds: the shortest of many is that which nobody disturbed.
const CALLS: u32 = 20_000;
const ROUNDS: u32 = 30;

/// What a filter adds to each call, in ns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallCost {
    /// Where the kernel knows the answer from the number alone, and the filter does not run.
    pub answered: f64,
    /// Where a short filter runs, for it asks for an argument.
    pub filtered: f64,
}

/// Measures it, in about a third of a second, on threads of its own: a filter is a thread's.
///
/// # Errors
/// The kernel takes no filter.
pub fn seccomp() -> Result<CallCost> {
    let rule = |number, when| Rule {
        number,
        when,
        error: libc::EPERM,
    };
    let answered = program(&[rule(libc::SYS_acct, When::Always)]);
    let filtered = program(&[rule(libc::SYS_getppid, When::Is(0, 0x7fff_ffff))]);
    std::thread::scope(|scope| {
        // In turns, so that all have the machine as it is at that moment.
        let [free, answered, filtered] = [None, Some(answered), Some(filtered)].map(|filter| {
            let (ask, asked) = channel();
            let (answer, answers) = channel();
            scope.spawn(move || rounds(filter.as_deref(), &asked, &answer));
            (ask, answers)
        });
        let mut least = [f64::INFINITY; 3];
        for _ in 0..ROUNDS {
            for (least, (ask, answers)) in least.iter_mut().zip([&free, &answered, &filtered]) {
                let gone = |_| Error::other("its thread ended");
                ask.send(()).map_err(|_| Error::other("its thread ended"))?;
                *least = least.min(answers.recv().map_err(gone)??);
            }
        }
        let [free, answered, filtered] = least;
        Ok(CallCost {
            answered: (answered - free).max(0.0),
            filtered: (filtered - free).max(0.0),
        })
    })
}

/// Answers each question with what a call took, in ns.
fn rounds(filter: Option<&[sock_filter]>, asked: &Receiver<()>, answer: &Sender<Result<f64>>) {
    let mut installed = filter.map_or(Ok(()), install);
    while asked.recv().is_ok() {
        let result = std::mem::replace(&mut installed, Ok(())).map(|()| a_call());
        if answer.send(result).is_err() {
            return;
        }
    }
}

fn a_call() -> f64 {
    let begin = cpu_ns();
    for _ in 0..CALLS {
        let _ = black_box(rustix::process::getppid());
    }
    cpu_ns().saturating_sub(begin) as f64 / f64::from(CALLS)
}

fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// Gives the calling thread this filter.
fn install(filter: &[sock_filter]) -> Result<()> {
    let program = sock_fprog {
        len: u16::try_from(filter.len()).map_err(Error::other)?,
        filter: filter.as_ptr().cast_mut(),
    };
    let (on, none): (c_ulong, c_ulong) = (1, 0);
    // SAFETY: it changes a flag of the calling thread alone.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, on, none, none, none) } != 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the kernel copies the program, which lives until then, and has it run for the calling thread alone.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            none,
            &raw const program,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_filter_costs_something() {
        // A sandbox may take no filters.
        if let Ok(cost) = super::seccomp() {
            assert!(cost.filtered > 0.0 && cost.filtered < 100_000.0, "{cost:?}");
            assert!(cost.answered < 100_000.0, "{cost:?}");
        }
    }
}
