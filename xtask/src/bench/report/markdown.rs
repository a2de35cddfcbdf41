//! Tables as Markdown.

use std::fmt::Write;

use super::{Limit, Row, Shape, Table};

impl Table {
    /// The table, what ran, and how its budgets were met.
    pub(in crate::bench) fn markdown(&self) -> String {
        let mut out = format!("{}\n\n", self.about);
        match &self.shape {
            Shape::Added => self.added_rows(&mut out),
            Shape::Plain => self.plain_rows(&mut out, "what"),
            Shape::Curve { axis } => self.plain_rows(&mut out, axis),
        }
        if !self.verdicts.is_empty() {
            out.push('\n');
        }
        for verdict in &self.verdicts {
            let (word, limit) = match verdict.limit {
                Limit::AtMost(limit) => ("at most", limit),
                Limit::AtLeast(limit) => ("at least", limit),
            };
            let _ = writeln!(
                out,
                "- {}: **{}**, budget {word} {}: {}",
                verdict.what,
                verdict.unit.show(verdict.seen),
                verdict.unit.show(limit),
                if verdict.held() { "held" } else { "**missed**" }
            );
        }
        out
    }

    /// What each condition adds to the load alone.
    fn added_rows(&self, out: &mut String) {
        let Some(column) = self.columns.first() else {
            return;
        };
        let _ = writeln!(
            out,
            "| condition | {} | half of the rounds | added | times the empty programs |\n|---|---:|---:|---:|---:|",
            column.name
        );
        for (at, row) in self.rows.iter().enumerate() {
            let (None, Some(series)) = (&row.lacks, row.values.first()) else {
                lacking(out, row, 4);
                continue;
            };
            let show = |value: Option<f64>| value.map(|value| column.unit.show(value));
            let (from, to) = series.quartiles();
            let _ = writeln!(
                out,
                "| {} | {} | {} to {} | {} | {} |",
                row.name,
                column.unit.show(series.median()),
                column.unit.show(from),
                column.unit.show(to),
                show(self.added(row).filter(|_| at > 0)).unwrap_or_default(),
                self.times_floor(row)
                    .filter(|_| at > 0)
                    .map(|times| super::Unit::Times.show(times))
                    .unwrap_or_default(),
            );
        }
    }

    fn plain_rows(&self, out: &mut String, first: &str) {
        let names: Vec<&str> = self.columns.iter().map(|it| it.name.as_str()).collect();
        let _ = writeln!(out, "| {first} | {} |", names.join(" | "));
        let _ = writeln!(out, "|---|{}", "---:|".repeat(names.len()));
        for row in &self.rows {
            if row.lacks.is_some() {
                lacking(out, row, names.len());
                continue;
            }
            let cells: Vec<String> = row
                .values
                .iter()
                .zip(&self.columns)
                .map(|(series, column)| column.unit.show(series.median()))
                .collect();
            let _ = writeln!(out, "| {} | {} |", row.name, cells.join(" | "));
        }
    }
}

/// A row that says why it has no figures.
fn lacking(out: &mut String, row: &Row, columns: usize) {
    let cause = row.lacks.as_deref().unwrap_or("no value");
    let _ = writeln!(
        out,
        "| {} | not measured: {cause} |{}",
        row.name,
        " |".repeat(columns.saturating_sub(1))
    );
}

#[cfg(test)]
mod tests {
    use crate::bench::report::{Column, Limit, Row, Shape, Table, Unit};

    #[test]
    fn what_is_added_is_told_in_multiples_of_the_floor() {
        let mut rows: Vec<Row> = ["nothing", "empty programs", "ctprof", "peer"]
            .map(|name| Row::new(name, 1))
            .into();
        for (row, values) in rows
            .iter_mut()
            .zip([[100.0, 200.0], [150.0, 250.0], [190.0, 290.0]])
        {
            values.iter().for_each(|value| row.push(&[*value]));
        }
        rows[3].lacks = Some("it is not installed".to_owned());
        let mut table = Table {
            id: "one".to_owned(),
            title: "One".to_owned(),
            about: "About.".to_owned(),
            columns: vec![Column::new("a call", Unit::Ns)],
            rows,
            shape: Shape::Added,
            verdicts: Vec::new(),
        };
        let seen = table.row("ctprof").and_then(|row| table.times_floor(row));
        table.judge("ctprof", Unit::Times, seen, Limit::AtMost(2.0));
        table.judge("slow", Unit::Times, Some(2.5), Limit::AtLeast(3.0));
        let seen = table.median("peer", 0);
        table.judge("not measured", Unit::Times, seen, Limit::AtLeast(3.0));
        assert_eq!(
            table.markdown(),
            "About.\n\n\
             | condition | a call | half of the rounds | added | times the empty programs |\n\
             |---|---:|---:|---:|---:|\n\
             | nothing | 150 ns | 125 ns to 175 ns |  |  |\n\
             | empty programs | 200 ns | 175 ns to 225 ns | 50.0 ns | 1.00x |\n\
             | ctprof | 240 ns | 215 ns to 265 ns | 90.0 ns | 1.80x |\n\
             | peer | not measured: it is not installed | | | |\n\
             \n\
             - ctprof: **1.80x**, budget at most 2.00x: held\n\
             - slow: **2.50x**, budget at least 3.00x: **missed**\n"
        );
    }
}
