//! What a view has to say for itself.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::kept::Kept;
use super::named::Named;
use super::recorder::{Prepared, Readings, Scope};
use super::standing::Standing;
use super::switch::Switch;
use crate::collect::Hooks;
use crate::host::cgroup::Hierarchy;
use crate::model::comparable::Comparable;
use crate::model::metric::{Metric, OfRow};
use crate::model::{Figures, Loss, ViewId};
use crate::table::Table;

/// Makes a string from the disk fit for a terminal.
pub type Clean = fn(&str) -> String;

/// Beside what a view's line stands in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// What threads did.
    Threads,
    /// What the kernel counts for the cgroup.
    Cgroup,
}

/// A table in the report.
#[derive(Debug)]
pub struct Section {
    /// The table.
    pub table: Table,
    /// What there is more than it shows, in words.
    pub more: Option<String>,
}

/// One view. It is implemented for its figures of a row. `thread_time_ns` is the sum of the lifetimes of the row's
/// threads, where that is known.
pub trait RowView: Figures {
    /// Title of its line in the report.
    const TITLE: &'static str;

    /// Where that line stands.
    const ABOUT: About = About::Cgroup;

    /// Its metrics of a row.
    const METRICS: &'static [Metric<OfRow>] = &[];

    /// What it can ask of the kernel half: every program, and maps as small as they can be. `None` for a view that has none there.
    const HOOKS: Option<&'static dyn Hooks> = None;

    /// What the kernel half, or whoever looks into what it tells, can lose of it.
    const LOSSES: &'static [Loss] = &[];

    /// What rows of two windows are compared by.
    const COMPARED: &'static [Comparable] = &[];

    /// What it counts one by one, by name.
    const NAMED: Option<&'static Named> = None;

    /// By which flag it is asked for; `None` for a view that is always measured.
    const SWITCH: Option<&'static Switch> = None;

    /// What an agent measures of it unless it is told not to; `None` for a view that nothing is measured of, or only if asked for.
    const STANDING: Option<&'static Standing> = None;

    /// The figures as a recording on disk has them: no field is ever left out, and a change is a new version of the
    /// layout.
    type Record: Serialize + DeserializeOwned;

    /// The figures for the disk.
    fn record(&self) -> Self::Record;

    /// The figures from the disk, which may say anything; `None` if they cannot be.
    fn restore(record: Self::Record, clean: Clean) -> Option<Self>;

    /// The figures as `summary.json` has them under the view's id.
    type Summary: Serialize;

    /// The figures for `summary.json`.
    fn summary(&self, thread_time_ns: Option<u64>) -> Self::Summary;

    /// Its line in the report; `None` if there is nothing to say.
    fn line(&self, thread_time_ns: Option<u64>) -> Option<String>;

    /// Its table in the report, the whole or what fits a list of containers; `None` if it has none.
    fn section(&self, _thread_time_ns: Option<u64>, _full: bool) -> Option<Section> {
        None
    }

    /// How often threads did what the ledger has under this name, if that is what the view counts.
    fn times(&self, _name: &str) -> Option<u64> {
        None
    }

    /// The figures of these rows as those of one row that is all of them, for comparing; `None` where that means nothing.
    #[must_use]
    fn of_all(_: &[&Self]) -> Option<Self> {
        None
    }

    /// What the kernel has counted of a cgroup with all below it since it was created; `None` for a cgroup of which
    /// it has not, and for views that are measured in another way.
    #[must_use]
    fn read(_: &Hierarchy, _path: &str) -> Option<Self> {
        None
    }

    /// Why [`read`](Self::read) has nothing of any cgroup of this host, and what to do about it.
    #[must_use]
    fn cannot_read(_: &Hierarchy) -> Option<String> {
        None
    }

    /// What the kernel half counts for it, to be kept by row; `None` if it counts nothing for it.
    #[must_use]
    fn kept() -> Option<Box<dyn Kept>> {
        None
    }

    /// Prepares to measure a recording. If nothing else is said, [`read`](Self::read) at its beginning and at its end
    /// is what is measured.
    ///
    /// # Errors
    /// Why it cannot be measured, and what to do about it.
    fn prepare(scope: &Scope<'_>) -> Prepared {
        match Self::cannot_read(scope.hierarchy) {
            Some(cause) => Err(cause),
            None => Ok(Box::new(Readings::<Self>::new(scope.hierarchy))),
        }
    }
}

/// The id of a view.
pub(super) fn id<V: RowView>() -> ViewId {
    V::VIEW
}
