//! One situation from its start to its row of the table.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::elsewhere;
use super::findings::{self, Finding};
use super::judge::Verdict;
use super::model::{From, Situation};
use super::table;
use super::watch::Watched;
use super::world::{Host, World};

/// How one situation went.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) is: String,
    pub(super) healthy: bool,
    /// Share of the host's CPUs that something else used just before.
    pub(super) busy_elsewhere: f64,
    /// Why it could not be run or asked about.
    pub(super) failed: Option<String>,
    /// Where it is not what it is called.
    pub(super) untrue: Vec<String>,
    pub(super) findings: Vec<Finding>,
    pub(super) verdict: Verdict,
    /// Pieces of work per second, as it is.
    pub(super) before: Option<f64>,
    /// The same with the change.
    pub(super) after: Option<f64>,
    /// What was changed.
    pub(super) applied: Vec<String>,
}

impl Row {
    /// How many times as fast it became.
    pub(super) fn measured(&self) -> Option<f64> {
        let (before, after) = (self.before?, self.after?);
        Some(after / before)
    }

    /// Says how it went, for whoever watches or mends.
    pub(super) fn print(&self) {
        if let Some(why) = &self.failed {
            println!("  could not be tried: {why}");
        }
        if self.busy_elsewhere > elsewhere::BUSY {
            println!(
                "  {:.0} % of the host's CPUs were busy with something else before: a neighbour of all that is measured",
                self.busy_elsewhere * 100.0
            );
        }
        for untrue in &self.untrue {
            println!("  is not what it is called: {untrue}");
        }
        for finding in &self.findings {
            println!("  {:?} {}: {}", finding.severity, finding.id, finding.title);
            for line in &finding.evidence {
                println!("      {line}");
            }
            for line in &finding.advice {
                println!("    > {line}");
            }
            if let Some(gain) = &finding.gain {
                println!("    = {}", gain.text);
            }
        }
        let verdict = &self.verdict;
        println!(
            "  right: {}; evidence lacks {:?}; advice lacks {:?}; promised {:?}, measured {:?} ({:?} to {:?} per second) with {:?}",
            self.is_right(),
            verdict.evidence_lacks,
            verdict.advice_lacks,
            verdict.promise,
            self.measured(),
            self.before,
            self.after,
            self.applied,
        );
    }

    /// It could be run, is what it is called, and ctprof is right about it.
    pub(super) fn is_right(&self) -> bool {
        self.failed.is_none() && self.untrue.is_empty() && self.verdict.right
    }
}

/// Runs a situation, asks ctprof about it, changes what there is to change, and judges.
///
/// # Errors
/// Ctrl-C. What is wrong with the situation is in its row.
pub(super) fn run(situation: &Situation, host: &Host<'_>, window: Duration) -> Result<Row> {
    let mut row = Row {
        name: situation.name.to_owned(),
        is: situation.is.to_owned(),
        healthy: table::is_healthy(situation),
        ..Row::default()
    };
    row.busy_elsewhere = elsewhere::busy(host.interrupt)?;
    row.failed = host.programs.lacks(situation);
    if row.failed.is_none() {
        let result = fill(&mut row, situation, host, window);
        host.interrupt.check()?;
        row.failed = result.err().map(|error| format!("{error:#}"));
    }
    Ok(row)
}

fn fill(row: &mut Row, situation: &Situation, host: &Host<'_>, window: Duration) -> Result<()> {
    let world = World::start(host, situation, None)?;
    let watch = |world: &World<'_>| Watched::watch(world, situation, window, host.interrupt);
    // Beside ctprof only what lasts as long as its start: everything else is watched alone, so that both measurements
    // are of the same kind.
    let watched = if situation.from == From::Birth {
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| findings::ask(host, world.judged()?, window));
            let watched = watch(&world);
            row.findings = asked.join().map_err(|_| anyhow::anyhow!("it panicked"))??;
            watched
        })?
    } else {
        let watched = watch(&world)?;
        row.findings = findings::ask(host, world.judged()?, window)?;
        watched
    };
    drop(world);
    row.untrue = watched.untrue(situation.truth);
    row.before = watched.speed();
    row.verdict = Verdict::of(&situation.expected, &row.findings)?;
    if !situation.changes.is_empty() {
        let advice: Vec<String> = row
            .findings
            .iter()
            .flat_map(|it| it.advice.clone())
            .collect();
        let world = World::start(host, situation, Some(&advice))?;
        row.after = watch(&world)?.speed();
        row.applied = world.applied.clone();
    }
    Ok(())
}
