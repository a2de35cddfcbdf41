//! Text tables: columns padded to their widest cell, as far as that fits the terminal.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

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
#[derive(Clone, Debug)]
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
        for row in std::iter::once(&headings).chain(&self.rows) {
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
            match width {
                Some(width) => writeln!(out, "{}", cut(line, width))?,
                None => writeln!(out, "{line}")?,
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

/// `text` in at most `width` character cells, with `…` at the end where something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// Width of the terminal that standard output is, in character cells; `None` when it is none.
#[must_use]
pub fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::{Align, Table};

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
