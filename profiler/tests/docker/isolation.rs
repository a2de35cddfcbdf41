//! What isolation costs, against what it does cost: two containers do the same, one with a layer and one without, and the
//! difference in CPU time an operation is what `ctprof` has to name.
//!
//! Both run side by side on one CPU, in the same seconds, so that whatever else the machine is at is in both.

use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::containers::{IMAGE, WORKLOAD, image};
use crate::daemon::{Container, docker, with_docker};
use crate::harness::ctprof::Ctprof;
use crate::harness::recording::Recording;
use crate::harness::{Result, ensure};
use crate::image;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        with_docker("isolation::overlayfs_against_a_volume", files),
        with_docker("isolation::reads_that_overlayfs_hands_on", reads),
        with_docker("isolation::seccomp_against_none", seccomp),
        with_docker("isolation::a_memory_limit_against_none", memory),
        with_docker("isolation::a_quota_never_hit_against_none", quota),
    ]
}

/// How far what is named may be from what is measured: this part of it, or this part of all CPU time.
const PART: f64 = 0.2;
const POINTS: f64 = 0.01;
/// And what equal programs differ by from run to run, two standard deviations (`compare/between_runs.rs`): where code and data come
/// to lie, which no number of rounds evens out.
const BETWEEN_RUNS: f64 = 2.0 * 0.007;

/// One of the two containers.
struct Side {
    name: &'static str,
    image: &'static str,
    options: Vec<String>,
    command: Vec<String>,
}

impl Side {
    fn new(name: &'static str, options: &[&str], command: &[&str]) -> Self {
        let all = |parts: &[&str]| parts.iter().map(|&it| it.to_owned()).collect();
        Self {
            name,
            image: IMAGE,
            options: all(options),
            command: all(command),
        }
    }

    fn run(&self) -> Result<Container> {
        let mut args = vec!["--network=none", "--cpuset-cpus=1"];
        args.extend(self.options.iter().map(String::as_str));
        args.extend([self.image, WORKLOAD, "workload", "operations"]);
        args.extend(self.command.iter().map(String::as_str));
        args.extend(["--ms", "600000"]);
        Container::run(self.name, &args)
    }
}

/// What was found of one of them.
#[derive(Debug)]
struct Cost {
    /// CPU time of an operation, in ns: the median of the rounds in the recording.
    operation_ns: f64,
    /// Layers' parts of it.
    layers: Vec<(String, f64)>,
}

impl Cost {
    fn layer(&self, id: &str) -> f64 {
        let found = self.layers.iter().find(|(layer, _)| layer == id);
        found.map_or(0.0, |(_, share)| *share)
    }

    /// Parts of its CPU time that containers pay for, or any process.
    fn named(&self) -> f64 {
        let apart = ["softirq", "ctprof"];
        let layers = self.layers.iter();
        layers
            .filter(|(id, _)| !apart.contains(&id.as_str()))
            .map(|(_, share)| share)
            .sum()
    }
}

/// A and B, which has the layer.
struct Costs {
    a: Cost,
    b: Cost,
}

impl Costs {
    /// What B pays more, as a part of its CPU time.
    fn measured(&self) -> f64 {
        1.0 - self.a.operation_ns / self.b.operation_ns
    }

    /// The same by what is named: of B, less what A has for the same work.
    fn named(&self) -> f64 {
        self.b.named() - self.a.named() * self.a.operation_ns / self.b.operation_ns
    }

    fn describe(&self, what: &str) -> String {
        let points = |share: f64| format!("{:.1}", 100.0 * share);
        let layers = |cost: &Cost| {
            let all = cost.layers.iter();
            let all = all.map(|(id, share)| format!("{id} {}", points(*share)));
            all.collect::<Vec<_>>().join(", ")
        };
        format!(
            "{what}: {:.0} ns an operation with it, {:.0} without: {} % measured, {} % named; with it: {}; without: {}",
            self.b.operation_ns,
            self.a.operation_ns,
            points(self.measured()),
            points(self.named()),
            layers(&self.b),
            layers(&self.a),
        )
    }

