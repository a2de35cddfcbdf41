//! Medians and spread.

use serde::{Deserialize, Serialize};

/// Measurements of one quantity under one condition, in rounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::bench) struct Series(Vec<f64>);

impl Series {
    pub(in crate::bench) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(in crate::bench) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Half of the measurements lie between these.
    pub(in crate::bench) fn quartiles(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }

    /// Differences, round by round.
    pub(in crate::bench) fn minus(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a - b).collect())
    }

    /// Ratios, round by round.
    pub(in crate::bench) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a handful of measurements"
    )]
    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return f64::NAN;
        };
        let at = share * last as f64;
        let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        below + (above - below) * at.fract()
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Series;

    #[test]
    fn quantiles_lie_between_the_neighbours() {
        let series: Series = [4.0, 1.0, 3.0, 2.0].into_iter().collect();
        assert!((series.median() - 2.5).abs() < 1e-9);
        let (first, third) = series.quartiles();
        assert!((first - 1.75).abs() < 1e-9 && (third - 3.25).abs() < 1e-9);
        assert!(Series::default().median().is_nan());
    }

    #[test]
    fn a_slow_round_counts_on_neither_side() {
        let nothing: Series = [100.0, 500.0, 100.0].into_iter().collect();
        let with: Series = [110.0, 510.0, 112.0].into_iter().collect();
        assert!((with.minus(&nothing).median() - 10.0).abs() < 1e-9);
    }
}
