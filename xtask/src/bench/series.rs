//! Medians and spread.

/// Measurements of one condition, in rounds.
#[derive(Debug, Default)]
pub(super) struct Series(Vec<f64>);

impl Series {
    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(super) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Half of the measurements lie between these.
    pub(super) fn quartiles(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
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

#[cfg(test)]
mod tests {
    use super::Series;

    #[test]
    fn quantiles_lie_between_the_neighbours() {
        let mut series = Series::default();
        for value in [4.0, 1.0, 3.0, 2.0] {
            series.push(value);
        }
        assert!((series.median() - 2.5).abs() < 1e-9);
        let (first, third) = series.quartiles();
        assert!((first - 1.75).abs() < 1e-9 && (third - 3.25).abs() < 1e-9);
        assert!(Series::default().median().is_nan());
    }
}
