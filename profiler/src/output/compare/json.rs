//! A comparison as one JSON object.

use std::io::{self, Write};

use serde::Serialize;

use crate::compare::outcome::{Comparison, RowComparison, Side};
use crate::compare::rules::RuleOutcome;

/// Goes up when a key changes its meaning or goes.
const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    a: &'a Side,
    b: &'a Side,
    /// Of the shorter one.
    seconds: f64,
    work: Option<&'a str>,
    paired: bool,
    rows: &'a [RowComparison],
    only_a: &'a [String],
    only_b: &'a [String],
    rules: &'a [RuleOutcome],
    notes: &'a [String],
}

/// Writes it, indented, with a newline at the end.
///
/// # Errors
/// What the writer fails with.
pub fn write(comparison: &Comparison, out: &mut impl Write) -> io::Result<()> {
    let document = Document {
        schema_version: SCHEMA_VERSION,
        a: &comparison.a,
        b: &comparison.b,
        seconds: comparison.a.seconds.min(comparison.b.seconds),
        work: comparison.work.as_deref(),
        paired: comparison.paired,
        rows: &comparison.rows,
        only_a: &comparison.only_a,
        only_b: &comparison.only_b,
        rules: &comparison.rules,
        notes: &comparison.notes,
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    out.write_all(b"\n")
}