    /// Fails unless what is named is what is measured.
    fn agree(&self, what: &str) -> Result {
        let text = self.describe(what);
        println!("{text}");
        let (measured, named) = (self.measured(), self.named());
        ensure!(
            (measured - named).abs() <= (PART * measured.abs()).max(POINTS) + BETWEEN_RUNS,
            "{text}"
        );
        Ok(())
    }
}

/// Runs both, and records them.
fn compare(a: &Side, b: &Side) -> Result<Costs> {
    image()?;
    let (_a, _b) = (a.run()?, b.run()?);
    // Until both are at it.
    std::thread::sleep(Duration::from_secs(1));
    let before = [rounds(a.name)?.len(), rounds(b.name)?.len()];
    let folder = TempDir::new()?;
    let dir = folder.path().join("recording");
    let args = ["--duration", "12s", "--frequency", "1999"];
    let recording = Ctprof::record(&dir, &args)
        .arg("--container")
        .arg(a.name)
        .arg("--container")
        .arg(b.name)
        .run()?
        .recording(&dir)?;
    let cost = |side: &Side, before: usize| -> Result<Cost> {
        let mut costs: Vec<f64> = rounds(side.name)?.split_off(before);
        costs.sort_by(f64::total_cmp);
        let median = *costs.get(costs.len() / 2).ok_or("no rounds")?;
        Ok(Cost {
            operation_ns: median,
            layers: layers(&recording, side.name)?,
        })
    };
    Ok(Costs {
        a: cost(a, before[0])?,
        b: cost(b, before[1])?,
    })
}

/// CPU time of an operation in each round so far, in ns.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rounds(name: &str) -> Result<Vec<f64>> {
    let log = docker(&["logs", name])?;
    let lines = log.lines().filter_map(|line| line.strip_prefix("round "));
    lines
        .map(|line| {
            let (count, ns) = line.split_once(' ').ok_or("no time in a round")?;
            Ok(ns.parse::<u64>()? as f64 / count.parse::<u64>()? as f64)
        })
        .collect()
}

/// Layers of a container, as parts of its CPU time.
fn layers(recording: &Recording, name: &str) -> Result<Vec<(String, f64)>> {
    let rows = recording.summary["containers"].as_array();
    let mut rows = rows.into_iter().flatten();
    let row = rows.find(|row| row["name"] == name);
    let isolation = &row.ok_or("no row of this name")?["isolation"];
    let whole = isolation["sampled_ns"].as_f64().ok_or("no samples")?;
    let layers = isolation["layers"].as_array().ok_or("no layers")?;
    layers
        .iter()
        .map(|layer| {
            let id = layer["layer"].as_str().ok_or("no id")?;
            let ns = layer["ns"].as_f64().ok_or("no time")?;
            Ok((id.to_owned(), ns / whole))
        })
        .collect()
}

const FREE: &str = "--security-opt=seccomp=unconfined";

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
    let options = [FREE, volume.as_str()];
    let mut sides = [
        Side::new("on-volume", &options, &a),
        Side::new("on-overlay", &options, &b),
    ];
    for side in &mut sides {
        side.image = IMAGE_WITH_DATA;
    }
    compare(&sides[0], &sides[1])
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
    // Checks that are made once more below where it hands on have no function of overlayfs inside them: a fifth of the cost.
    let (measured, named) = (costs.measured(), costs.named());
    ensure!(named > 0.65 * measured && named < 1.2 * measured, "{text}");
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
    let a = Side::new("unconfined", &[FREE], &command);
    let b = Side::new("confined", &[&confined], &command);
    let what = "20 system calls under a seccomp profile";
    let costs = compare(&a, &b)?;
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
    let _running = side.run()?;
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
    let a = Side::new("unlimited", &[FREE], &command);
    let b = Side::new("limited", &[FREE, "--memory=64m"], &command);
    let costs = compare(&a, &b)?;
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
    let a = Side::new("without-quota", &[FREE], &command);
    let b = Side::new("with-quota", &[FREE, "--cpus=2"], &command);
    compare(&a, &b)?.agree("20 system calls under a CPU quota")
}
