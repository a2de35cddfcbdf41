//! All views while a recording goes on.

use std::collections::HashMap;
use std::fmt;

use super::view::RowView;
use crate::aggregate::Owners;
use crate::collect::Recorded;
use crate::host::cgroup::Hierarchy;
use crate::model::{Container, Grouping, Unavailable, ViewId};

/// What a recording is of, when views prepare for it.
#[derive(Debug)]
pub struct Scope<'a> {
    /// The cgroups of the host.
    pub hierarchy: &'a Hierarchy,
    /// By what rows are told apart.
    pub grouping: Grouping,
    /// Stacks are taken: this recording may cost something.
    pub stacks: bool,
    /// It is a window out of a session that goes on: nothing is attached, and no thread started, for it alone.
    pub is_part: bool,
    /// Cgroups that have a row of their own with all below them, those that were asked for first.
    pub owners: Vec<String>,
}

/// Why views that attach something of their own, or look all the time, have nothing of a part of a session.
pub(super) const NOT_IN_PARTS: &str =
    "a window out of a session that goes on has none; ctprof record has";

/// A view while it measures. The methods are called in this order; `cgroups` are those that are recorded by then.
pub trait Running: Send {
    /// The recording begins.
    fn start(&mut self, cgroups: &[&str]);

    /// It goes on. Called a few times a second.
    fn follow(&mut self) {}

    /// It ends.
    fn stop(&mut self) {}

    /// Nothing of it is attached any more: the last look at the cgroups.
    fn last_look(&mut self, _cgroups: &[&str]) {}

    /// Adds up what the kernel half counted by slot, in the rows that own the slots. Rows of which nothing is to be
    /// shown are among them yet.
    fn fold(&mut self, _recorded: &Recorded, _owners: &Owners, _rows: &mut [Container]) {}

    /// Gives each row its figures; returns what could not be measured.
    fn give(&mut self, rows: &mut [Container]) -> Vec<Unavailable>;
}

/// A view that is ready to measure, or why it cannot be measured and what to do about it, in one line.
pub type Prepared = Result<Box<dyn Running>, String>;

/// Every view of a recording.
#[derive(Default)]
pub struct Recorder {
    views: Vec<(ViewId, Prepared)>,
}

impl Recorder {
    /// Prepares them.
    #[must_use]
    pub fn prepare(scope: &Scope<'_>) -> Self {
        let views = super::ALL.iter();
        Self {
            views: views
                .map(|view| ((view.id)(), (view.prepare)(scope)))
                .collect(),
        }
    }

    fn running(&mut self) -> impl Iterator<Item = &mut Box<dyn Running>> {
        self.views
            .iter_mut()
            .filter_map(|(_, view)| view.as_mut().ok())
    }

    /// The recording begins.
    pub fn start(&mut self, cgroups: &[&str]) {
        self.running().for_each(|it| it.start(cgroups));
    }

    /// It goes on.
    pub fn follow(&mut self) {
        self.running().for_each(|it| it.follow());
    }

    /// It ends.
    pub fn stop(&mut self) {
        self.running().for_each(|it| it.stop());
    }

    /// Nothing of it is attached any more.
    pub fn last_look(&mut self, cgroups: &[&str]) {
        self.running().for_each(|it| it.last_look(cgroups));
    }

    /// Adds up what the kernel half counted by slot.
    pub fn fold(&mut self, recorded: &Recorded, owners: &Owners, rows: &mut [Container]) {
        self.running()
            .for_each(|it| it.fold(recorded, owners, rows));
    }

    /// Gives each row its figures; returns what could not be measured.
    pub fn give(self, rows: &mut [Container]) -> Vec<Unavailable> {
        let mut unavailable = Vec::new();
        for (view, running) in self.views {
            match running {
                Ok(mut running) => unavailable.extend(running.give(rows)),
                Err(cause) => unavailable.push(Unavailable { view, cause }),
            }
        }
        unavailable
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let views = self.views.iter();
        f.debug_map()
            .entries(views.map(|(view, it)| (view, it.as_ref().err())))
            .finish()
    }
}

/// The rows that are a cgroup with all below it: a process in one does not own its figures.
pub(super) fn cgroup_rows(rows: &mut [Container]) -> impl Iterator<Item = &mut Container> {
    rows.iter_mut()
        .filter(|it| !it.identity.cgroup.is_empty() && !it.identity.is_process())
}

/// A view of what the kernel counts anyway: read at the beginning and at the end.
pub(super) struct Readings<V> {
    hierarchy: Hierarchy,
    read: fn(&Hierarchy, &str) -> Option<V>,
    /// What was there at the beginning says something although the cgroup is gone at the end.
    keeps: bool,
    before: HashMap<String, V>,
    after: HashMap<String, V>,
}

impl<V: RowView> Readings<V> {
    pub(super) fn new(hierarchy: &Hierarchy) -> Self {
        Self::by(hierarchy, V::read)
    }

    /// Read in another way than an agent reads it.
    pub(super) fn by(hierarchy: &Hierarchy, read: fn(&Hierarchy, &str) -> Option<V>) -> Self {
        Self {
            hierarchy: hierarchy.clone(),
            read,
            keeps: false,
            before: HashMap::new(),
            after: HashMap::new(),
        }
    }

    /// Where a cgroup is gone at the end, what it had at the beginning stays, with nothing counted since.
    #[must_use]
    pub(super) fn keeping(self) -> Self {
        Self {
            keeps: true,
            ..self
        }
    }

    fn read(&self, cgroups: &[&str]) -> HashMap<String, V> {
        let read = |path: &&str| Some(((*path).to_owned(), (self.read)(&self.hierarchy, path)?));
        cgroups.iter().filter_map(read).collect()
    }
}

impl<V: RowView> Running for Readings<V> {
    fn start(&mut self, cgroups: &[&str]) {
        self.before = self.read(cgroups);
    }

    fn last_look(&mut self, cgroups: &[&str]) {
        self.after = self.read(cgroups);
    }

    /// A cgroup that was not there at the beginning started from nothing.
    fn give(&mut self, rows: &mut [Container]) -> Vec<Unavailable> {
        for row in cgroup_rows(rows) {
            let path = &row.identity.cgroup;
            if let Some(now) = self.after.remove(path) {
                let since = self.before.get(path).map(|then| now.since(then));
                row.measured.insert(since.unwrap_or(now));
            } else if let Some(then) = self.before.get(path).filter(|_| self.keeps) {
                row.measured.insert(then.since(then));
            }
        }
        Vec::new()
    }
}
