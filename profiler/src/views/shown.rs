//! What was measured of a row, as it is shown.

use serde::{Serialize, Serializer};

use super::view::{About, Section};
use crate::model::{Container, Measured};

/// The figures of a row, and what it takes to show them. Serialized, it is a map with a key for each view.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// The figures.
    pub measured: Measured,
    /// Sum of the lifetimes of its threads; `None` if that is not known.
    pub thread_time_ns: Option<u64>,
}

impl From<&Container> for Shown {
    fn from(row: &Container) -> Self {
        Self {
            measured: row.measured.clone(),
            thread_time_ns: row.ledger.as_ref().map(|it| it.thread_time_ns),
        }
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::serialize(self, serializer)
    }
}

impl Shown {
    /// Title and text of the line of each view that has one there, in the report.
    pub fn lines(&self, about: About) -> impl Iterator<Item = (&'static str, Option<String>)> {
        let views = super::ALL.iter().filter(move |view| view.about == about);
        views.map(|view| (view.title, (view.line)(self)))
    }

    /// The tables of views that have one, in the report: whole, or what fits a list of containers.
    pub fn sections(&self, full: bool) -> impl Iterator<Item = Section> {
        super::ALL
            .iter()
            .filter_map(move |view| (view.section)(self, full))
    }

    /// How often threads did what the ledger has under this name; `None` where no view counts that.
    #[must_use]
    pub fn times(&self, name: &str) -> Option<u64> {
        super::ALL
            .iter()
            .find_map(|view| (view.times)(&self.measured, name))
    }
}
