//! Booting a kernel in QEMU and reading its serial console.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{cmd, setup};

const QEMU: &str = "qemu-system-x86_64";
/// What init prints before it turns the machine off, followed by the exit code of the trials.
pub(super) const VERDICT: &str = "ctprof-vm: trials ended with ";

/// A machine that prints nothing for so long hangs: a trial prints its name, and none takes half of it.
const SILENCE: Duration = Duration::from_secs(100);

/// How to run a machine.
#[derive(Clone)]
pub(crate) struct Options {
    /// Longest time that it may take.
    pub(crate) limit: Duration,
    /// Use the CPU's virtualisation instead of emulation. Never chosen by itself: a nested `/dev/kvm` may
    /// open and still not run a kernel.
    pub(crate) kvm: bool,
    /// Only what the whole test run tries on this kernel.
    pub(crate) selected: bool,
    /// Arguments for the test program.
    pub(crate) test_args: Vec<String>,
}

/// Fails where QEMU is not installed or the tests are for another architecture.
pub(crate) fn available() -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("the kernels of the matrix are for x86_64");
    }
    if cmd::find(QEMU).is_none() {
        bail!("{QEMU} is not installed; run `cargo xtask setup --only vm`");
    }
    Ok(())
}

/// Boots `kernel` with `initramfs`, and shows and returns what comes over the serial console. The first
/// part of the result is an error when the trials did not end well, or not in time.
pub(crate) fn boot(
    runner: &str,
    kernel: &Path,
    initramfs: &Path,
    options: &Options,
) -> Result<(Result<()>, String)> {
    let mut command = command(kernel, initramfs, options);
    let mut machine = command
        .spawn()
        .with_context(|| format!("cannot run `{}`", cmd::line(&command)))?;
    let mut output = String::new();
    let ended = console(runner, &mut machine, options.limit, &mut output);
    // It has ended, or must.
    let _ = machine.kill();
    let _ = machine.wait();
    let verdict = ended.and_then(|()| verdict(&output));
    Ok((verdict, output))
}

fn command(kernel: &Path, initramfs: &Path, options: &Options) -> Command {
    // A machine that hangs is to die at once.
    let mut line = "console=ttyS0 quiet panic=-1 reboot=t softlockup_panic=1 sysctl.kernel.panic_on_rcu_stall=1"
        .to_owned();
    let mut command = if setup::is_root() {
        // Whatever else the host runs makes the guest's clock jump: let it run less.
        let mut nice = Command::new("nice");
        nice.args(["-n", "-10", QEMU]);
        nice
    } else {
        Command::new(QEMU)
    };
    if options.kvm {
        command.args(["-accel", "kvm", "-cpu", "host"]);
    } else {
        // The kernel passes a variable that it does not know to init.
        line += " CTPROF_TEST_EMULATED=1";
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max"]);
    }
    if !options.test_args.is_empty() {
        line += &format!(" -- {}", options.test_args.join(" "));
    }
    command
        .args(["-smp", "2", "-m", "1G", "-nodefaults", "-no-reboot"])
        .args(["-display", "none", "-serial", "stdio", "-kernel"])
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", &line])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Copies the console to our output and into `output`, until the machine ends.
fn console(runner: &str, machine: &mut Child, limit: Duration, output: &mut String) -> Result<()> {
    let pipe = machine.stdout.take().context("QEMU has no output")?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left.min(SILENCE)) {
            Ok(line) => {
                println!("{runner}: {line}");
                output.push_str(&line);
                output.push('\n');
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) if left > SILENCE => {
                bail!("printed nothing for {SILENCE:?}")
            }
            Err(RecvTimeoutError::Timeout) => bail!("did not end within {limit:?}"),
        }
    }
}

fn verdict(output: &str) -> Result<()> {
    let code = output
        .lines()
        .find_map(|line| line.trim().strip_prefix(VERDICT))
        .context("the machine ended before the trials did")?;
    if code != "0" {
        bail!("the trials ended with {code}");
    }
    Ok(())
}
