//! The programs whose truth is known: `kernel workload NAME [--option value]…`.
//!
//! A workload prints what it knows of itself, a name and a number a line.
//!
//! - `clock`: a thread's own account of its time
//! - `burn`: busy threads
//! - `block`: threads that sleep for one reason
//! - `calls`: known system calls with known results
//! - `compiled`: code of its own, and a perf map that takes long to read
//! - `deep`: recursion of a known depth
//! - `events`: page faults, context switches, migrations
//! - `lives`: threads and processes that are born and gone
//! - `moved`: for whoever moves, stops or freezes it; processes that replace their program
//! - `names`: what makes it hard to tell whose code runs
//! - `operations`: what isolation makes dearer
//! - `orders`: units of work in functions of known cost
//! - `paced`: threads that want the CPU at known moments
//! - `policy`: scheduling policies

mod block;
mod burn;
mod calls;
mod clock;
mod compiled;
mod deep;
mod events;
mod lives;
mod moved;
mod names;
mod operations;
mod orders;
mod paced;
mod policy;

use std::collections::HashMap;
use std::io::Result;
use std::process::ExitCode;
use std::time::Duration;

use clock::Meter;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Size of a page on every architecture that the tests run on.
const PAGE: usize = 4096;

/// What stands behind the name.
struct Options(HashMap<String, String>);

impl Options {
    /// A number; `default` if it is not given.
    fn number(&self, name: &str, default: u64) -> u64 {
        let value = self.0.get(name);
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    }

    /// A text; empty if it is not given.
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// `--ms`, a second if it is not given.
    fn duration(&self) -> Duration {
        Duration::from_millis(self.number("--ms", 1000))
    }
}

/// Runs the workload that `args` names. `--join` has any of them join the cgroup with this folder, `--at` has it begin
/// at this moment of the monotonic clock, in ns, and `--cpu` binds it to a CPU from then on until its work is done:
/// starting and ending take an emulated CPU long, and are not what several that compete for one are about.
pub(crate) fn main(mut args: impl Iterator<Item = String>) -> ExitCode {
    let name = args.next().unwrap_or_default();
    let mut options = HashMap::new();
    while let (Some(name), Some(value)) = (args.next(), args.next()) {
        options.insert(name, value);
    }
    let options = Options(options);
    match run(&name, &options) {
        Ok(code) => code,
        Err(error) => {
            println!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, options: &Options) -> Result<ExitCode> {
    if options.0.contains_key("--join") {
        std::fs::write(format!("{}/cgroup.procs", options.text("--join")), "0")?;
    }
    let begin_ns = options.number("--at", 0);
    std::thread::sleep(Duration::from_nanos(
        begin_ns.saturating_sub(clock::now_ns()),
    ));
    if !options.0.contains_key("--cpu") {
        return work(name, options);
    }
    let all = sched_getaffinity(None)?;
    let meter = Meter::begin();
    bind(usize::try_from(options.number("--cpu", 0)).unwrap_or_default())?;
    let result = work(name, options);
    sched_setaffinity(None, &all)?;
    // What its threads waited for they have told.
    println!("delay_ns {}", meter.end().delay_ns);
    result
}

fn work(name: &str, options: &Options) -> Result<ExitCode> {
    match name {
        "burn" => burn::burn(options)?,
        "sleep" => std::thread::sleep(options.duration()),
        "exit" => {
            let code = options.number("--code", 0);
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
        }
        "compiled" => compiled::compiled(options)?,
        "deep" => deep::deep(options),
        "events" => events::events(options)?,
        "calls" => calls::calls(options)?,
        "spread" => calls::spread(options)?,
        "refused" => calls::refused(options)?,
        "zeros" => calls::zeros(options)?,
        "interrupted" => calls::interrupted(options)?,
        "block" => block::block(options)?,
        "lives" => lives::threads(options),
        "outlives" => lives::outlives(options),
        "leaves" => {
            lives::leaves(options)?;
            let code = options.number("--code", 0);
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
        }
        "forks" => lives::forks(options)?,
        "parent" => return lives::parent(options),
        "moved" => moved::moved(options),
        "exec" => moved::exec(options)?,
        "becomes" => return names::becomes(options),
        "leaderless" => names::leaderless(options),
        "brief" => names::brief(options)?,
        "swapped" => names::swapped(options)?,
        "mappings" => names::mappings(options)?,
        "inherited" => names::inherited(options)?,
        "operations" => operations::operations(options)?,
        "echo" => operations::echo(options)?,
        "orders" => orders::orders(options)?,
        "paced" => paced::paced(options),
        _ => {
            println!("no workload called {name:?}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the calling thread, and those that it starts, run on this CPU alone.
fn bind(cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    Ok(sched_setaffinity(None, &cpus)?)
}

/// So many pages of new memory that nothing has touched.
fn map(pages: usize) -> Result<*mut u8> {
    // SAFETY: a private anonymous mapping at an address of the kernel's choice touches nothing that exists.
    let memory = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(std::ptr::null_mut(), pages * PAGE, protection, flags, -1, 0)
    };
    if memory == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error());
    }
    // One fault a page, whatever the machine's policy on huge ones.
    // SAFETY: the range is the mapping above, and only advised on.
    unsafe { libc::madvise(memory, pages * PAGE, libc::MADV_NOHUGEPAGE) };
    Ok(memory.cast())
}
