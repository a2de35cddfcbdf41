//! Programs of distributions, as they are installed: their native stacks reach the root.

use std::process::Command;
use std::time::Duration;

use super::super::output;
use super::{mostly, settle_ms};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::{Result, ensure, frequency, tolerance};

const PYTHON: &str = "
import time
time.sleep(SETTLE / 1000)
def leaf(n):
    return sum(sorted(range(n), key=lambda it: -it))
def outer(depth):
    return outer(depth - 1) if depth else leaf(300)
end = time.monotonic() + 3
while time.monotonic() < end:
    outer(10)
";

const NODE: &str = "
setTimeout(() => {
    function leaf(n) { let all = []; for (let i = 0; i < n; i++) all.push(JSON.stringify({ it: i })); return all.sort().length; }
    function outer(depth) { return depth ? outer(depth - 1) + 1 : leaf(300); }
    const end = Date.now() + 3000;
    while (Date.now() < end) outer(10);
}, SETTLE);
";

pub(super) fn python() -> Result {
    reaches_the_root("/usr/bin/python3", "-c", PYTHON, 2)
}

pub(super) fn node() -> Result {
    reaches_the_root("node", "-e", NODE, 12)
}

fn reaches_the_root(program: &str, option: &str, text: &str, patience: u64) -> Result {
    let cgroup = Cgroup::new("installed")?;
    let (_folder, dir) = output()?;
    // The largest of these programs has half a million rows, which take a build for debugging ten seconds.
    let settle = (settle_ms() * (1 + patience)).to_string();
    let mut command = Command::new(program);
    command.args([option, &text.replace("SETTLE", &settle)]);
    command.env_remove("LD_LIBRARY_PATH");
    let joined = cgroup.enclose(&mut command)?;
    let mut child = command.spawn()?;
    drop(joined);
    std::thread::sleep(Duration::from_millis(settle_ms()));
    let frequency = frequency().to_string();
    let args = ["--duration", "120s", "--frequency", &frequency];
    let mut ctprof = Ctprof::record(&dir, &args).cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    let status = child.wait()?;
    ensure!(status.success(), "{program} ended with {status}");
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    let stacks = recording.folded.container(cgroup.path()).state("on_cpu");
    let what = format!(
        "{program}, of all {}",
        recording.row(cgroup.path())?.value("stacks")
    );
    mostly(&what, &stacks, tolerance(0.98, 0.9), |frames| {
        let roots = [
            "main",
            "_start",
            "__libc_start_main",
            "__libc_start_call_main",
            "start_thread",
            "clone3",
            "__clone3",
        ];
        frames.iter().any(|frame| roots.contains(&frame.as_str()))
    })
}
