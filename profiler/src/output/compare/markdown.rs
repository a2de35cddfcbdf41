//! A comparison for pull requests.

use std::io::{self, Write};

use super::words;
use crate::compare::Verdict;
use crate::compare::metrics::Unit;
use crate::compare::outcome::{Compared, Comparison, RowComparison};

/// Writes it: rules and differences first, everything else folded away.
///
/// # Errors
/// What the writer fails with.
pub fn write(comparison: &Comparison, top: usize, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "### ctprof: {} beside {}\n",
        cell(&comparison.b.name),
        cell(&comparison.a.name)
    )?;
    for rule in &comparison.rules {
        let mark = match rule.compared.verdict {
            _ if rule.broken => "❌",
            Verdict::Unknown => "❔",
            _ => "✅",
        };
        writeln!(
            out,
            "- {mark} {} in {}: {}",
            cell(&rule.rule),
            cell(&rule.row),
            cell(&words::both(&rule.compared, rule.unit))
        )?;
    }
    for row in &comparison.rows {
        writeln!(out, "\n#### {}\n", cell(&row.name))?;
        let (differ, same): (Vec<_>, Vec<_>) = figures(row, top)
            .into_iter()
            .partition(|(_, compared, _)| differs(compared));
        if differ.is_empty() {
            writeln!(out, "No difference could be seen.")?;
        } else {
            table(&differ, out)?;
        }
        if !same.is_empty() {
            writeln!(
                out,
                "\n<details><summary>{} figures without a difference</summary>\n",
                same.len()
            )?;
            table(&same, out)?;
            writeln!(out, "\n</details>")?;
        }
    }
    writeln!(out, "\n{}", words::normalised(comparison))?;
    for note in &comparison.notes {
        writeln!(out, "- {}", cell(note))?;
    }
    Ok(())
}

fn differs(compared: &Compared) -> bool {
    matches!(compared.verdict, Verdict::More | Verdict::Less)
}

/// Name, figures and unit of every metric, and of as many functions as are asked for.
fn figures(row: &RowComparison, top: usize) -> Vec<(String, &Compared, Unit)> {
    let metrics = row.metrics.iter();
    let mut all: Vec<_> = metrics
        .map(|metric| (metric.id.clone(), &metric.compared, metric.unit))
        .collect();
    let functions = row.functions.iter();
    let limit = if top == 0 { usize::MAX } else { top };
    all.extend(functions.take(limit).map(|it| {
        let state = if it.state == "on_cpu" {
            String::new()
        } else {
            format!(" ({})", it.state)
        };
        (format!("{}{state}", it.name), &it.total, it.unit)
    }));
    all
}

fn table(figures: &[(String, &Compared, Unit)], out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "| figure | A | B | change | 95 % interval | verdict |\n|---|--:|--:|--:|--:|---|"
    )?;
    for (name, compared, unit) in figures {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            cell(name),
            words::figure(compared.a(), *unit),
            words::figure(compared.b(), *unit),
            words::change(compared),
            words::interval(compared),
            words::verdict(compared)
        )?;
    }
    Ok(())
}

/// Text that is no markup: names come from programs.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '@' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn names_are_no_markup() {
        assert_eq!(
            cell("a|b<img>_c_[d](e)@f"),
            "a\\|b&lt;img>\\_c\\_\\[d\\](e)\\@f"
        );
    }
}
