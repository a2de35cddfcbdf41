//! `ctprof compare`: what differs is found and named, what does not is not.

use std::path::Path;
use std::process::Child;

use libtest_mimic::Trial;
use serde_json::Value;

use super::{output, workload};
use crate::harness::cgroup::Cgroup;
use crate::harness::ctprof::{Ctprof, Finished};
use crate::harness::needs::privileged;
use crate::harness::{Result, close, emulated, ensure, this_program};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("compare::a_slower_function_is_named", slower),
        privileged("compare::equal_programs_are_the_same", equal),
        privileged("compare::recordings_of_commands", recordings),
        privileged("compare::a_target_that_ends", ends),
    ]
}

/// An emulated CPU is shared with whatever its host does.
fn seconds() -> &'static str {
    if emulated() { "30s" } else { "10200ms" }
}

/// Two of these workloads side by side, and what `ctprof compare` with these options says of them.
fn side_by_side(slower: &str, options: &[&str]) -> Result<(Finished, Cgroup, Cgroup)> {
    let (a, b) = (Cgroup::new("compare-a")?, Cgroup::new("compare-b")?);
    let run = |cgroup, slower| {
        workload(
            Some(cgroup),
            &["orders", "--ms", "60000", "--slower", slower],
        )
    };
    let mut running = [run(&a, "0")?, run(&b, slower)?];
    let finished = Ctprof::new(&["compare"])
        .arg(format!("cgroup={}", a.path()))
        .arg(format!("cgroup={}", b.path()))
        .arg("--duration")
        .arg(seconds());
    let finished = options.iter().fold(finished, Ctprof::arg).run();
    for child in &mut running {
        end(child)?;
    }
    Ok((finished?, a, b))
}

fn end(child: &mut Child) -> Result {
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn json(finished: &Finished) -> Result<Value> {
    serde_json::from_str(&finished.stdout)
        .map_err(|error| format!("{error}: {} {}", finished.stdout, finished.stderr).into())
}

fn named<'a>(list: &'a Value, key: &str, name: &str) -> Result<&'a Value> {
    let mut entries = list.as_array().into_iter().flatten();
    entries
        .find(|entry| entry[key] == name)
        .ok_or_else(|| format!("no {name} in {list:#}").into())
}

/// Half as much again in a fifth of the time is a tenth more of the whole.
fn slower() -> Result {
    let (_folder, dir) = output()?;
    let dir_text = dir.to_string_lossy();
    let (finished, ..) = side_by_side(
        "50",
        &[
            "--per",
            "syscall:getppid",
            "--format",
            "json",
            "--output",
            &dir_text,
            "--fail-if",
            "function:parse_order>+20%",
            "--fail-if",
            "function:book_order>+20%",
            "--fail-if",
            "throttled>1%",
        ],
    )?;
    ensure!(
        finished.code == Some(5),
        "exit code {:?}: {}",
        finished.code,
        finished.stderr
    );
    let said = json(&finished)?;
    ensure!(said["paired"] == true, "not of the same seconds");
    let row = &said["rows"][0];
    let cpu = named(&row["metrics"], "id", "cpu")?;
    // A busy machine's noise can be larger than that, and is said to be.
    ensure!(
        cpu["verdict"] == "more" || cpu["detectable"].as_f64() > Some(0.1),
        "{cpu:#}"
    );
    close(
        "change of the whole",
        cpu["change"].as_f64().unwrap_or(0.0),
        0.1,
        0.4,
    )?;
    let parse = named(&row["functions"], "name", "parse_order")?;
    ensure!(parse["verdict"] == "more", "{parse:#}");
    close(
        "change of parse_order",
        parse["change"].as_f64().unwrap_or(0.0),
        0.5,
        0.25,
    )?;
    let functions = row["functions"].as_array().ok_or("no functions")?;
    let others = functions
        .iter()
        .filter(|it| it["state"] == "on_cpu" && it["name"] != "parse_order");
    for other in others.filter(|it| {
        ["price_order", "book_order"]
            .map(Value::from)
            .contains(&it["name"])
    }) {
        ensure!(other["verdict"] == "same", "{other:#}");
    }
    for rule in said["rules"].as_array().into_iter().flatten() {
        let is_about_it = rule["rule"] == "function:parse_order>+20%";
        ensure!(rule["broken"] == is_about_it, "{rule:#}");
    }
    let graph = std::fs::read_to_string(dir.join("diff.svg"))?;
    ensure!(
        graph.contains("parse_order +"),
        "the graph does not say how much slower it is"
    );
    for name in [
        "diff-b.svg",
        "diff.folded",
        "profile.diff.pb.gz",
        "a/recording.ctprof",
    ] {
        ensure!(dir.join(name).is_file(), "no {name}");
    }
    folded_agrees(&dir)
}

