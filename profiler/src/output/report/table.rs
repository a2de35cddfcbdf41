//! Columns that line up, also under characters that are two cells wide or none.

use std::io::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Paint;

/// Between two columns.
const GAP: &str = "  ";

/// Where a column's cells are short of its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Filled on the right; the last column is not filled.
    Left,
    /// Filled on the left: numbers.
    Right,
}

struct Column {
    heading: &'static str,
    align: Align,
    cells: Vec<String>,
}

/// A table that is built by columns and printed by rows.
pub(super) struct Table {
    columns: Vec<Column>,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self {
            columns: Vec::new(),
        }
    }

    /// Adds a column with one cell for each item.
    pub(super) fn column<T>(
        &mut self,
        heading: &'static str,
        align: Align,
        items: impl Iterator<Item = T>,
        cell: impl Fn(T) -> String,
    ) {
        self.columns.push(Column {
            heading,
            align,
            cells: items.map(cell).collect(),
        });
    }

    pub(super) fn write(&self, paint: &Paint, out: &mut impl Write) -> std::io::Result<()> {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .map(|column| {
                let cells = column.cells.iter().map(|cell| cell.width()).max();
                cells.unwrap_or(0).max(column.heading.width())
            })
            .collect();
        let headings = self.columns.iter().map(|column| column.heading);
        writeln!(out, "{}", paint.faint(&self.line(headings, &widths)))?;
        let rows = self.columns.first().map_or(0, |column| column.cells.len());
        for row in 0..rows {
            let cells = self.columns.iter().map(|column| column.cells[row].as_str());
            writeln!(out, "{}", self.line(cells, &widths))?;
        }
        Ok(())
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
        let mut line = String::new();
        for (i, (cell, width)) in cells.zip(widths).enumerate() {
            if i > 0 {
                line.push_str(GAP);
            }
            let fill = " ".repeat(width.saturating_sub(cell.width()));
            match self.columns[i].align {
                Align::Right => line.extend([fill.as_str(), cell]),
                Align::Left if i + 1 == widths.len() => line.push_str(cell),
                Align::Left => line.extend([cell, fill.as_str()]),
            }
        }
        line
    }
}

/// `text` in at most `max` cells, with `…` at the end if something is missing.
pub(super) fn cut(text: &str, max: usize) -> String {
    if text.width() <= max {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut width = 0;
    for c in text.chars() {
        width += c.width().unwrap_or(0);
        if width >= max {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_counted_not_characters() {
        assert_eq!(cut("größe", 5), "größe");
        assert_eq!(cut("größen", 5), "größ…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 6), "日本語");
        let mut table = Table::new();
        table.column(
            "A",
            Align::Left,
            ["日本", "e\u{301}x"].into_iter(),
            str::to_owned,
        );
        table.column("N", Align::Right, [7, 12].into_iter(), |n: i32| {
            n.to_string()
        });
        let mut out = Vec::new();
        table.write(&Paint(false), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "A      N\n日本   7\ne\u{301}x    12\n"
        );
    }
}
