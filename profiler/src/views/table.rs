//! The views as a table, for those who do not know their types.

use super::kept::Kept;
use super::recorder::{Prepared, Scope};
use super::shown::Shown;
use super::view::{self, About, Clean, RowView, Section};
use crate::collect::Hooks;
use crate::host::cgroup::Hierarchy;
use crate::model::metric::{Metric, OfRow};
use crate::model::{Measured, ViewId};

/// One view, as everybody but itself knows it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its id.
    pub id: fn() -> ViewId,
    /// Title of its line in the report.
    pub title: &'static str,
    /// Its metrics of a row.
    pub metrics: &'static [Metric<OfRow>],
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
}

impl Entry {
    pub(super) const fn of<V: RowView>() -> Self {
        Self {
            id: view::id::<V>,
            title: V::TITLE,
            metrics: V::METRICS,
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
        }
    }
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