/// The sums of `diff.folded` are those of the recordings.
fn folded_agrees(dir: &Path) -> Result {
    let mut sums = [0_u64; 2];
    for line in std::fs::read_to_string(dir.join("diff.folded"))?.lines() {
        let mut words = line.rsplit(' ');
        for sum in sums.iter_mut().rev() {
            *sum += words.next().ok_or("no figure")?.parse::<u64>()?;
        }
    }
    for (sum, name) in sums.into_iter().zip(["a", "b"]) {
        let folded = std::fs::read_to_string(dir.join(name).join("stacks.folded"))?;
        let times = folded
            .lines()
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        let expected: u64 = times.sum();
        ensure!(
            sum == expected,
            "{name}: {sum} ns in diff.folded, {expected} in stacks.folded"
        );
    }
    Ok(())
}

fn equal() -> Result {
    let (finished, ..) = side_by_side(
        "0",
        &[
            "--per",
            "syscall:getppid",
            "--format",
            "json",
            "--fail-if",
            "function:parse_order>+5%",
            "--fail-if",
            "cpu>+5%",
        ],
    )?;
    ensure!(
        finished.code == Some(0),
        "exit code {:?}: {}",
        finished.code,
        finished.stdout
    );
    let said = json(&finished)?;
    let row = &said["rows"][0];
    for name in ["parse_order", "price_order", "book_order"] {
        let function = named(&row["functions"], "name", name)?;
        ensure!(function["verdict"] == "same", "{function:#}");
    }
    Ok(())
}

/// Two commands, each with a recording of its own; what is counted is what they say that they did.
fn recordings() -> Result {
    let (_folder, dir) = output()?;
    std::fs::create_dir(&dir)?;
    let mut counted = Vec::new();
    let mut running = Vec::new();
    for (name, slower) in [("a", "0"), ("b", "50")] {
        let ctprof = Ctprof::record(&dir.join(name), &["--syscalls", "--frequency", "999", "--"])
            .arg(this_program()?)
            .arg("workload")
            .arg("orders")
            .arg("--ms")
            .arg(if emulated() { "30000" } else { "10600" })
            .arg("--slower")
            .arg(slower)
            .start()?;
        running.push(ctprof);
    }
    for ctprof in running {
        let finished = ctprof.finish()?;
        let mut words = finished
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("orders "));
        counted.push(words.next().ok_or("no orders")?.parse::<f64>()?);
    }
    let compare = |a: &str, b: &str, options: &[&str]| {
        let ctprof = Ctprof::new(&["compare"]).arg(dir.join(a)).arg(dir.join(b));
        options.iter().fold(ctprof, Ctprof::arg).run()
    };
    let finished = compare("a", "b", &["--per", "syscall:getppid", "--format", "json"])?;
    ensure!(
        finished.code == Some(0),
        "exit code {:?}: {}",
        finished.code,
        finished.stderr
    );
    let said = json(&finished)?;
    let row = &said["rows"][0];
    let calls = named(&row["metrics"], "id", "syscalls.getppid")?;
    for (key, counted) in [("a_total", counted[0]), ("b_total", counted[1])] {
        ensure!(
            calls[key].as_f64() == Some(counted),
            "{calls:#}: {counted} orders"
        );
    }
    let parse = named(&row["functions"], "name", "parse_order")?;
    ensure!(parse["verdict"] == "more", "{parse:#}");
    let finished = compare("a", "a", &["--format", "json", "--fail-if", "cpu>+1%"])?;
    let said = json(&finished)?;
    let metrics = said["rows"][0]["metrics"].as_array().ok_or("no metrics")?;
    let verdicts = metrics
        .iter()
        .map(|metric| metric["verdict"].as_str().unwrap_or_default());
    ensure!(finished.code == Some(0), "exit code {:?}", finished.code);
    ensure!(
        verdicts.clone().all(|it| ["same", "unknown"].contains(&it)),
        "one beside itself differs"
    );
    for (options, code, says) in [
        (["--per", "syscall:getpid"], 2, "did you mean getppid"),
        (["--fail-if", "cqu>+5%"], 2, "there are cpu, cpu.user"),
        (
            ["--fail-if", "function:parse_odrer>+5%"],
            2,
            "did you mean parse_order",
        ),
        (["--match", "web=db"], 3, "no row \"web\" in A"),
    ] {
        let finished = compare("a", "b", &options)?;
        ensure!(
            finished.code == Some(code) && finished.stderr.contains(says),
            "{options:?}: {:?} {}",
            finished.code,
            finished.stderr
        );
    }
    Ok(())
}

/// What one does after the other has ended is compared with nothing.
fn ends() -> Result {
    let (a, b) = (Cgroup::new("compare-c")?, Cgroup::new("compare-d")?);
    let mut long = workload(Some(&a), &["orders", "--ms", "60000"])?;
    let mut short = workload(Some(&b), &["orders", "--ms", "2500"])?;
    let finished = Ctprof::new(&["compare", "--duration", "4s"])
        .arg(format!("cgroup={}", a.path()))
        .arg(format!("cgroup={}", b.path()))
        .run();
    end(&mut long)?;
    short.wait()?;
    let finished = finished?;
    ensure!(
        finished.code == Some(0),
        "exit code {:?}: {}",
        finished.code,
        finished.stderr
    );
    for says in [
        "what came after is not compared",
        "nothing can be told from noise",
    ] {
        ensure!(
            finished.stdout.contains(says),
            "does not say {says:?}: {}",
            finished.stdout
        );
    }
    Ok(())
}
