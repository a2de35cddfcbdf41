//! How much memory the table of system calls takes.

use std::fs;
use std::path::Path;

use libtest_mimic::Trial;

use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::{missing_privilege, skipping};
use crate::harness::program::Program;
use crate::harness::{Result, close, emulated, ensure};

pub(super) fn trials() -> Vec<Trial> {
    vec![skipping(
        "call_memory::of_500_calls_by_1000_containers",
        large,
        || {
            missing_privilege()
                .or_else(|| emulated().then(|| "takes minutes under emulation".to_owned()))
        },
    )]
}

const CONTAINERS: u64 = 1_000;
const CALLS: u64 = 500;
/// What a row takes, as docs/syscalls.md states it.
const ROW_BYTES: u64 = 96;

/// Every row is there, and rows are allocated as they are used.
#[allow(clippy::cast_precision_loss, reason = "megabytes")]
fn large() -> Result {
    let cgroup = Cgroup::new("memory")?;
    for number in 0..CONTAINERS {
        cgroup.child(&number.to_string())?.keep();
    }
    // The text for people, one line a container: half a million calls as JSON say no more.
    let args = ["syscalls", "--duration", "120s", "--top", "1"];
    let mut ctprof = Ctprof::new(&args).start()?;
    ctprof.wait_until_attached()?;
    let before = Memory::read(ctprof.pid())?;
    let (containers, calls) = (CONTAINERS.to_string(), CALLS.to_string());
    let folder = cgroup.folder().display().to_string();
    let args = [
        "spread",
        "--below",
        &folder,
        "--cgroups",
        &containers,
        "--calls",
        &calls,
    ];
    Program::start(None, &args)?.end()?;
    let after = Memory::read(ctprof.pid())?;
    ctprof.interrupt()?;
    let finished = ctprof.finish()?;
    finished.expect_code_only(0)?;
    ensure!(
        !finished.stderr.contains("call_map_full"),
        "calls are lost: {}",
        finished.stderr
    );
    // The write that joined is of the cgroup that was left; that and the next one end what a cgroup has.
    let complete = finished.stdout.lines().filter(|line| {
        let calls = line.strip_prefix(cgroup.path()).and_then(|rest| {
            let (_, rest) = rest.split_once(": ")?;
            rest.split_once(" calls")?.0.parse::<u64>().ok()
        });
        calls.is_some_and(|calls| calls >= CALLS)
    });
    let complete = complete.count() as u64;
    ensure!(
        complete == CONTAINERS,
        "{complete} containers have all calls"
    );
    let rows = CONTAINERS * CALLS;
    let expected = (rows * ROW_BYTES) as f64;
    if after.map == before.map {
        // This kernel does not account what a map has taken so far; the machine does other things meanwhile.
        let grown = after.slab.saturating_sub(before.slab) as f64;
        close("kernel memory for the rows", grown, expected, 0.5)?;
    } else {
        let grown = (after.map - before.map) as f64;
        close("accounted for the rows", grown, expected, 0.05)?;
    }
    let peak = after.user_peak.max(before.user_peak);
    ensure!(
        peak < 60 << 20,
        "{peak} bytes of ctprof's own while it counts"
    );
    Ok(())
}

/// Memory of the table of calls, and of the kernel as a whole, in bytes.
#[derive(Clone, Copy)]
struct Memory {
    /// As the kernel accounts the map.
    map: u64,
    /// Kernel memory that cannot be reclaimed.
    slab: u64,
    /// The most that ctprof itself has taken.
    user_peak: u64,
}

impl Memory {
    fn read(ctprof: u32) -> Result<Self> {
        let number = |text: &str, name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let status = fs::read_to_string(format!("/proc/{ctprof}/status"))?;
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let folder = format!("/proc/{ctprof}/fdinfo");
        // The one map whose keys have 8 bytes, and its rows 32.
        let maps = fs::read_dir(Path::new(&folder))?
            .flatten()
            .filter_map(|file| {
                let text = fs::read_to_string(file.path()).ok()?;
                let is_calls = (number(&text, "key_size:"), number(&text, "value_size:"))
                    == (Some(8), Some(32));
                is_calls.then(|| number(&text, "memlock:"))?
            });
        Ok(Self {
            map: maps.max().ok_or("ctprof has no table of calls")?,
            slab: number(&meminfo, "SUnreclaim:").ok_or("no SUnreclaim")? << 10,
            user_peak: number(&status, "VmHWM:").ok_or("no VmHWM")? << 10,
        })
    }
}
