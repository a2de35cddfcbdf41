//! `summary.json`: everything about a recording but its stacks.

use std::io::Write;

use crate::analysis::summary::Summary;

/// Writes the document, indented, with a newline at the end.
///
/// # Errors
/// What the writer fails with.
pub fn write(summary: &Summary, out: &mut impl Write) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, summary)?;
    out.write_all(b"\n")
}
