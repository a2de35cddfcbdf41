//! Whether a difference is more than noise.

use super::resample::{Resampling, block_length};
use super::student;

/// Fewer windows than this say too little of how much they vary.
pub const FEWEST_WINDOWS: usize = 10;
/// How often comparisons of equal things may find any difference. Half of what is promised: Student's distribution is not
/// exactly that of an error out of draws.
pub(super) const FALSE_DISCOVERIES: f64 = 0.02;
/// Samples below which their number varies at least as counts of rare events do, whatever few windows say.
const RARE: f64 = 100.0;
/// Differences in the last digits of a sum are none.
const EXACT: f64 = 1e-9;

/// What a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// B has more than A, by more than noise.
    More,
    /// B has less than A, by more than noise.
    Less,
    /// No difference could be seen.
    Same,
    /// There is too little to tell.
    Unknown,
}

impl Verdict {
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::More => "more",
            Self::Less => "less",
            Self::Same => "same",
            Self::Unknown => "unknown",
        }
    }
}

/// Where a figure comes from, for one side: window by window.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Figure {
    /// A sum by what it is measured in.
    Ratio {
        /// Of each window.
        sums: Vec<f64>,
        /// Seconds, thread time or units of work of each window.
        by: Vec<f64>,
        /// How many samples the sums stand for; `None` where they are exact.
        samples: Option<f64>,
    },
    /// A value that this share of all stay below.
    Quantile {
        /// 0 to 1.
        share: f64,
        /// Least value of each bucket, and least beyond it.
        bounds: Vec<(f64, f64)>,
        /// Values in each bucket, window by window.
        counts: Vec<Vec<f64>>,
    },
    /// Known for the whole recording only.
    Total(f64),
}

impl Figure {
    fn windows(&self) -> usize {
        match self {
            Self::Ratio { sums, .. } => sums.len(),
            Self::Quantile { counts, .. } => counts.len(),
            Self::Total(_) => 0,
        }
    }

    /// The figure over all windows; 0 where there is nothing to divide by.
    pub(super) fn value(&self) -> f64 {
        self.weighted(|_| 1.0)
    }

    fn weighted(&self, weight: impl Fn(usize) -> f64) -> f64 {
        match self {
            Self::Ratio { sums, by, .. } => {
                let mut total = (0.0, 0.0);
                for (at, (sum, by)) in sums.iter().zip(by).enumerate() {
                    let weight = weight(at);
                    total.0 += weight * sum;
                    total.1 += weight * by;
                }
                if total.1 > 0.0 {
                    total.0 / total.1
                } else {
                    0.0
                }
            }
            Self::Quantile {
                share,
                bounds,
                counts,
            } => {
                let mut sums = vec![0.0; bounds.len()];
                for (at, counts) in counts.iter().enumerate() {
                    let weight = weight(at);
                    if weight > 0.0 {
                        for (sum, count) in sums.iter_mut().zip(counts) {
                            *sum += weight * count;
                        }
                    }
                }
                quantile(*share, bounds, &sums)
            }
            Self::Total(value) => *value,
        }
    }

