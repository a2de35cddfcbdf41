//! Conditions that take turns beside a load.

use anyhow::Result;

use super::condition::{Condition, Holding};
use super::report::Row;

/// Measures every condition once a round; the rows have one column.
///
/// # Errors
/// Where a condition cannot be brought about, or the load fails.
pub(super) fn take(
    conditions: &[(&str, Condition)],
    rounds: u32,
    mut measure: impl FnMut(&Condition, &Holding) -> Result<f64>,
) -> Result<Vec<Row>> {
    take_all(conditions, rounds, |condition, holding| {
        Ok([measure(condition, holding)?])
    })
}

/// Measures every condition once a round; the rows have `N` columns.
///
/// # Errors
/// Where a condition cannot be brought about, or the load fails.
pub(super) fn take_all<const N: usize>(
    conditions: &[(&str, Condition)],
    rounds: u32,
    mut measure: impl FnMut(&Condition, &Holding) -> Result<[f64; N]>,
) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = conditions
        .iter()
        .map(|(name, condition)| Row {
            lacks: condition.lacks(),
            ..Row::new(*name, N)
        })
        .collect();
    for round in 0..rounds {
        for ((name, condition), row) in conditions.iter().zip(&mut rows) {
            if row.lacks.is_some() {
                continue;
            }
            eprintln!("round {} of {rounds}: {name}", round + 1);
            let holding = condition.begin()?;
            row.push(&measure(condition, &holding)?);
            drop(holding);
        }
    }
    Ok(rows)
}
