//! Text tables: columns padded to their widest cell, as far as that fits the terminal. Widths are counted in cells of
//! the terminal, not in characters: some are two cells wide or none.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

pub use crate::model::text::cut;

/// Blanks between two columns.
const GAP: usize = 2;
/// A column of text is made no narrower than this, to fit a terminal.
const LEAST: usize = 10;

/// How the cells of a column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table in the making. Cells must be free of control characters.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headings.
    #[must_use]
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        Self {
            columns: columns
                .into_iter()
                .map(|(name, align)| (name.to_owned(), align))
                .collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a column with one cell for each item; a table's columns all have as many.
    pub fn column<T>(
        &mut self,
        heading: &str,
        align: Align,
        items: impl Iterator<Item = T>,
        cell: impl Fn(T) -> String,
    ) {
        let before = self.columns.len();
        self.columns.push((heading.to_owned(), align));
        for (row, item) in items.enumerate() {
            if row == self.rows.len() {
                self.rows.push(vec![String::new(); before]);
            }
            self.rows[row].push(cell(item));
        }
        for row in &mut self.rows {
            row.resize(before + 1, String::new());
        }
    }

    /// Adds a row; missing cells are empty, cells too many are dropped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().take(self.columns.len()).collect();
        cells.resize(self.columns.len(), String::new());
        self.rows.push(cells);
    }

    /// Writes headings and rows. With a `width`, in character cells, the last column is cut there with `…`;
    /// where that would leave nothing of it, the widest columns of text before it are made narrower.
    ///
    /// # Errors
    /// What the writer fails with.
    pub fn write(&self, out: &mut impl Write, width: Option<usize>) -> io::Result<()> {
        self.write_with(out, width, str::to_owned)
    }

    /// As [`write`](Self::write), with the line of headings as `heading` makes it.
    ///
    /// # Errors
    /// What the writer fails with.
    pub fn write_with(
        &self,
        out: &mut impl Write,
        width: Option<usize>,
        heading: impl Fn(&str) -> String,
    ) -> io::Result<()> {
        let headings: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let mut widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                std::iter::once(&headings)
                    .chain(&self.rows)
                    .map(|row| row[column].width())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        if let Some(width) = width {
            self.narrow(&mut widths, width);
        }
        for (number, row) in std::iter::once(&headings).chain(&self.rows).enumerate() {
            let mut line = String::new();
            for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                let cell = cut(cell, *width);
                let padding = " ".repeat(width.saturating_sub(cell.width()));
                match align {
                    Align::Left => line.extend([cell, padding]),
                    Align::Right => line.extend([padding, cell]),
                }
                line.push_str(&" ".repeat(GAP));
            }
            let line = line.trim_end();
            let line = width.map_or_else(|| line.to_owned(), |width| cut(line, width));
            match number {
                0 => writeln!(out, "{}", heading(&line))?,
                _ => writeln!(out, "{line}")?,
            }
        }
        Ok(())
    }

    /// Takes from the widest columns of text what the last one lacks.
    fn narrow(&self, widths: &mut [usize], width: usize) {
        let Some(last) = widths.len().checked_sub(1) else {
            return;
        };
        let least_last = widths[last].min(LEAST);
        let needed: usize = widths[..last].iter().map(|width| width + GAP).sum();
        for _ in width..needed + least_last {
            let widest = (0..last)
                .filter(|column| self.columns[*column].1 == Align::Left && widths[*column] > LEAST)
                .max_by_key(|column| widths[*column]);
            match widest {
                Some(column) => widths[column] -= 1,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Align, Table, cut};

    fn text(table: &Table, width: Option<usize>) -> String {
        let mut out = Vec::new();
        table.write(&mut out, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_line_up_in_character_cells() {
        let mut table = Table::new([
            ("NAME", Align::Left),
            ("CPU", Align::Right),
            ("X", Align::Left),
        ]);
        table.row(["größe".into(), "0.5".into(), "/a".into()]);
        table.row(["網".into(), "12".into()]);
        assert_eq!(
            text(&table, None),
            "NAME   CPU  X\ngröße  0.5  /a\n網      12\n"
        );
    }

    #[test]
    fn columns_are_cut_and_counted_in_cells() {
        assert_eq!(cut("größe", 5), "größe");
        assert_eq!(cut("größen", 5), "größ…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 6), "日本語");
        let mut table = Table::default();
        let names = ["日本", "e\u{301}x"];
        table.column("A", Align::Left, names.into_iter(), str::to_owned);
        table.column("N", Align::Right, [7, 12].into_iter(), |n: i32| {
            n.to_string()
        });
        let mut out = Vec::new();
        table
            .write_with(&mut out, None, |line| format!("<{line}>"))
            .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "<A      N>\n日本   7\ne\u{301}x    12\n"
        );
    }

    #[test]
    fn wide_columns_give_way_to_the_last() {
        let mut table = Table::new([
            ("NAME", Align::Left),
            ("IMAGE", Align::Left),
            ("THREADS", Align::Right),
            ("CGROUP", Align::Left),
        ]);
        table.row([
            "web".into(),
            "registry.example.com/shop/web:2.3".into(),
            "12".into(),
            "/docker/fe5215765b75d118956d04673775e556".into(),
        ]);
        assert_eq!(
            text(&table, Some(50)),
            "\
NAME  IMAGE                    THREADS  CGROUP
web   registry.example.com/s…       12  /docker/f…
"
        );
        assert_eq!(
            text(&table, Some(20)),
            "\
NAME  IMAGE       T…
web   registry.…   …
"
        );
    }

    #[test]
    fn long_lines_are_cut_at_the_edge() {
        let mut table = Table::new([("A", Align::Left), ("PATH", Align::Left)]);
        table.row(["1".into(), "/docker/網abc".into()]);
        assert_eq!(text(&table, Some(13)), "A  PATH\n1  /docker/…\n");
        assert_eq!(text(&table, Some(14)), "A  PATH\n1  /docker/網…\n");
        assert_eq!(text(&table, Some(16)), "A  PATH\n1  /docker/網abc\n");
    }
}
