//! What isolation costs, against what it does cost: two containers do the same, one with a layer and one without, and the
//! difference in CPU time an operation is what `ctprof` has to name.
//!
//! Both run side by side on one CPU, in the same seconds, so that whatever else the machine is at is in both.

mod costs;
mod network;

use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::containers::{WORKLOAD, image};
use crate::daemon::{client, with_docker};
use crate::harness::ctprof::Ctprof;
use crate::harness::{Result, ensure};
use crate::image;
use costs::{BETWEEN_RUNS, Costs, PART, POINTS, Side, compare};

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        with_docker("isolation::overlayfs_against_a_volume", files),
        with_docker("isolation::reads_that_overlayfs_hands_on", reads),
        with_docker("isolation::seccomp_against_none", seccomp),
        with_docker("isolation::a_memory_limit_against_none", memory),
        with_docker("isolation::a_quota_never_hit_against_none", quota),
    ];
    trials.extend(network::trials());
    trials
}

const FREE: &str = "--security-opt=seccomp=unconfined";
const ALONE: &str = "--network=none";

/// Compares containers of the daemon that trials share.
fn side_by_side(a: &Side, b: &Side) -> Result<Costs> {
    image()?;
    compare(&client()?, a, b)
}

/// An image with files, and a folder with the same ones.
fn data() -> Result<(TempDir, String)> {
    let folder = TempDir::new()?;
    std::fs::write(folder.path().join("small"), [b'x'; 100])?;
    std::fs::write(folder.path().join("large"), vec![b'x'; 64 * 1024])?;
    let volume = format!("--volume={}:/volume", folder.path().display());
    Ok((folder, volume))
}

fn overlay(what: &str) -> Result<Costs> {
    let (folder, volume) = data()?;
    let workload = crate::harness::this_workload()?;
    image::make(
        IMAGE_WITH_DATA,
        &[
            (&workload, WORKLOAD),
            (&folder.path().join("small"), "/data/small"),
            (&folder.path().join("large"), "/data/large"),
        ],
    )?;
    let a = ["--what", what, "--dir", "/volume"];
    let b = ["--what", what, "--dir", "/data"];
    let options = [FREE, ALONE, volume.as_str()];
    let mut sides = [
        Side::new("on-volume", &options, &a),
        Side::new("on-overlay", &options, &b),
    ];
    for side in &mut sides {
        side.image = IMAGE_WITH_DATA;
    }
    side_by_side(&sides[0], &sides[1])
}

const IMAGE_WITH_DATA: &str = "ctprof-test/workload-data:1";

fn files() -> Result {
    let costs = overlay("files")?;
    costs.agree("open, read and stat of a small file on overlayfs")?;
    ensure!(
        // The way to the volume begins on overlayfs, too.
        costs.b.layer("overlayfs") > 3.0 * costs.a.layer("overlayfs"),
        "{costs}",
        costs = costs.describe("overlayfs")
    );
    Ok(())
}

/// Nearly all of the work is the file system's below, and is no tax.
fn reads() -> Result {
    let what = "a read of a page on overlayfs";
    let costs = overlay("reads")?;
    let text = costs.describe(what);
    println!("{text}");
    // A sixth of the cost has none of its functions on the stack: what comes after them runs slower, in the file system below and in the
    // program itself, and where an indirect jump goes through a thunk the kernel's unwinder ends at it.
    let (measured, named) = (costs.measured(), costs.named());
    ensure!(
        named > 0.7 * measured - BETWEEN_RUNS && named < 1.2 * measured + BETWEEN_RUNS,
        "{text}"
    );
    Ok(())
}

