//! A comparison for people.

use std::io::{self, Write};

use super::words;
use crate::compare::Verdict;
use crate::compare::metrics::Unit;
use crate::compare::outcome::{Compared, Comparison, FunctionComparison, RowComparison};
use crate::table::{Align, Table};

/// Functions that are shown of each row where nobody says how many.
pub const TOP: usize = 10;

/// Writes it. `top` is how many functions of each row to show, 0 for all.
///
/// # Errors
/// What the writer fails with.
pub fn write(comparison: &Comparison, top: usize, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "A  {}", words::side(&comparison.a))?;
    writeln!(out, "B  {}", words::side(&comparison.b))?;
    writeln!(out, "{}", words::normalised(comparison))?;
    for row in &comparison.rows {
        write_row(row, top, out)?;
    }
    for (name, names) in [("A", &comparison.only_a), ("B", &comparison.only_b)] {
        if !names.is_empty() {
            writeln!(out, "\nOnly in {name}: {}", names.join(", "))?;
        }
    }
    if !comparison.rules.is_empty() {
        writeln!(out, "\nRules")?;
        for outcome in &comparison.rules {
            let said = match (outcome.broken, outcome.compared.verdict) {
                (true, _) => "BROKEN",
                (false, Verdict::Unknown) => "not known",
                (false, _) => "kept",
            };
            writeln!(
                out,
                "  {said}: {} in {}: {}",
                outcome.rule,
                outcome.row,
                words::both(&outcome.compared, outcome.unit)
            )?;
        }
    }
    if !comparison.notes.is_empty() {
        writeln!(out, "\nNote")?;
        for note in &comparison.notes {
            writeln!(out, "  {note}")?;
        }
    }
    Ok(())
}

fn write_row(row: &RowComparison, top: usize, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n{}", row.name)?;
    let mut table = Table::new(columns("FIGURE"));
    for metric in &row.metrics {
        table.row(cells(metric.id.clone(), &metric.compared, metric.unit));
    }
    table.write(out, None)?;
    let shown: Vec<&FunctionComparison> = shown(row, top);
    if !shown.is_empty() {
        writeln!(out)?;
        let mut table = Table::new(columns("FUNCTION"));
        for function in &shown {
            let kernel = if function.kernel { " [k]" } else { "" };
            let state = match function.state {
                "on_cpu" => String::new(),
                state => format!(" ({})", state.replace('_', " ")),
            };
            let name = format!("{}{kernel}{state}", function.name);
            table.row(cells(name, &function.own.compared, function.unit));
            if !function.is_leaf() && differs(&function.total) {
                let name = "  and what it calls".to_owned();
                table.row(cells(name, &function.total, function.unit));
            }
        }
        table.write(out, None)?;
        let more = row.functions.len() - shown.len();
        if more > 0 {
            writeln!(out, "{more} more functions: --top 0 shows them")?;
        }
    }
    Ok(())
}

/// Those with a difference first, then those with the largest.
fn shown(row: &RowComparison, top: usize) -> Vec<&FunctionComparison> {
    let (mut shown, others): (Vec<_>, Vec<_>) = row
        .functions
        .iter()
        .partition(|it| differs(&it.own.compared) || differs(&it.total));
    let has_own = |it: &&FunctionComparison| it.own.a_ns > 0 || it.own.b_ns > 0;
    shown.extend(others.into_iter().filter(has_own));
    if top > 0 {
        shown.truncate(top);
    }
    shown
}

const fn differs(compared: &Compared) -> bool {
    matches!(compared.verdict, Verdict::More | Verdict::Less)
}

const fn columns(first: &str) -> [(&str, Align); 6] {
    [
        (first, Align::Left),
        ("A", Align::Right),
        ("B", Align::Right),
        ("CHANGE", Align::Right),
        ("95 % INTERVAL", Align::Right),
        ("VERDICT", Align::Left),
    ]
}

fn cells(name: String, compared: &Compared, unit: Unit) -> [String; 6] {
    [
        name,
        words::figure(compared.a(), unit),
        words::figure(compared.b(), unit),
        words::change(compared),
        words::interval(compared),
        words::verdict(compared),
    ]
}
