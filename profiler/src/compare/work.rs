//! Units of work: what figures are measured by where a second says little, because one side does more in it.

use std::collections::BTreeSet;
use std::fmt;

use super::calls_of;
use super::series::Series;
use crate::model::{FrameTable, Window};

/// A unit of work.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Each system call of this name.
    Calls(String),
    /// Each sample of this function, alone or below it.
    SamplesOf(String),
    /// So many in A and in B, spread evenly over time.
    Units(f64, f64),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(name) => write!(f, "call of {name}"),
            Self::SamplesOf(name) => write!(f, "sample of {name}"),
            Self::Units(a, b) => write!(f, "unit of work ({a} in A, {b} in B)"),
        }
    }
}

impl Work {
    /// Units of work in each window of a row, of A and of B; `None` where one of them has none.
    pub(super) fn of(&self, a: &Series<'_>, b: &Series<'_>) -> Option<[Vec<f64>; 2]> {
        let units = |series: &Series<'_>, given: fn(f64, f64) -> f64| match self {
            Self::Calls(name) => series.calls(name),
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
                Self::Calls(_) => {
                    let calls = window.rows.iter().flat_map(calls_of);
                    calls.map(|call| call.name.clone()).collect()
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