    /// How far each window is from what the figure says of it.
    fn residuals(&self) -> Vec<f64> {
        match self {
            Self::Ratio { sums, by, .. } => {
                let value = self.value();
                let pairs = sums.iter().zip(by);
                pairs.map(|(sum, by)| sum - value * by).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Least variance that the number of samples leaves.
    fn least_variance(&self) -> f64 {
        match self {
            Self::Ratio {
                samples: Some(samples),
                ..
            } if *samples < RARE => self.value().powi(2) / samples.max(1.0),
            _ => 0.0,
        }
    }
}

/// Within a bucket values are taken to lie evenly, or a quantile would jump from one bucket's middle to the next one's.
fn quantile(share: f64, bounds: &[(f64, f64)], counts: &[f64]) -> f64 {
    let total: f64 = counts.iter().sum();
    let mut seen = 0.0;
    for ((from, to), count) in bounds.iter().zip(counts) {
        if *count > 0.0 && seen + count >= share * total {
            return from + (to - from) * (share * total - seen) / count;
        }
        seen += count;
    }
    0.0
}

/// Draws for both sides.
pub(super) enum Sides {
    /// Windows of the same seconds: what disturbs one disturbs the other.
    Paired(Resampling),
    /// Windows of two recordings.
    Apart(Resampling, Resampling),
}

/// A difference before it is judged beside all others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Difference {
    pub(super) a: f64,
    pub(super) b: f64,
    /// Standard error of `b - a`, and its degrees of freedom; `None` where there is none.
    pub(super) error: Option<(f64, f64)>,
    /// By what part equal programs differ from one run to the next, for reasons that no second of one run shows: where they
    /// lie in memory, which CPU they are on, who else is there.
    pub(super) between_runs: f64,
}

impl Difference {
    /// Of what is in neither.
    pub(super) const NOTHING: Self = Self {
        a: 0.0,
        b: 0.0,
        error: None,
        between_runs: 0.0,
    };

    pub(super) fn new(a: &Figure, b: &Figure, sides: &Sides) -> Self {
        Self {
            a: a.value(),
            b: b.value(),
            error: error(a, b, sides),
            between_runs: 0.0,
        }
    }

    /// Probability of a difference as large as this one between equal things.
    pub(super) fn p(&self) -> Option<f64> {
        let (error, freedom) = self.error?;
        let difference = (self.b - self.a).abs();
        if difference <= EXACT * self.a.abs().max(self.b.abs()) {
            return Some(1.0);
        }
        let distance = difference / error;
        if self.between_runs <= 0.0 || self.a <= 0.0 || self.b <= 0.0 {
            return Some(student::two_sided(distance, freedom));
        }
        // Both sources of error: the one that is nearer to an explanation counts more.
        let runs = (self.b / self.a).ln().abs() / self.between_runs;
        Some(student::two_sided(
            distance / (1.0 + (distance / runs).powi(2)).sqrt(),
            freedom,
        ))
    }

    /// The same figure of programs that differ by no more than this part between runs.
    pub(super) const fn varying_at_most(mut self, between_runs: f64) -> Self {
        self.between_runs = self.between_runs.min(between_runs);
        self
    }

    /// The same figure of programs that differ by this part between runs.
    pub(super) const fn varying(mut self, between_runs: f64) -> Self {
        self.between_runs = between_runs;
        self
    }

    /// Part of A by which B is more.
    pub(super) fn change(&self) -> Option<f64> {
        (self.a > 0.0).then(|| self.b / self.a - 1.0)
    }

    /// An interval that the change lies in, in 95 % of all measurements.
    pub(super) fn interval(&self) -> Option<(f64, f64)> {
        let (error, freedom) = self.error?;
        let change = self.change()?;
        let half = student::quantile(0.05, freedom) * error / self.a;
        Some((change - half, change + half))
    }

    /// The change that would have been seen in nine of ten measurements, beside so many other tests.
    pub(super) fn detectable(&self, tests: usize) -> Option<f64> {
        let (error, freedom) = self.error?;
        if self.a <= 0.0 {
            return None;
        }
        let least = student::quantile(FALSE_DISCOVERIES / tests.max(1) as f64, freedom);
        // One in ten is above 1.28 standard errors; and what has to be passed varies itself, as the error's estimate does.
        let margin = 1.28 * (1.0 + least * least / (2.0 * freedom)).sqrt();
        let runs = ((least + margin) * self.between_runs).exp_m1();
        Some(((least + margin) * error / self.a).hypot(runs))
    }
}

fn error(a: &Figure, b: &Figure, sides: &Sides) -> Option<(f64, f64)> {
    if a.windows() < FEWEST_WINDOWS || b.windows() < FEWEST_WINDOWS {
        return None;
    }
    let length = |residuals: &[f64]| block_length(residuals);
    let variance_and_freedom = match sides {
        Sides::Paired(draws) => {
            let (of_a, of_b) = (a.residuals(), b.residuals());
            let pairs = of_a.iter().zip(&of_b);
            let residuals: Vec<f64> = pairs.map(|(a, b)| b - a).collect();
            let draws = draws.in_blocks_of(length(&residuals))?;
            let values = draws.iter().map(|weights| {
                let weight = |at: usize| f64::from(weights[at]);
                b.weighted(weight) - a.weighted(weight)
            });
            let (windows, factor) = draws.quality();
            (variance(values) * factor * factor, windows - 1.0)
        }
        Sides::Apart(draws_a, draws_b) => {
            let (mut sum, mut most) = (0.0, 0.0);
            // Welch and Satterthwaite: the side with the larger error has the larger say.
            let mut squares = 0.0;
            for (figure, draws) in [(a, draws_a), (b, draws_b)] {
                let draws = draws.in_blocks_of(length(&figure.residuals()))?;
                let values = draws
                    .iter()
                    .map(|weights| figure.weighted(|at| f64::from(weights[at])));
                let (windows, factor) = draws.quality();
                let variance = variance(values) * factor * factor;
                sum += variance;
                most += windows - 1.0;
                squares += variance * variance / (windows - 1.0).max(1.0);
            }
            let freedom = if squares > 0.0 {
                sum * sum / squares
            } else {
                most
            };
            (sum, freedom)
        }
    };
    let (variance, freedom) = variance_and_freedom;
    let least = a.least_variance() + b.least_variance();
    Some((variance.max(least).sqrt(), freedom.max(1.0)))
}

fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let off = value - mean;
        mean += off / count;
        squares += off * (value - mean);
    }
    if count > 1.0 {
        squares / (count - 1.0)
    } else {
        0.0
    }
}

/// Which of these are more than noise, so that of all that are found no more than the promised part is false (Benjamini and
/// Hochberg): of equal things, anything is found as rarely.
pub(super) fn discoveries(probabilities: &[Option<f64>]) -> Vec<bool> {
    let mut known: Vec<f64> = probabilities.iter().flatten().copied().collect();
    known.sort_unstable_by(f64::total_cmp);
    let count = known.len() as f64;
    let ranked = known.iter().enumerate().rev();
    let limit = ranked
        .map(|(rank, p)| (*p, FALSE_DISCOVERIES * (rank + 1) as f64 / count))
        .find(|(p, limit)| p <= limit)
        .map_or(-1.0, |(p, _)| p);
    let probabilities = probabilities.iter();
    probabilities
        .map(|p| p.is_some_and(|p| p <= limit))
        .collect()
}

#[cfg(test)]
mod tests;
