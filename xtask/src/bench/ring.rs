//! Loads of many threads, in a process of their own that goes on while conditions take turns.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{cgroups, load};

/// Run threads until stdin ends. With cgroups, they pass a token around as often as each line of stdin says, and
/// print how long one hop took, in ns.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// So many threads.
    #[arg(long)]
    threads: usize,
    /// Each in one of these cgroups, on one CPU, in a ring; without, they only sleep.
    #[arg(long, value_name = "FOLDER")]
    cgroups: Option<PathBuf>,
}

/// Enough for what a thread does here.
const STACK_BYTES: usize = 32 * 1024;
const CPU: usize = 1;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let limit = getrlimit(Resource::Nofile);
    // Two pipe ends a thread.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
    match &args.cgroups {
        Some(folder) => ring(args.threads, folder)?,
        None => sleepers(args.threads)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn sleepers(count: usize) -> Result<()> {
    for _ in 0..count {
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(|| {
                loop {
                    std::thread::park();
                }
            })?;
    }
    println!("ready");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn ring(count: usize, folder: &Path) -> Result<()> {
    cgroups::enter(folder)?;
    // One thread alone would never switch.
    let threads = count.max(2);
    let (mut done, finished) = pipe()?;
    let (readers, mut writers): (Vec<_>, Vec<_>) = (0..threads)
        .map(|_| pipe())
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .unzip();
    let mut first = writers.first().context("no threads")?.try_clone()?;
    // Each reads from its own pipe and writes to the next one's.
    writers.rotate_left(1);
    let (ready, are_ready) = channel();
    for (number, (from, to)) in readers.into_iter().zip(writers).enumerate() {
        let (folder, ready) = (folder.to_owned(), ready.clone());
        let finished = finished.try_clone()?;
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || member(&folder, number % count, &ready, (from, to), finished))?;
    }
    drop(ready);
    for _ in 0..threads {
        are_ready.recv().context("a thread of the ring ended")??;
    }
    println!("ready");
    for line in std::io::stdin().lines() {
        let hops: u64 = line?.parse()?;
        let start = Instant::now();
        first.write_all(&hops.to_ne_bytes())?;
        done.read_exact(&mut [0])?;
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let ns = start.elapsed().as_nanos() as f64 / hops as f64;
        println!("{ns:.1}");
    }
    Ok(())
}

fn member(
    folder: &Path,
    cgroup: usize,
    ready: &Sender<Result<()>>,
    (mut from, mut to): (PipeReader, PipeWriter),
    mut finished: PipeWriter,
) -> Result<()> {
    let entered = cgroups::enter_with_thread(folder, cgroup).and_then(|()| load::bind(CPU));
    let _ = ready.send(entered);
    let mut token = [0; 8];
    loop {
        from.read_exact(&mut token)?;
        match u64::from_ne_bytes(token) {
            0 => finished.write_all(&[0])?,
            hops => to.write_all(&(hops - 1).to_ne_bytes())?,
        }
    }
}

/// Such a process, until it is dropped.
pub(super) struct Threads {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Threads {
    /// Starts so many threads, in cgroups or asleep, and waits until all are there.
    pub(super) fn start(threads: usize, folder: Option<&Path>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench-threads", "--threads", &threads.to_string()]);
        if let Some(folder) = folder {
            command.arg("--cgroups").arg(folder);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run the load")?;
        let answers = child.stdout.take().context("the load has no stdout")?;
        let mut this = Self {
            orders: child.stdin.take(),
            child,
            answers: BufReader::new(answers),
        };
        ensure!(this.answer()? == "ready", "the load did not begin");
        Ok(this)
    }

    /// Passes the token on so often; returns ns a hop.
    pub(super) fn hop(&mut self, hops: u64) -> Result<f64> {
        let orders = self.orders.as_mut().context("the load has ended")?;
        writeln!(orders, "{hops}").context("the load has ended")?;
        Ok(self.answer()?.parse()?)
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(!line.is_empty(), "the load ended");
        Ok(line.trim().to_owned())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.child.wait();
    }
}
