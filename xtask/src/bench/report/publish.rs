//! docs/overhead.md, its pictures and the figures in other documents, all from docs/overhead.json.
//!
//! A document says where figures belong, and what stands there is replaced:
//!
//! - `<!-- bench: TABLE -->` … `<!-- /bench -->`: a whole table with its picture; `machine` for the machine
//! - `<!-- bench: TABLE/ROW/FIGURE -->` … `<!-- /bench -->`: one figure within a sentence. FIGURE is `added`, `times`
//!   or a column's name

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Report, Table, Unit, picture};
use crate::paths;

const RESULTS: &str = "docs/overhead.json";
/// What holds figures.
const DOCUMENTS: &[&str] = &["docs/overhead.md", "docs/syscalls.md", "README.md"];

const OPEN: &str = "<!-- bench: ";
const OPENED: &str = " -->";
const CLOSE: &str = "<!-- /bench -->";

/// Replaces the tables that `report` holds in the published results, and all figures in documents.
///
/// # Errors
/// Where what was published is of another machine and `report` does not replace all of it: figures of two machines
/// cannot stand in one document.
pub(in crate::bench) fn publish(report: Report) -> Result<()> {
    let file = paths::root().join(RESULTS);
    let report = if file.is_file() {
        merged(Report::read(&file)?, report)?
    } else {
        report
    };
    report.write(&file)?;
    render()
}

/// Writes documents and pictures from the published results.
///
/// # Errors
/// Where a document asks for a figure that was not published.
pub(in crate::bench) fn render() -> Result<()> {
    let root = paths::root();
    let report = Report::read(&root.join(RESULTS))?;
    for table in &report.tables {
        if let Some(svg) = picture::draw(table)? {
            let file = root.join("docs").join(picture_of(table));
            std::fs::write(&file, svg)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    for document in DOCUMENTS {
        let file = root.join(document);
        let text = read(&file)?;
        let filled = fill(&text, &report).with_context(|| format!("in {document}"))?;
        std::fs::write(&file, filled).with_context(|| format!("cannot write {document}"))?;
    }
    println!("wrote {} from {RESULTS}", DOCUMENTS.join(", "));
    Ok(())
}

/// `old` with those tables replaced that `new` has, too.
fn merged(mut old: Report, new: Report) -> Result<Report> {
    let replaced = |table: &Table| new.tables.iter().any(|it| it.id == table.id);
    old.tables.retain(|table| !replaced(table));
    ensure!(
        old.tables.is_empty() || old.machine == new.machine,
        "what is published is of another machine ({}): publish a whole run, without --only",
        old.machine
    );
    old.tables.extend(new.tables);
    old.machine = new.machine;
    Ok(old)
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// `text` with every figure of `report` in its place.
fn fill(text: &str, report: &Report) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (what, after) = after.split_once(OPENED).context("a mark has no end")?;
        let (_, after) = after
            .split_once(CLOSE)
            .with_context(|| format!("nothing closes the mark `{what}`"))?;
        let figure = figure(what, report).with_context(|| format!("no figure for `{what}`"))?;
        out += before;
        out += &[OPEN, what, OPENED, &figure, CLOSE].concat();
        rest = after;
    }
    out += rest;
    Ok(out)
}

fn figure(what: &str, report: &Report) -> Option<String> {
    if what == "machine" {
        return Some(report.machine.to_string());
    }
    let mut parts = what.split('/');
    let id = parts.next()?;
    let table = report.tables.iter().find(|table| table.id == id)?;
    let Some(row) = parts.next() else {
        let drawn = picture::is_drawn(table);
        let picture = drawn.then(|| format!("\n![{}]({})\n", table.title, picture_of(table)));
        return Some(format!(
            "\n{}{}",
            table.markdown(),
            picture.unwrap_or_default()
        ));
    };
    let row = table.row(row)?;
    let first = table.columns.first()?;
    match parts.next()? {
        "added" => table.added(row).map(|value| first.unit.show(value)),
        "times" => table.times_floor(row).map(|value| Unit::Times.show(value)),
        column => {
            let at = table.columns.iter().position(|it| it.name == column)?;
            let value = row.values.get(at)?.median();
            Some(table.columns.get(at)?.unit.show(value))
        }
    }
}

/// The picture's path, from the folder of documents.
fn picture_of(table: &Table) -> String {
    format!("images/overhead-{}.svg", table.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `cargo xtask bench --publish` would write is what is there.
    #[test]
    fn documents_hold_the_published_figures() -> Result<()> {
        let root = paths::root();
        let report = Report::read(&root.join(RESULTS))?;
        for document in DOCUMENTS {
            let text = read(&root.join(document))?;
            ensure!(
                text.contains(OPEN) && fill(&text, &report)? == text,
                "{document} differs from {RESULTS}: run `cargo xtask bench --render`"
            );
        }
        for table in &report.tables {
            if let Some(svg) = picture::draw(table)? {
                let file = root.join("docs").join(picture_of(table));
                ensure!(read(&file)? == svg, "{} is stale", file.display());
            }
        }
        Ok(())
    }

    #[test]
    fn a_mark_without_a_figure_is_named() -> Result<()> {
        let report = Report {
            machine: crate::bench::machine::Machine::default(),
            tables: Vec::new(),
        };
        for (text, cause) in [
            (
                "a <!-- bench: no/such/figure -->1<!-- /bench -->",
                "no figure for `no/such/figure`",
            ),
            (
                "a <!-- bench: machine -->",
                "nothing closes the mark `machine`",
            ),
        ] {
            let error = fill(text, &report).err().map(|error| format!("{error:#}"));
            assert_eq!(error.as_deref(), Some(cause));
        }
        Ok(())
    }
}
