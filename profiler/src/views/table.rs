//! The views as a table, for those who do not know their types.

use super::kept::Kept;
use super::named::Named;
use super::recorder::{Prepared, Scope};
use super::shown::Shown;
use super::standing::Standing;
use super::switch::Switch;
use super::view::{self, About, Clean, RowView, Section};
use crate::collect::Hooks;
use crate::host::cgroup::Hierarchy;
use crate::model::comparable::Comparable;
use crate::model::metric::{Metric, OfRow};
use crate::model::{Loss, Measured, ViewId};

/// One view, as everybody but itself knows it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its id.
    pub id: fn() -> ViewId,
    /// Title of its line in the report.
    pub title: &'static str,
    /// Its metrics of a row.
    pub metrics: &'static [Metric<OfRow>],
    /// What rows of two windows are compared by.
    pub compared: &'static [Comparable],
    /// What it counts one by one, by name.
    pub named: Option<&'static Named>,
    /// By which flag it is asked for.
    pub switch: Option<&'static Switch>,
    /// What an agent measures of it unless it is told not to.
    pub(super) standing: Option<&'static Standing>,
    /// Whether it was measured.
    pub is_in: fn(&Measured) -> bool,
    /// See [`RowView::LOSSES`].
    pub(super) losses: &'static [Loss],
    /// Where that line stands.
    pub(super) about: About,
    /// See [`RowView::line`].
    pub(super) line: fn(&Shown) -> Option<String>,
    /// See [`RowView::section`].
    pub(super) section: fn(&Shown, bool) -> Option<Section>,
    /// See [`RowView::times`].
    pub(super) times: fn(&Measured, &str) -> Option<u64>,
    /// See [`RowView::HOOKS`].
    pub(super) hooks: Option<&'static dyn Hooks>,
    /// See [`RowView::kept`].
    pub(super) kept: fn() -> Option<Box<dyn Kept>>,
    /// See [`RowView::prepare`].
    pub(super) prepare: fn(&Scope<'_>) -> Prepared,
    read: fn(&Hierarchy, &str, &mut Measured),
    encode: fn(&Measured) -> Option<postcard::Result<Vec<u8>>>,
    decode: fn(&[u8], Clean, &mut Measured) -> Option<()>,
    of_all: fn(&[&Measured], &mut Measured),
}

impl Entry {
    pub(super) const fn of<V: RowView>() -> Self {
        Self {
            id: view::id::<V>,
            title: V::TITLE,
            metrics: V::METRICS,
            compared: V::COMPARED,
            named: V::NAMED,
            switch: V::SWITCH,
            standing: V::STANDING,
            is_in: |all| all.get::<V>().is_some(),
            losses: V::LOSSES,
            about: V::ABOUT,
            line: |row| row.measured.get::<V>()?.line(row.thread_time_ns),
            section: |row, full| row.measured.get::<V>()?.section(row.thread_time_ns, full),
            times: |all, name| all.get::<V>()?.times(name),
            hooks: V::HOOKS,
            kept: V::kept,
            prepare: V::prepare,
            read: |hierarchy, path, all| {
                if let Some(figures) = V::read(hierarchy, path) {
                    all.insert(figures);
                }
            },
            encode: |all| Some(postcard::to_stdvec(&all.get::<V>()?.record())),
            decode: |bytes, clean, all| {
                let (record, rest) = postcard::take_from_bytes(bytes).ok()?;
                all.insert(V::restore(record, clean)?);
                rest.is_empty().then_some(())
            },
            of_all: |rows, all| {
                let rows: Vec<&V> = rows.iter().filter_map(|row| row.get()).collect();
                if let Some(figures) = V::of_all(&rows) {
                    all.insert(figures);
                }
            },
        }
    }
}

/// The view with this id.
#[must_use]
pub fn find(id: &ViewId) -> Option<&'static Entry> {
    super::ALL.iter().find(|view| (view.id)() == *id)
}

/// The cause of this name, of all that can be lost.
#[must_use]
pub fn loss(name: &str) -> Option<Loss> {
    let of_views = super::ALL.iter().flat_map(|view| view.losses).copied();
    Loss::from_name(name).or_else(|| of_views.into_iter().find(|loss| loss.name() == name))
}

/// The figures of these rows as those of one row that is all of them, of the views of which that means something.
#[must_use]
pub fn of_all(rows: &[&Measured]) -> Measured {
    let mut all = Measured::default();
    for view in super::ALL {
        (view.of_all)(rows, &mut all);
    }
    all
}

/// What the kernel has counted of a cgroup since it was created, for the views that are measured so.
#[must_use]
pub fn read(hierarchy: &Hierarchy, path: &str) -> Measured {
    let mut measured = Measured::default();
    for view in super::ALL {
        (view.read)(hierarchy, path, &mut measured);
    }
    measured
}

/// The figures of a row for the disk: id of the view, bytes.
///
/// # Errors
/// Figures that have no encoding, which is a mistake of their view.
pub fn encode(measured: &Measured) -> postcard::Result<Vec<(String, Vec<u8>)>> {
    let views = super::ALL.iter().filter_map(|view| {
        let bytes = (view.encode)(measured)?;
        Some(bytes.map(|bytes| ((view.id)().as_str().to_owned(), bytes)))
    });
    views.collect()
}

/// The figures of a row from the disk; `None` if they cannot be. Takes the ids of views that this ctprof does not have.
#[must_use]
pub fn decode(
    records: &[(String, Vec<u8>)],
    clean: Clean,
    mut unknown: impl FnMut(&str),
) -> Option<Measured> {
    let mut measured = Measured::default();
    for (id, bytes) in records {
        match super::ALL.iter().find(|it| (it.id)().as_str() == id) {
            Some(view) => (view.decode)(bytes, clean, &mut measured)?,
            None => unknown(id),
        }
    }
    Some(measured)
}
