//! What the views measured of a row: figures of types that this folder does not know, each found by its type.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;

#[cfg(test)]
use super::Latency;
use super::ViewId;
use super::sums::{Op, Sums};

/// What one view measures of a row over a window.
pub trait Figures: Sums + PartialEq + Debug + Send + Sync + 'static {
    /// The view, which has no other figures.
    const VIEW: ViewId;

    /// What was measured since `earlier`, which began when these figures did.
    #[must_use]
    fn since(&self, earlier: &Self) -> Self {
        let mut rest = self.clone();
        rest.combine(earlier, Op::Subtract);
        rest
    }

    /// The row is not there any more at the end of the window.
    fn row_ended(&mut self) {}
}

/// [`Figures`] of some view. Its methods do nothing with figures of another view.
trait AnyFigures: Any + Debug + Send + Sync {
    fn boxed(&self) -> Box<dyn AnyFigures>;
    fn combine_any(&mut self, other: &dyn AnyFigures, op: Op);
    fn since_any(&self, earlier: &dyn AnyFigures) -> Box<dyn AnyFigures>;
    fn is_same(&self, other: &dyn AnyFigures) -> bool;
    fn row_ended_any(&mut self);
}

fn cast<T: Figures>(figures: &dyn AnyFigures) -> Option<&T> {
    (figures as &dyn Any).downcast_ref()
}

impl<T: Figures> AnyFigures for T {
    fn boxed(&self) -> Box<dyn AnyFigures> {
        Box::new(self.clone())
    }

    fn combine_any(&mut self, other: &dyn AnyFigures, op: Op) {
        if let Some(other) = cast(other) {
            self.combine(other, op);
        }
    }

    fn since_any(&self, earlier: &dyn AnyFigures) -> Box<dyn AnyFigures> {
        match cast(earlier) {
            Some(earlier) => Box::new(self.since(earlier)),
            None => self.boxed(),
        }
    }

    fn is_same(&self, other: &dyn AnyFigures) -> bool {
        cast(other).is_some_and(|other| self == other)
    }

    fn row_ended_any(&mut self) {
        self.row_ended();
    }
}

/// The figures of every view that measured a row. What a view could not measure is absent.
#[derive(Debug, Default)]
pub struct Measured(BTreeMap<ViewId, Box<dyn AnyFigures>>);

impl Measured {
    /// The figures of one view.
    #[must_use]
    pub fn get<T: Figures>(&self) -> Option<&T> {
        cast(self.0.get(&T::VIEW)?.as_ref())
    }

    /// The same, to change them.
    pub fn get_mut<T: Figures>(&mut self) -> Option<&mut T> {
        (self.0.get_mut(&T::VIEW)?.as_mut() as &mut dyn Any).downcast_mut()
    }

    /// Puts in the figures of one view, in place of those that are there.
    pub fn insert<T: Figures>(&mut self, figures: T) {
        self.0.insert(T::VIEW, Box::new(figures));
    }

    /// Takes out the figures of one view.
    pub fn remove<T: Figures>(&mut self) {
        self.0.remove(&T::VIEW);
    }

    /// Figures of no view at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was measured since `earlier`; a view that has nothing of then began with nothing.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let parts = self.0.iter().map(|(view, now)| {
            let then = earlier.0.get(view);
            let since = then.map_or_else(|| now.boxed(), |then| now.since_any(then.as_ref()));
            (view.clone(), since)
        });
        Self(parts.collect())
    }

    /// The same figures, with nothing measured yet.
    #[must_use]
    pub fn zeroed(&self) -> Self {
        self.since(self)
    }

    /// Figures of views that these lack, as `others` have them.
    pub fn fill_in(&mut self, others: Self) {
        for (view, figures) in others.0 {
            self.0.entry(view).or_insert(figures);
        }
    }

    /// The row is not there any more at the end of the window.
    pub fn row_ended(&mut self) {
        for figures in self.0.values_mut() {
            figures.row_ended_any();
        }
    }
}

impl Clone for Measured {
    fn clone(&self) -> Self {
        let parts = self.0.iter();
        Self(parts.map(|(view, it)| (view.clone(), it.boxed())).collect())
    }
}

impl PartialEq for Measured {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len()
            && pairs
                .into_iter()
                .all(|((a_view, a), (b_view, b))| a_view == b_view && a.is_same(b.as_ref()))
    }
}

impl Sums for Measured {
    fn combine(&mut self, other: &Self, op: Op) {
        for (view, theirs) in &other.0 {
            match self.0.get_mut(view) {
                Some(own) => own.combine_any(theirs.as_ref(), op),
                None if op == Op::Add => {
                    self.0.insert(view.clone(), theirs.boxed());
                }
                None => {}
            }
        }
    }
}

/// Figures of tests that are about no view in particular.
#[cfg(test)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// A sum.
    pub(crate) sum: u64,
    /// One that not every row has.
    pub(crate) optional: Option<u64>,
    /// What is true at the end only.
    pub(crate) at_end: u64,
    /// How long something took.
    pub(crate) latency: Latency,
}

#[cfg(test)]
impl Sums for Tally {
    fn combine(&mut self, other: &Self, op: Op) {
        op.on(&mut self.sum, other.sum);
        op.on_optional(&mut self.optional, other.optional);
        self.latency.combine(&other.latency, op);
        if op == Op::Add {
            self.at_end = other.at_end;
        }
    }
}

#[cfg(test)]
impl Figures for Tally {
    const VIEW: ViewId = ViewId::new("tally");

    fn row_ended(&mut self) {
        self.at_end = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{Measured, Tally};
    use crate::model::sums::{Op, Sums as _};

    fn measured(sum: u64, optional: Option<u64>, at_end: u64) -> Measured {
        let mut measured = Measured::default();
        measured.insert(Tally {
            sum,
            optional,
            at_end,
            ..Tally::default()
        });
        measured
    }

    #[test]
    fn figures_add_up_and_are_taken_away() {
        let mut sum = measured(5, None, 2);
        sum.combine(&measured(7, Some(1), 3), Op::Add);
        assert_eq!(sum, measured(12, Some(1), 3));
        assert_eq!(sum.since(&measured(5, Some(1), 9)), measured(7, Some(0), 3));
        assert_eq!(sum.zeroed(), measured(0, Some(0), 3));
        sum.row_ended();
        assert_eq!(sum, measured(12, Some(1), 0));
        assert_ne!(sum, measured(12, None, 0));
    }

    #[test]
    fn what_one_side_lacks_is_added_or_filled_in_and_never_made_up() {
        let mut none = Measured::default();
        none.combine(&measured(5, None, 2), Op::Subtract);
        assert!(none.is_empty() && none.get::<Tally>().is_none());
        assert_eq!(measured(5, None, 2).since(&none), measured(5, None, 2));
        none.combine(&measured(5, None, 2), Op::Add);
        assert_eq!(none, measured(5, None, 2));
        none.fill_in(measured(9, None, 9));
        assert_eq!(none.get::<Tally>().map(|it| it.sum), Some(5));
        let mut none = Measured::default();
        none.fill_in(measured(9, None, 9));
        assert_eq!(none, measured(9, None, 9));
    }
}
