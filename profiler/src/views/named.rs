//! Things that a view counts one by one, by name: in slices, and when windows are compared.

use super::table::Entry;
use crate::model::{Item, Measured, ViewId};

/// Between a view's id and the rest of an item's variant on disk.
const SEPARATOR: char = ':';

/// What such things are called, and what figures there are of each.
#[derive(Debug)]
pub struct Named {
    /// Name and variant of the thing with this number, which is the view's own.
    pub name: fn(u64) -> (String, String),
    /// On disk variants are as they are, without the view's id before them. Of one view at most: the oldest.
    pub bare_on_disk: bool,
    /// What `compare --per` has before the name.
    pub per: &'static str,
    /// One of them, as a unit of work.
    pub unit: &'static str,
    /// What its number is, for people, and by what part it differs between runs of one program.
    pub count: (&'static str, f64),
    /// The same of its mean length.
    pub mean: (&'static str, f64),
    /// Those of a row; `None` where the view was not measured.
    pub all: fn(&Measured) -> Option<Vec<Amount>>,
}

/// How much there is of one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Its name.
    pub name: String,
    /// How many.
    pub count: u64,
    /// How long all took, in ns; `None` where that was not measured.
    pub ns: Option<u64>,
}

impl Entry {
    /// The name in a metric's id, if that is one of a thing that this view counts, `VIEW.NAME` or `VIEW.NAME.mean`.
    #[must_use]
    pub fn name_in<'a>(&self, id: &'a str) -> Option<&'a str> {
        self.named?;
        let name = id.strip_prefix((self.id)().as_str())?.strip_prefix('.')?;
        let name = name.strip_suffix(".mean").unwrap_or(name);
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        (!name.is_empty() && name.bytes().all(is_name)).then_some(name)
    }
}

/// Name and variant of the item with this number; `None` for a view without any.
#[must_use]
pub fn item_name(view: &ViewId, number: u64) -> Option<(String, String)> {
    let named = super::find(view)?.named?;
    Some((named.name)(number))
}

/// Name and variant of an item, as a recording on disk has them.
#[must_use]
pub fn item_record(item: &Item) -> (String, String) {
    let Item {
        view,
        name,
        variant,
    } = item;
    let is_bare = super::find(view).is_some_and(is_bare);
    let variant = if is_bare {
        variant.clone()
    } else {
        format!("{view}{SEPARATOR}{variant}")
    };
    (name.clone(), variant)
}

/// The item that a recording on disk has under this name and variant. Those of views that this ctprof does not have keep
/// their id.
#[must_use]
pub fn item(name: String, variant: String) -> Item {
    let (view, variant) = match variant.split_once(SEPARATOR) {
        Some((view, variant)) => (Some(ViewId::read(view.to_owned())), variant.to_owned()),
        None => {
            let bare = super::ALL.iter().find(|it| is_bare(it));
            (bare.map(|it| (it.id)()), variant)
        }
    };
    Item {
        view: view.unwrap_or_else(|| ViewId::read(String::new())),
        name,
        variant,
    }
}

fn is_bare(view: &Entry) -> bool {
    view.named.is_some_and(|it| it.bare_on_disk)
}
