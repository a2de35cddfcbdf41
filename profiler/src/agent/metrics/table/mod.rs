//! Every metric of the agent, once.
//!
//! A counter of a row is there from the row's first scrape on, at 0 where nothing happened: `rate()` sees the first
//! increase of a series only if it saw the series before. Exceptions, because their labels are open-ended: a culprit, a
//! system call and an errno appear when they first happen; what they count until the scrape that shows them first is in
//! no rate. Durations of throttling have 11 series, so they are left out of rows without a quota until one from
//! above stops them; `ctprof_throttled_seconds_total` is there in any case.

mod agent;
mod group;
mod host;

use crate::model::metric::{self, Emit, OfRow, label};
use crate::model::{Group, Reading};
use crate::views;

pub use crate::model::metric::{Kind, Label, Value};
pub use agent::Agent;

/// One metric.
pub type Metric = metric::Metric<Source>;

/// Where the values are. Times are in ns and become seconds.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// One or more values for each row; the labels of the row come first.
    Group(fn(&Group, Emit<'_>)),
    /// The same, of what a view measured.
    View(OfRow),
    /// The host as a whole.
    Host(fn(&Reading, Emit<'_>)),
    /// The agent itself.
    Agent(fn(&Agent<'_>, Emit<'_>)),
}

/// Every metric, in the order of the exposition and of the manual.
pub fn all() -> impl Iterator<Item = Metric> {
    let of_views = views::ALL.iter().flat_map(|view| view.metrics);
    let of_views = of_views.map(|metric| metric.with(Source::View));
    let of_rows = [group::LEDGER, group::CGROUP]
        .into_iter()
        .flatten()
        .copied();
    let others = [host::METRICS, agent::METRICS];
    of_rows
        .chain(of_views)
        .chain(others.into_iter().flatten().copied())
}

/// The metrics whose view this kernel and configuration can give.
pub fn available(reading: &Reading) -> impl Iterator<Item = Metric> {
    let missing = |view: Option<&str>| {
        view.is_some_and(|view| {
            reading
                .unavailable
                .iter()
                .any(|it| it.view.as_str() == view)
        })
    };
    all().filter(move |metric| !missing(metric.view))
}

impl Source {
    /// Takes the values of a row, if it is rows that have them.
    pub fn of_group(self, group: &Group, emit: Emit<'_>) {
        match self {
            Self::Group(values) => values(group, emit),
            Self::View(values) => values(&group.figures, emit),
            Self::Host(_) | Self::Agent(_) => {}
        }
    }
}
