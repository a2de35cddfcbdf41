//! Conditions that take turns beside a load, and the table of what each adds.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::condition::Condition;
use super::series::Series;
use crate::cmd;

/// Measures every condition once a round and prints a table. The first condition is nothing, the second the empty
/// programs that the others are compared with.
pub(super) fn run(
    unit: &str,
    conditions: &[(&str, Condition)],
    rounds: u32,
    measure: impl Fn() -> Result<f64>,
) -> Result<()> {
    let mut series: Vec<Series> = conditions.iter().map(|_| Series::default()).collect();
    for round in 0..rounds {
        for ((name, condition), series) in conditions.iter().zip(&mut series) {
            if condition.lacks().is_some() {
                continue;
            }
            eprintln!("round {} of {rounds}: {name}", round + 1);
            let holding = condition.begin()?;
            series.push(measure()?);
            drop(holding);
        }
    }
    let [nothing, empty, ..] = series.as_slice() else {
        return Ok(());
    };
    let nothing = nothing.median();
    let floor = empty.median() - nothing;
    println!("| condition | ns a {unit} | half of the rounds | added | times the empty programs |");
    println!("|---|---|---|---|---|");
    for ((name, condition), series) in conditions.iter().zip(&series) {
        if let Some(cause) = condition.lacks() {
            println!("| {name} | not measured: {cause} | | | |");
            continue;
        }
        let (from, to) = series.quartiles();
        let added = series.median() - nothing;
        println!(
            "| {name} | {:.0} | {from:.0} to {to:.0} | {added:.0} | {:.2} |",
            series.median(),
            added / floor
        );
    }
    Ok(())
}

/// Runs a load with these options; returns ns a round.
pub(super) fn load(options: &[&str]) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    let text = cmd::output(command.arg("bench-load").args(options))?;
    let ns: f64 = text.parse().context("the load printed no number")?;
    ensure!(ns > 0.0, "the load took no time");
    Ok(ns)
}
