//! Options that choose what is measured: none of them changes a total.

use libtest_mimic::Trial;

use super::output;
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::privileged;
use crate::harness::program::Program;
use crate::harness::recording::Recording;
use crate::harness::{Result, ensure};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("options::the_ledger_alone", no_stacks),
        privileged("options::stacks_of_one_state", one_state),
        privileged("options::short_sleeps_lose_their_stacks", min_block),
        privileged("options::throttled_time_that_cannot_be_told", no_throttle),
        privileged("options::clocks_of_older_kernels", older_clocks),
    ]
}

/// Records a program with these options.
fn record(options: &[&str], quota: Option<f64>, program: &[&str]) -> Result<(Cgroup, Recording)> {
    let cgroup = Cgroup::new("options")?;
    if let Some(cores) = quota {
        cgroup.limit(cores)?;
    }
    let (_folder, dir) = output()?;
    let args = [&["--duration", "120s"], options].concat();
    let mut ctprof = Ctprof::record(&dir, &args).cgroup(&cgroup).start()?;
    ctprof.wait_until_attached()?;
    Program::start(Some(&cgroup), program)?.end()?;
    let recording = ctprof.stop(&dir)?;
    recording.check()?;
    Ok((cgroup, recording))
}

fn no_stacks() -> Result {
    let paced = ["paced", "--work", "2000", "--sleep", "2000", "--ms", "1500"];
    let (cgroup, recording) = record(&["--no-stacks"], None, &paced)?;
    let row = recording.row(cgroup.path())?;
    ensure!(recording.samples() == 0, "samples without stacks");
    let folded = &recording.folded;
    let stackless = folded.matching(|frame| ["[no stack]", "[not sampled]"].contains(&frame));
    ensure!(stackless == folded.total(), "stacks without stacks");
    row.agrees_with_usage()?;
    let slept = row.ns("blocked_sleep")?;
    ensure!(slept > 300_000_000, "slept {slept} ns: {}", row.describe());
    ensure!(!row.is_available("counters"), "counters without stacks");
    Ok(())
}

/// More threads than CPUs: most wait, and only what waits has stacks.
fn one_state() -> Result {
    let burn = ["burn", "--threads", "6", "--ms", "1500"];
    let (_cgroup, recording) = record(&["--state", "run-queue"], None, &burn)?;
    let folded = &recording.folded;
    let waited = folded.state("run_queue");
    ensure!(
        waited.total() > 1_500_000_000,
        "{} ns waited",
        waited.total()
    );
    // The first waits of its threads began before they had left a CPU.
    let unknown = waited.matching(|frame| frame.starts_with('['));
    ensure!(
        unknown * 10 < waited.total(),
        "{unknown} of {} ns waited without a stack",
        waited.total()
    );
    let ran = folded.state("on_cpu");
    ensure!(
        ran.total() > 0 && ran.with("[not sampled]") == ran.total(),
        "on-CPU stacks that nobody wanted"
    );
    Ok(())
}

fn min_block() -> Result {
    let paced = ["paced", "--work", "2000", "--sleep", "2000", "--ms", "1500"];
    for (least, short) in [("500ms", true), ("0", false)] {
        let (_cgroup, recording) = record(&["--min-block", least], None, &paced)?;
        let slept = recording.folded.state("blocked_sleep");
        let stackless = slept.with("[shorter than --min-block]");
        let expected = if short { slept.total() } else { 0 };
        ensure!(slept.total() > 300_000_000, "slept {} ns", slept.total());
        ensure!(
            stackless == expected,
            "--min-block {least}: {stackless} of {} ns slept without a stack",
            slept.total()
        );
    }
    Ok(())
}

fn no_throttle() -> Result {
    let burn = ["burn", "--threads", "3", "--ms", "1500"];
    let (cgroup, recording) = record(&["--throttle", "none"], Some(0.3), &burn)?;
    let row = recording.row(cgroup.path())?;
    ensure!(row.ns("throttled").is_err(), "a number nobody measured");
    ensure!(
        !row.is_available("throttled"),
        "nobody says that it is missing"
    );
    // It shows where it went.
    let (waited, stopped) = (row.ns("run_queue")?, row.number("cfs/throttled_ns")?);
    ensure!(
        waited >= stopped,
        "waited {waited} ns, stopped for {stopped} ns"
    );
    Ok(())
}

/// Three threads on two CPUs: while a CPU's queue is stopped, one or two of them are on it, all three where others have the
/// other CPU.
fn older_clocks() -> Result {
    let burn = ["burn", "--threads", "3", "--ms", "2500"];
    for way in ["queue", "pelt"] {
        if way == "queue" && !keeps_the_time()? {
            continue;
        }
        let (cgroup, recording) = record(&["--throttle", way], Some(0.3), &burn)?;
        let row = recording.row(cgroup.path())?;
        let (stopped, queues) = (row.ns("throttled")?, row.number("cfs/throttled_ns")?);
        ensure!(
            stopped >= queues * 9 / 10 && stopped <= queues * 3,
            "--throttle {way}: threads stopped for {stopped} ns, queues for {queues} ns: {}",
            row.describe()
        );
        ensure!(
            row.is_available("throttled.exact") == (way == "queue"),
            "--throttle {way} does not say how exact it is"
        );
    }
    Ok(())
}

/// Whether this kernel's queues keep the time for which they were stopped: from 6.6 on.
fn keeps_the_time() -> Result<bool> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    Ok((numbers.next(), numbers.next()) >= (Some(6), Some(6)))
}
