//! What changed since an earlier run.
//!
//! Machines change speed between runs, so figures of tables with a floor are compared as multiples of it.

use std::fmt::Write;

use super::{Report, Row, Shape, Table, Unit};

/// A change of less than this share is never called one: medians of quiet runs differ by as much.
const NOISE: f64 = 0.1;

/// A table of every figure that both runs have.
pub(in crate::bench) fn compare(before: &Report, now: &Report) -> String {
    let mut out = String::new();
    if before.machine != now.machine {
        let _ = writeln!(
            out,
            "The earlier run was on another machine: {}. This one: {}.\n",
            before.machine, now.machine
        );
    }
    out.push_str("| figure | before | now | change |\n|---|---:|---:|---|\n");
    for table in &now.tables {
        let Some(old) = before.tables.iter().find(|old| old.id == table.id) else {
            let _ = writeln!(out, "| {} | | new | |", table.id);
            continue;
        };
        for row in &table.rows {
            if let Some(old_row) = old.row(&row.name) {
                figures(&mut out, (old, old_row), (table, row));
            }
        }
    }
    out
}

fn figures(out: &mut String, (old, old_row): (&Table, &Row), (table, row): (&Table, &Row)) {
    if table.shape == Shape::Added {
        let times = old.times_floor(old_row).zip(table.times_floor(row));
        let ranges = old.times_range(old_row).zip(table.times_range(row));
        // The first two rows are the yardstick itself.
        if let Some(((before, now), ((low, high), (from, to)))) = times.zip(ranges)
            && table.rows.iter().take(2).all(|it| it.name != row.name)
        {
            let name = format!("{}: {}", table.id, row.name);
            let apart = low > to || from > high;
            line(out, &name, Unit::Times, before, now, apart);
        }
        return;
    }
    for (column, series) in table.columns.iter().zip(&row.values) {
        let at = old.columns.iter().position(|it| it.name == column.name);
        let Some(earlier) = at.and_then(|at| old_row.values.get(at)) else {
            continue;
        };
        let ((low, high), (from, to)) = (earlier.quartiles(), series.quartiles());
        let name = format!("{}: {}, {}", table.id, row.name, column.name);
        let apart = low > to || from > high;
        let (before, now) = (earlier.median(), series.median());
        line(out, &name, column.unit, before, now, apart);
    }
}

/// `apart`: the middle halves of the two runs do not overlap.
fn line(out: &mut String, name: &str, unit: Unit, before: f64, now: f64, apart: bool) {
    let ratio = now / before;
    let change = if !ratio.is_finite() {
        String::new()
    } else if !apart || (ratio - 1.0).abs() < NOISE {
        "within noise".to_owned()
    } else if ratio > 1.0 {
        format!("**more, {}**", Unit::Times.show(ratio))
    } else {
        format!("less, {}", Unit::Times.show(ratio))
    };
    let (before, now) = (unit.show(before), unit.show(now));
    let _ = writeln!(out, "| {name} | {before} | {now} | {change} |");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::machine::Machine;
    use crate::bench::report::Column;

    fn report(values: &[(&str, [f64; 2])], shape: &Shape) -> Report {
        let rows = values.iter().map(|(name, values)| {
            let mut row = Row::new(*name, 1);
            values.iter().for_each(|value| row.push(&[*value]));
            row
        });
        Report {
            machine: Machine::default(),
            tables: vec![Table {
                id: "t".to_owned(),
                title: String::new(),
                about: String::new(),
                columns: vec![Column::new("a call", Unit::Ns)],
                rows: rows.collect(),
                shape: shape.clone(),
                verdicts: Vec::new(),
            }],
        }
    }

    #[test]
    fn a_slower_machine_is_no_regression_but_a_larger_multiple_is() {
        let before = [
            ("nothing", [100.0; 2]),
            ("empty", [110.0; 2]),
            ("it", [120.0; 2]),
        ];
        let now = [
            ("nothing", [200.0; 2]),
            ("empty", [220.0; 2]),
            ("it", [260.0; 2]),
        ];
        let text = compare(
            &report(&before, &Shape::Added),
            &report(&now, &Shape::Added),
        );
        assert!(
            text.ends_with("| t: it | 2.00x | 3.00x | **more, 1.50x** |\n"),
            "{text}"
        );
    }

    #[test]
    fn runs_that_overlap_differ_by_noise() {
        let before = report(&[("row", [100.0, 200.0])], &Shape::Plain);
        let now = report(&[("row", [150.0, 250.0])], &Shape::Plain);
        let text = compare(&before, &now);
        assert!(
            text.ends_with("| t: row, a call | 150 ns | 200 ns | within noise |\n"),
            "{text}"
        );
        let now = report(&[("row", [40.0, 40.0]), ("other", [1.0; 2])], &Shape::Plain);
        let text = compare(&before, &now);
        assert!(
            text.ends_with("| t: row, a call | 150 ns | 40.0 ns | less, 0.27x |\n"),
            "{text}"
        );
    }
}
