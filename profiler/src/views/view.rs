//! What a view has to say for itself.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::recorder::{Prepared, Readings, Scope};
use crate::host::cgroup::Hierarchy;
use crate::model::metric::{Metric, OfRow};
use crate::model::{Figures, ViewId};

/// Makes a string from the disk fit for a terminal.
pub type Clean = fn(&str) -> String;

/// One view. It is implemented for its figures of a row, which `summary.json` has as they are serialized, under the
/// view's id.
pub trait RowView: Figures + Serialize {
    /// Title of its line in the report.
    const TITLE: &'static str;

    /// Its metrics of a row.
    const METRICS: &'static [Metric<OfRow>] = &[];

    /// The figures as a recording on disk has them: no field is ever left out, and a change is a new version of the
    /// layout.
    type Record: Serialize + DeserializeOwned;

    /// The figures for the disk.
    fn record(&self) -> Self::Record;

    /// The figures from the disk, which may say anything; `None` if they cannot be.
    fn restore(record: Self::Record, clean: Clean) -> Option<Self>;

    /// Its line in the report; `None` if there is nothing to say.
    fn line(&self) -> Option<String>;

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

    /// Prepares to measure a recording. If nothing else is said, [`read`](Self::read) at its beginning and at its end
    /// is what is measured.
    ///
    /// # Errors
    /// Why it cannot be measured, and what to do about it.
    fn prepare<'a>(scope: &Scope<'a>) -> Prepared<'a> {
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
