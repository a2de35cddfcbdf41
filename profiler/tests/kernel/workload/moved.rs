//! Processes that others move, stop and freeze, and processes that replace their program.

use std::io::{Result, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use super::Options;
use super::clock::now_ns;
use super::lives::work;

/// A busy and a sleeping thread beside a main thread that waits for them. Prints their numbers, and when
/// they began, at once.
pub(super) fn moved(options: &Options) {
    let duration = options.duration();
    std::thread::scope(|scope| {
        for act in [work, std::thread::sleep] {
            let (sender, number) = std::sync::mpsc::channel();
            scope.spawn(move || {
                // Nobody waits for it in vain.
                let _ = sender.send((rustix::thread::gettid(), now_ns()));
                act(duration);
            });
            if let Ok((tid, began_ns)) = number.recv() {
                println!("tid {}", tid.as_raw_nonzero());
                println!("began_ns {began_ns}");
            }
        }
    });
}

/// After `--ms`, replaces the program by one that sleeps as long again: from the first thread, or with `--other 1`
/// from another one while the first one and a third sleep. Prints when each thread began and when all but one ended.
pub(super) fn exec(options: &Options) -> Result<()> {
    let replace = || {
        std::thread::sleep(options.duration());
        println!("exec_ns {}", now_ns());
        let _ = std::io::stdout().flush();
        let milliseconds = options.number("--ms", 1000).to_string();
        let program = std::env::current_exe();
        program.map(|program| {
            Command::new(program)
                .args(["workload", "sleep", "--ms", &milliseconds])
                .exec()
        })
    };
    if options.number("--other", 0) == 0 {
        return replace().and_then(Err);
    }
    std::thread::scope(|scope| {
        println!("born_ns {}", now_ns());
        scope.spawn(|| std::thread::sleep(Duration::from_secs(60)));
        println!("born_ns {}", now_ns());
        scope.spawn(replace);
        std::thread::sleep(Duration::from_secs(60));
    });
    Ok(())
}