/// 300 rules, one of which is about an argument of the call that is made: the kernel cannot know its answer beforehand.
fn profile() -> Value {
    let names = [
        "getppid",
        "acct",
        "chroot",
        "swapon",
        "swapoff",
        "reboot",
        "sethostname",
        "setdomainname",
        "iopl",
        "ioperm",
        "init_module",
        "delete_module",
        "quotactl",
        "lookup_dcookie",
        "setfsuid",
        "setfsgid",
        "kexec_load",
        "add_key",
        "request_key",
        "keyctl",
        "ioprio_set",
        "migrate_pages",
        "unshare",
        "move_pages",
        "vmsplice",
        "perf_event_open",
        "fanotify_init",
        "fanotify_mark",
        "name_to_handle_at",
        "open_by_handle_at",
    ];
    let rules = names.iter().flat_map(|name| {
        (0..10).map(move |value| {
            json!({
                "names": [name],
                "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 0, "value": 0x7fff_0000_u64 + value, "op": "SCMP_CMP_EQ"}],
            })
        })
    });
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules.collect::<Vec<_>>()})
}

fn seccomp() -> Result {
    let folder = TempDir::new()?;
    let path = folder.path().join("profile.json");
    std::fs::write(&path, profile().to_string())?;
    let confined = format!("--security-opt=seccomp={}", path.display());
    let command = ["--what", "calls"];
    let a = Side::new("unconfined", &[FREE, ALONE], &command);
    let b = Side::new("confined", &[&confined, ALONE], &command);
    let what = "20 system calls under a seccomp profile";
    let costs = side_by_side(&a, &b)?;
    println!("{}", costs.describe(what));
    // Samples of a timer fall short of it, and never go beyond it.
    let (measured, named) = (costs.measured(), costs.named());
    ensure!(
        named > 0.3 * measured && named < measured + POINTS,
        "{}",
        costs.describe(what)
    );
    // By the calls, it is what was measured.
    let calibrated = calibrated(&b)?;
    let more_ns = (costs.b.operation_ns - costs.a.operation_ns) / CALLS;
    let text = format!("{more_ns:.1} ns a call measured, {calibrated:.1} by calibration");
    println!("{text}");
    let points = POINTS * costs.b.operation_ns / CALLS;
    ensure!(
        (more_ns - calibrated).abs() <= (PART * more_ns).max(points),
        "{text}"
    );
    Ok(())
}

/// System calls of an operation.
const CALLS: f64 = 20.0;

/// What a filter adds to a call of this container, in ns: by calibration, and the time in the filter itself.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn calibrated(side: &Side) -> Result<f64> {
    let _running = side.run(&client()?)?;
    let folder = TempDir::new()?;
    let dir = folder.path().join("recording");
    let args = ["--duration", "3s", "--syscalls", "--container", side.name];
    Ctprof::record(&dir, &args).run()?.recording(&dir)?;
    let args = ["report", "--calibrate", "--format", "json"];
    let report = Ctprof::new(&args).arg(&dir).run()?;
    report.expect_code(0)?;
    let report: Value = serde_json::from_str(&report.stdout)?;
    let rows = report["containers"].as_array();
    let row = rows
        .into_iter()
        .flatten()
        .find(|row| row["name"] == side.name);
    let it = &row.ok_or("no row of this name")?["isolation"]["calibrated"];
    let number = |key: &str| it[key].as_f64().ok_or_else(|| format!("no {key} in {it}"));
    ensure!(number("least_ns")? <= number("filtered_ns")?, "{it}");
    Ok(number("filtered_ns")? / number("calls")?)
}

fn memory() -> Result {
    let command = ["--what", "pages"];
    let a = Side::new("unlimited", &[FREE, ALONE], &command);
    let b = Side::new("limited", &[FREE, ALONE, "--memory=64m"], &command);
    let costs = side_by_side(&a, &b)?;
    costs.agree("mapping 16 pages under a memory limit")?;
    // Both are charged.
    ensure!(
        costs.a.layer("memory") > 0.02 && costs.b.layer("memory") > 0.02,
        "{}",
        costs.describe("charging")
    );
    Ok(())
}

fn quota() -> Result {
    // Context switches cost more with a quota, but vary by more than that from one second to the next.
    let command = ["--what", "calls"];
    let a = Side::new("without-quota", &[FREE, ALONE], &command);
    let b = Side::new("with-quota", &[FREE, ALONE, "--cpus=2"], &command);
    side_by_side(&a, &b)?.agree("20 system calls under a CPU quota")
}
