//! The table, the score, and where they are published.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::score::Row;
use super::table;
use crate::paths;

const DOCUMENT: &str = "docs/doctor.md";
const OPEN: &str = "<!-- situations -->";
const CLOSE: &str = "<!-- /situations -->";

/// How many situations may have another cause first.
const WRONG_ALLOWED: usize = 2;

/// All that was tried.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
}

impl Report {
    /// What an earlier run wrote.
    ///
    /// # Errors
    /// There is no such file, or it is none of ours.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not what --json writes", file.display()))
    }

    /// Takes the rows over that it lacks, in the order of the table.
    pub(super) fn complete(&mut self, known: Self) {
        for row in known.rows {
            if self.rows.iter().all(|it| it.name != row.name) {
                self.rows.push(row);
            }
        }
        let place = |row: &Row| table::all().position(|it| it.name == row.name);
        self.rows.sort_by_key(place);
    }

    fn ill(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|it| !it.healthy)
    }

    fn healthy(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|it| it.healthy)
    }

    /// Both tables, as Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        if self.ill().next().is_some() {
            text += "| situation | first finding | right first | evidence | advice | promised | measured |\n";
            text += "|---|---|---|---|---|---:|---:|\n";
            text.extend(self.ill().map(ill_row));
        }
        if self.healthy().next().is_some() {
            text += if text.is_empty() { "" } else { "\n" };
            text += "| healthy container | findings | nothing above info |\n|---|---|---|\n";
            text.extend(self.healthy().map(healthy_row));
        }
        text + "\n" + &self.score() + "\n"
    }

    /// One line.
    pub(super) fn score(&self) -> String {
        let count = |wanted: &dyn Fn(&Row) -> bool| self.ill().filter(|it| wanted(it)).count();
        let promises: Vec<bool> = self
            .ill()
            .filter_map(|it| it.verdict.is_kept(it.measured()))
            .collect();
        format!(
            "Right cause first in {} of {} situations, its evidence in {}, what to change in {}; {} of {} promises kept within \
             25 %; {} of {} healthy containers without a warning.",
            count(&Row::is_right),
            self.ill().count(),
            count(&|it| it.failed.is_none() && it.verdict.evidence_lacks.is_empty()),
            count(&|it| it.failed.is_none() && it.verdict.advice_lacks.is_empty()),
            promises.iter().filter(|it| **it).count(),
            promises.len(),
            self.healthy().filter(|it| it.is_right()).count(),
            self.healthy().count(),
        )
    }

    /// Enough of it is right.
    pub(super) fn is_good(&self) -> bool {
        let wrong = self.ill().filter(|it| !it.is_right()).count();
        wrong <= WRONG_ALLOWED && self.healthy().all(Row::is_right)
    }

    /// Puts the tables between their marks in the page.
    ///
    /// # Errors
    /// There is no page, or it has no marks.
    pub(super) fn publish(&self) -> Result<()> {
        let file = paths::root().join(DOCUMENT);
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {DOCUMENT}"))?;
        let filled = fill(&text, &self.markdown())
            .with_context(|| format!("{DOCUMENT} has no marks `{OPEN}` and `{CLOSE}`"))?;
        fs::write(&file, filled).with_context(|| format!("cannot write {DOCUMENT}"))?;
        println!("wrote {DOCUMENT}");
        Ok(())
    }
}

fn fill(text: &str, tables: &str) -> Option<String> {
    let (before, rest) = text.split_once(OPEN)?;
    let (_, after) = rest.split_once(CLOSE)?;
    Some([before, OPEN, "\n", tables, CLOSE, after].concat())
}

fn ill_row(row: &Row) -> String {
    if let Some(why) = problem(row) {
        return format!("| {} | {why} | no | | | | |\n", row.is);
    }
    let first = row.findings.first();
    let first = first.map_or_else(
        || "none".to_owned(),
        |it| format!("`{}`: {}", it.id, cell(&it.title)),
    );
    let verdict = &row.verdict;
    let kept = match verdict.is_kept(row.measured()) {
        Some(false) => " (not kept)",
        _ => "",
    };
    format!(
        "| {} | {first} | {} | {} | {} | {} | {}{kept} |\n",
        row.is,
        yes(verdict.right),
        yes(verdict.evidence_lacks.is_empty()),
        yes(verdict.advice_lacks.is_empty()),
        times(verdict.promise),
        times(row.measured()),
    )
}

fn healthy_row(row: &Row) -> String {
    if let Some(why) = problem(row) {
        return format!("| {} | {why} | no |\n", row.is);
    }
    let findings: Vec<String> = row
        .findings
        .iter()
        .map(|it| format!("{:?} `{}`: {}", it.severity, it.id, cell(&it.title)).to_lowercase())
        .collect();
    let findings = if findings.is_empty() {
        "none".to_owned()
    } else {
        findings.join("; ")
    };
    format!("| {} | {findings} | {} |\n", row.is, yes(row.verdict.right))
}

/// Why there is nothing to judge.
fn problem(row: &Row) -> Option<String> {
    if let Some(why) = &row.failed {
        return Some(cell(&format!("could not be tried: {why}")));
    }
    let untrue = !row.untrue.is_empty();
    untrue.then(|| {
        cell(&format!(
            "is not what it is called: {}",
            row.untrue.join("; ")
        ))
    })
}

/// Text that fits into a cell of a table.
fn cell(text: &str) -> String {
    text.replace(['\n', '|'], " ")
}

const fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn times(factor: Option<f64>) -> String {
    factor.map_or_else(|| "-".to_owned(), |it| format!("{it:.1} x"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_stand_between_their_marks() {
        let page = "a\n<!-- situations -->\nold\n<!-- /situations -->\nb";
        let filled = fill(page, "new\n");
        let expected = "a\n<!-- situations -->\nnew\n<!-- /situations -->\nb";
        assert_eq!(filled.as_deref(), Some(expected));
        assert_eq!(fill("no marks", "new\n"), None);
    }

    #[test]
    fn two_may_be_wrong_but_nothing_healthy() {
        let row = |healthy, right| {
            let mut row = Row {
                healthy,
                ..Row::default()
            };
            row.verdict.right = right;
            row
        };
        let report = |rows: [bool; 4]| Report {
            rows: rows
                .into_iter()
                .enumerate()
                .map(|(at, right)| row(at == 3, right))
                .collect(),
        };
        assert!(report([true, false, false, true]).is_good());
        assert!(!report([false, false, false, true]).is_good());
        assert!(!report([true, true, true, false]).is_good());
    }

    #[test]
    fn an_earlier_run_has_the_rest() {
        let row = |name: &str, after| Row {
            name: name.to_owned(),
            after,
            ..Row::default()
        };
        let mut now = Report {
            rows: vec![row("weight", Some(2.0))],
        };
        now.complete(Report {
            rows: vec![
                row("bridge", None),
                row("weight", Some(1.0)),
                row("go-quota", None),
            ],
        });
        let found: Vec<_> = now.rows.iter().map(|it| (&*it.name, it.after)).collect();
        assert_eq!(
            found,
            [("go-quota", None), ("weight", Some(2.0)), ("bridge", None)]
        );
    }

    #[test]
    fn what_is_not_what_it_is_called_is_not_right() {
        let mut row = Row {
            untrue: vec!["Cores(1.0, 2.0): 0.10".to_owned()],
            ..Row::default()
        };
        row.verdict.right = true;
        assert!(!row.is_right());
    }
}
