//! What the verifier walks through for each program: start-up is little else than that, and a program that comes near
//! to its limit of a million instructions is refused on the next kernel.
//!
//! `verifier.json`, beside the subjects, is the table: program -> kernel series -> instructions when it was measured.
//! `BLESS=1` writes the numbers of the running kernel into it.

use std::collections::BTreeMap;
use std::path::Path;

use libtest_mimic::Trial;

use super::output;
use crate::harness::agent::Agent;
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::privileged;
use crate::harness::{Result, ensure};

/// Instructions by program, and by kernel series such as `6.1`.
type Table = BTreeMap<String, BTreeMap<String, u32>>;

const TABLE: &str = include_str!("../verifier.json");

pub(super) fn trials() -> Vec<Trial> {
    vec![privileged(
        "verifier::no_program_grows_unseen",
        within_limits,
    )]
}

/// Most that a program may take when the table says `measured`: a quarter more.
const fn limit(measured: u32) -> u32 {
    measured + measured.div_ceil(4)
}

fn within_limits() -> Result {
    let counts = counts()?;
    let series = series()?;
    let mut table: Table = serde_json::from_str(TABLE).map_err(|error| error.to_string())?;
    if std::env::var_os("BLESS").is_some() {
        return bless(&mut table, &series, &counts);
    }
    // A virtual machine cannot write the table: here is what belongs there.
    println!("verified on {series}: {counts:?}");
    // One that was refused is not among those that are counted.
    let mut wrong: Vec<String> = table
        .iter()
        .filter(|(program, by_series)| {
            by_series.contains_key(&series) && !counts.contains_key(*program)
        })
        .map(|(program, _)| format!("{program}: not loaded"))
        .collect();
    for (program, count) in &counts {
        let measured = table.get(program).and_then(|by_series| {
            // Of a kernel that is not in the table no more is known than that it is no worse than the others.
            let largest = by_series.values().max();
            by_series.get(&series).or(largest).copied()
        });
        let limit = measured.map_or(0, limit);
        if *count > limit {
            wrong.push(format!("{program}: {count}, limit {limit}"));
        }
    }
    ensure!(
        wrong.is_empty(),
        "programs are not loaded, or the verifier walks through more instructions than the table allows on {series}: {}; all of them: {counts:?}; make them fewer, or `BLESS=1 cargo test --test kernel -- verifier`",
        wrong.join("; ")
    );
    Ok(())
}

/// The largest count of each program in everything that ctprof does with it.
fn counts() -> Result<BTreeMap<String, u32>> {
    let mut counts = BTreeMap::new();
    let mut take = |holds: &dyn Fn() -> Result<std::collections::BTreeSet<String>>| -> Result {
        let held = holds()?;
        for info in aya::programs::loaded_programs().flatten() {
            if !held.contains(&format!("prog_id {}", info.id())) {
                continue;
            }
            let count = info
                .verified_instruction_count()
                .ok_or("this kernel does not say what the verifier did")?;
            let name = info.name_as_str().unwrap_or_default().to_owned();
            let largest = counts.entry(name).or_insert(0);
            *largest = count.max(*largest);
        }
        Ok(())
    };
    for options in [&["--syscalls", "--moments"][..], &[], &["--no-stacks"]] {
        let (_folder, dir) = output()?;
        let args = [&["--duration", "120s"], options].concat();
        let mut ctprof = Ctprof::record(&dir, &args).start()?;
        ctprof.wait_until_attached()?;
        take(&|| ctprof.holds())?;
    }
    let agent = Agent::start(&["--syscalls"])?;
    take(&|| agent.holds())?;
    ensure!(counts.len() >= 14, "only {counts:?}");
    Ok(counts)
}

/// Version and patch level of the running kernel.
fn series() -> Result<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let numbers: Vec<&str> = release.split('.').take(2).collect();
    Ok(numbers.join("."))
}

fn bless(table: &mut Table, series: &str, counts: &BTreeMap<String, u32>) -> Result {
    for by_series in table.values_mut() {
        by_series.remove(series);
    }
    for (program, count) in counts {
        let by_series = table.entry(program.clone()).or_default();
        by_series.insert(series.to_owned(), *count);
    }
    table.retain(|_, by_series| !by_series.is_empty());
    let text = serde_json::to_string_pretty(table).map_err(|error| error.to_string())?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/verifier.json");
    std::fs::write(path, text + "\n")?;
    Ok(())
}
