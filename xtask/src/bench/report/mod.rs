//! What a run measured: tables with every raw value, from which text, pictures and comparisons are made.
//!
//! - `series`: medians and spread
//! - `units`: figures as people read them
//! - `markdown`: tables as text
//! - `picture`: tables as SVG
//! - `baseline`: what changed since an earlier run
//! - `publish`: docs/overhead.md, its pictures, and the figures in the README

mod baseline;
mod markdown;
mod picture;
mod publish;
mod series;
mod units;

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::machine::Machine;

pub(super) use baseline::compare;
pub(super) use publish::{publish, render};
pub(super) use series::Series;
pub(super) use units::Unit;

/// A run of `cargo xtask bench`, or what is left of several on one machine.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) tables: Vec<Table>,
}

/// What was measured about one question.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Table {
    /// Names it in `--only`, in docs and in comparisons; never changes.
    pub(super) id: String,
    pub(super) title: String,
    /// What ran, and where one side does less work than another.
    pub(super) about: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    pub(super) shape: Shape,
    pub(super) verdicts: Vec<Verdict>,
}

/// A quantity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) unit: Unit,
}

/// A condition or a size.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) name: String,
    /// Why it could not be measured here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lacks: Option<String>,
    /// Raw values of each column, in the order of the rounds.
    pub(super) values: Vec<Series>,
}

/// How a table is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shape {
    /// The first row is the load alone and the second the floor: shown is what each row adds to the first, and how
    /// many times that is what the floor adds. One column.
    Added,
    /// Rows of figures.
    Plain,
    /// Rows named by numbers on this axis: drawn as curves, a curve for each column.
    Curve { axis: String },
}

/// A budget, and what was seen.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Verdict {
    /// What is judged, such as `ledger without stacks against the empty programs`.
    pub(super) what: String,
    pub(super) unit: Unit,
    pub(super) seen: f64,
    pub(super) limit: Limit,
}

/// Which side of a figure is good.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Verdict {
    pub(super) fn held(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.seen <= limit,
            Limit::AtLeast(limit) => self.seen >= limit,
        }
    }
}

impl Column {
    pub(super) fn new(name: &str, unit: Unit) -> Self {
        Self {
            name: name.to_owned(),
            unit,
        }
    }
}

impl Row {
    /// A row without values yet for a table of `columns`.
    pub(super) fn new(name: impl Into<String>, columns: usize) -> Self {
        Self {
            name: name.into(),
            lacks: None,
            values: (0..columns).map(|_| Series::default()).collect(),
        }
    }

    /// Adds a value to each column, in their order.
    pub(super) fn push(&mut self, values: &[f64]) {
        for (series, value) in self.values.iter_mut().zip(values) {
            series.push(*value);
        }
    }
}

impl Table {
    /// The row of this name, where it could be measured.
    pub(super) fn row(&self, name: &str) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.name == name && row.lacks.is_none())
    }

    /// The median of a cell.
    pub(super) fn median(&self, row: &str, column: usize) -> Option<f64> {
        Some(self.row(row)?.values.get(column)?.median())
    }

    /// What `row` adds to the first row: the median of the differences within a round, so that a machine that is
    /// slower for a while does not count.
    pub(super) fn added(&self, row: &Row) -> Option<f64> {
        let nothing = self.rows.first()?.values.first()?;
        Some(row.values.first()?.minus(nothing).median())
    }

    /// How many times what the second row adds `row` adds; none where that does not stand out of the noise.
    pub(super) fn times_floor(&self, row: &Row) -> Option<f64> {
        let floor = self.added(self.rows.get(1)?)?;
        (floor > 0.0).then_some(self.added(row)? / floor)
    }

    /// How far [`Table::times_floor`] may be off, as far as half of the rounds tell.
    pub(super) fn times_range(&self, row: &Row) -> Option<(f64, f64)> {
        let nothing = self.rows.first()?.values.first()?;
        let added = |row: &Row| Some(row.values.first()?.minus(nothing).quartiles());
        let (low, high) = added(row)?;
        let (floor_low, floor_high) = added(self.rows.get(1)?)?;
        let most = if floor_low > 0.0 {
            high / floor_low
        } else {
            f64::INFINITY
        };
        Some((low / floor_high, most))
    }

    /// Judges a figure, where it could be measured.
    pub(super) fn judge(&mut self, what: &str, unit: Unit, seen: Option<f64>, limit: Limit) {
        if let Some(seen) = seen {
            self.verdicts.push(Verdict {
                what: what.to_owned(),
                unit,
                seen,
                limit,
            });
        }
    }
}

impl Report {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} holds no result of `cargo xtask bench`", file.display()))
    }

    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}
