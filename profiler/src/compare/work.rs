//! Units of work: what figures are measured by where a second says little, because one side does more in it.

use std::collections::BTreeSet;
use std::fmt;

use super::metrics::amounts;
use super::series::Series;
use crate::model::{FrameTable, ViewId, Window};
use crate::views;

/// A unit of work.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Each thing of this name that this view counts one by one, which are called so.
    Items(ViewId, &'static str, String),
    /// Each sample of this function, alone or below it.
    SamplesOf(String),
    /// So many in A and in B, spread evenly over time.
    Units(f64, f64),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Items(_, unit, name) => write!(f, "{unit} of {name}"),
            Self::SamplesOf(name) => write!(f, "sample of {name}"),
            Self::Units(a, b) => write!(f, "unit of work ({a} in A, {b} in B)"),
        }
    }
}

impl Work {
    /// The unit that is typed as this word and this name, `syscall:read`, if a view counts such things.
    #[must_use]
    pub fn items(word: &str, name: &str) -> Option<Self> {
        let mut views = views::ALL.iter();
        views.find_map(|view| {
            let named = view.named.filter(|it| it.per == word)?;
            Some(Self::Items((view.id)(), named.unit, name.to_owned()))
        })
    }

    /// The view that it takes.
    #[must_use]
    pub fn needs(&self) -> Option<ViewId> {
        match self {
            Self::Items(view, ..) => Some(view.clone()),
            Self::SamplesOf(_) | Self::Units(..) => None,
        }
    }

    /// Units of work in each window of a row, of A and of B; `None` where one of them has none.
    pub(super) fn of(&self, a: &Series<'_>, b: &Series<'_>) -> Option<[Vec<f64>; 2]> {
        let units = |series: &Series<'_>, given: fn(f64, f64) -> f64| match self {
            Self::Items(view, _, name) => series.items(view, name),
            Self::SamplesOf(name) => series.samples_of(name),
            Self::Units(a, b) => {
                let all: f64 = series.seconds.iter().sum();
                let units = given(*a, *b);
                series.seconds.iter().map(|it| it / all * units).collect()
            }
        };
        let both = [units(a, |a, _| a), units(b, |_, b| b)];
        let has_any = |units: &Vec<f64>| units.iter().sum::<f64>() > 0.0;
        both.iter().all(has_any).then_some(both)
    }

    /// What there is to choose from in both.
    pub(super) fn choices(&self, a: &Window, b: &Window) -> Vec<String> {
        let of = |window: &Window| -> BTreeSet<String> {
            match self {
                Self::Items(view, ..) => {
                    let views = views::find(view).into_iter();
                    let all = views.flat_map(|view| {
                        let rows = window.rows.iter();
                        rows.flat_map(move |row| amounts(row, view))
                    });
                    all.map(|it| it.name).collect()
                }
                Self::SamplesOf(_) => {
                    let none = FrameTable::default();
                    let rows = window.rows.iter();
                    rows.flat_map(|row| {
                        let series = Series::of(
                            &Window::default(),
                            row,
                            if row.stacks.is_empty() {
                                &none
                            } else {
                                &window.frames
                            },
                        );
                        series.names().map(str::to_owned).collect::<Vec<_>>()
                    })
                    .collect()
                }
                Self::Units(..) => BTreeSet::new(),
            }
        };
        of(a).intersection(&of(b)).cloned().collect()
    }
}
