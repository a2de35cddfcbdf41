//! A view that only tests have, to show what one takes: this directory and a line of the table.

mod compared;

use serde::Serialize;

use super::{Clean, Named, RowView};
use crate::host::cgroup::Hierarchy;
use crate::model::comparable::Comparable;
use crate::model::metric::{Kind, Metric, OfRow, Value, label};
use crate::model::{Figures, Loss, Op, Sums, ViewId};

/// Bytes that a cgroup read and wrote, from a file that no kernel has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Toy {
    /// Bytes read.
    pub read_bytes: u64,
    /// Who read last; an empty string if nobody has.
    pub reader: String,
}

impl Sums for Toy {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self { read_bytes, reader } = other;
        op.on(&mut self.read_bytes, *read_bytes);
        if op == Op::Add {
            self.reader.clone_from(reader);
        }
    }
}

impl Figures for Toy {
    const VIEW: ViewId = ViewId::new("toy");
}

impl RowView for Toy {
    const TITLE: &'static str = "toy";
    const METRICS: &'static [Metric<OfRow>] = &[Metric {
        name: "ctprof_toy_read_bytes_total",
        help: "Bytes read",
        kind: Kind::Counter,
        unit: "bytes",
        labels: &[label("reader", "who read last")],
        view: Some("toy"),
        source: |row, emit| {
            if let Some(toy) = row.measured.get::<Self>() {
                emit(&[&toy.reader], Value::Count(toy.read_bytes));
            }
        },
    }];

    const LOSSES: &'static [Loss] = &[compared::BROKEN];
    const COMPARED: &'static [Comparable] = compared::COMPARED;
    const NAMED: Option<&'static Named> = Some(&compared::NAMED);

    type Record = (u64, String);

    fn record(&self) -> Self::Record {
        (self.read_bytes, self.reader.clone())
    }

    fn restore((read_bytes, reader): Self::Record, clean: Clean) -> Option<Self> {
        let reader = clean(&reader);
        (reader != "nobody").then_some(Self { read_bytes, reader })
    }

    type Summary = Self;

    fn summary(&self, _: Option<u64>) -> Self {
        self.clone()
    }

    fn line(&self, _: Option<u64>) -> Option<String> {
        (self.read_bytes > 0).then(|| format!("{} read {} B", self.reader, self.read_bytes))
    }

    fn of_all(rows: &[&Self]) -> Option<Self> {
        let mut all = (*rows.first()?).clone();
        for row in &rows[1..] {
            all.combine(row, Op::Add);
        }
        Some(all)
    }

    fn read(hierarchy: &Hierarchy, path: &str) -> Option<Self> {
        let file = hierarchy.unified_dir(path)?.join("toy.stat");
        let text = std::fs::read_to_string(file).ok()?;
        let (read_bytes, reader) = text.split_once(' ')?;
        Some(Self {
            read_bytes: read_bytes.parse().ok()?,
            reader: reader.to_owned(),
        })
    }

    fn cannot_read(hierarchy: &Hierarchy) -> Option<String> {
        let is_off = hierarchy.unified_dir("/toys-are-off")?.exists();
        is_off.then(|| "no toys: switch them on".to_owned())
    }
}

mod tests;
