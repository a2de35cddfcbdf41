//! What perf counts for a cgroup, against what the kernel accounts to the processes in it.

use ctprof::host::Host;
use ctprof::host::cgroup::Hierarchy;
use ctprof::model::{Figures as _, ViewId};
use ctprof::views::counters::{Counted, Counters, Counting};
use libtest_mimic::Trial;

use super::workload;
use crate::harness::cgroup::Cgroup;
use crate::harness::needs::privileged;
use crate::harness::{Result, emulated, ensure};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("counters::faults_switches_and_migrations", events),
        privileged("counters::of_all_below_and_nobody_beside", nested),
        privileged("counters::removed_replaced_and_newborn", replaced),
    ]
}

/// What a workload did, by its own account.
struct Did {
    faults: u64,
    switches: u64,
}

fn run(cgroup: &Cgroup, args: &[&str]) -> Result<Did> {
    let output = workload(Some(cgroup), &[&["events"], args].concat())?.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    let value = |name: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(line
            .ok_or_else(|| format!("no {name}in {text:?}"))?
            .parse()?)
    };
    Ok(Did {
        faults: value("faults ")?,
        switches: value("switches ")?,
    })
}

/// Fails unless `found` is what the process read of itself, plus or minus what it did before it executed its program
/// and after it had looked, and faults of a buffer that the kernel touched for it (`mm_account_fault` gives them to
/// the process but not to perf).
fn about(what: &str, found: Option<u64>, truth: u64, slack: u64) -> Result {
    let found = found.ok_or_else(|| format!("no {what}"))?;
    ensure!(
        found.abs_diff(truth) <= slack,
        "{found} {what}; {truth} by the process' own account, at most {slack} more or less"
    );
    Ok(())
}

fn of(counted: &Counted, cgroup: &Cgroup) -> Result<Counters> {
    let counters = counted.of(cgroup.path());
    Ok(counters
        .ok_or_else(|| format!("no counters: {:?}", counted.unavailable([cgroup.path()])))?)
}

/// 20,000 faults, 3,000 switches and 500 migrations of one process, and nothing from before or after.
fn events() -> Result {
    let cgroup = Cgroup::new("events")?;
    run(
        &cgroup,
        &[
            "--faults",
            "5000",
            "--switches",
            "500",
            "--migrations",
            "50",
        ],
    )?;
    let hierarchy = Hierarchy::detect(&Host::default()).map_err(|error| error.to_string())?;
    let mut counters = Counting::open(&hierarchy, [cgroup.path()]);
    run(
        &cgroup,
        &[
            "--faults",
            "5000",
            "--switches",
            "500",
            "--migrations",
            "50",
        ],
    )?;
    counters.start();
    let did = run(&cgroup, &["--faults", "20000", "--switches", "3000"])?;
    let counted = counters.stop();
    let mut counters = Counting::open(&hierarchy, [cgroup.path()]);
    counters.start();
    run(&cgroup, &["--migrations", "500"])?;
    let moved = counters.stop();
    let found = of(&counted, &cgroup)?;
    // An emulated CPU is slower than the shortest sleeps.
    let switches = if emulated() { 1_000 } else { 3_000 };
    ensure!(
        did.faults >= 20_000 && did.switches >= switches,
        "the workload did too little"
    );
    about("page faults", found.page_faults, did.faults, 200)?;
    about("context switches", found.context_switches, did.switches, 50)?;
    // Wherever it was at first, and wherever its threads woke up.
    about("migrations", of(&moved, &cgroup)?.migrations, 500, 10)?;
    let said: Vec<ViewId> = counted
        .unavailable([cgroup.path()])
        .into_iter()
        .map(|it| it.view)
        .collect();
    for (view, value) in [
        ("counters.cycles", found.cycles),
        ("counters.instructions", found.instructions),
        ("counters.cache_misses", found.cache_misses),
    ] {
        let is_said = said.iter().any(|said| said.as_str() == view);
        ensure!(
            value.is_some() != is_said,
            "{view}: {value:?}, and unavailable are {said:?}"
        );
        ensure!(value != Some(0), "{view} is 0");
    }
    Ok(())
}

/// A cgroup counts what is in cgroups below it, and not what is in the one beside it.
fn nested() -> Result {
    let top = Cgroup::new("top")?;
    let (left, right) = (top.child("left")?, top.child("right")?);
    let deep = left.child("deep")?;
    let hierarchy = Hierarchy::detect(&Host::default()).map_err(|error| error.to_string())?;
    let mut counters = Counting::open(&hierarchy, [top.path(), left.path(), right.path()]);
    counters.start();
    let in_deep = run(&deep, &["--faults", "9000"])?.faults;
    let in_right = run(&right, &["--faults", "4000"])?.faults;
    let counted = counters.stop();
    for (cgroup, truth) in [
        (&top, in_deep + in_right),
        (&left, in_deep),
        (&right, in_right),
    ] {
        about("page faults", of(&counted, cgroup)?.page_faults, truth, 200)?;
    }
    ensure!(
        counted.of(deep.path()).is_none(),
        "counted without being asked for"
    );
    Ok(())
}

/// Whoever is gone keeps what it counted; a new cgroup of the same name does not get the old one's, and one that was
/// born meanwhile has none.
fn replaced() -> Result {
    let top = Cgroup::new("top")?;
    let (gone, replaced) = (top.child("gone")?, top.child("replaced")?);
    let hierarchy = Hierarchy::detect(&Host::default()).map_err(|error| error.to_string())?;
    let none = format!("{}/none", top.path());
    let paths = [gone.path(), replaced.path(), &none];
    let mut counters = Counting::open(&hierarchy, paths);
    counters.start();
    let did = run(&gone, &["--faults", "5000"])?;
    gone.remove()?;
    run(&replaced, &["--faults", "5000"])?;
    replaced.remove()?;
    let replaced = top.child("replaced")?;
    let newborn = top.child("newborn")?;
    let counted = counters.stop();
    about(
        "page faults",
        of(&counted, &gone)?.page_faults,
        did.faults,
        200,
    )?;
    ensure!(
        counted.of(replaced.path()).is_none(),
        "counters of a cgroup that is another now"
    );
    let said = counted.unavailable([gone.path(), replaced.path(), newborn.path(), &none]);
    let cause = said.iter().find(|it| it.view == Counters::VIEW);
    let cause = cause.ok_or("nothing is said")?.cause.as_str();
    ensure!(
        cause.contains("2 born") && cause.contains("1 not in") && cause.contains("of the 4"),
        "it says: {cause}"
    );
    Ok(())
}
