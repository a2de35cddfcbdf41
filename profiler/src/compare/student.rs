//! Student's distribution: how likely a mean is that far from 0 by chance, when its error is itself an estimate.

/// Probability of a value at least as far from 0 as `t`, on either side, with so many degrees of freedom.
pub(super) fn two_sided(t: f64, freedom: f64) -> f64 {
    if !t.is_finite() {
        return 0.0;
    }
    incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

/// The value that is exceeded, on either side, with probability `p`.
pub(super) fn quantile(p: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided(high, freedom) > p && high < 1e9 {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if two_sided(middle, freedom) > p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Regularized, by its continued fraction (Lentz's method).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    // The fraction converges quickly below the mean only; above it the other tail is one.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    const TINY: f64 = 1e-300;
    let front =
        (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    let bounded = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 1.0 / bounded(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for step in 1..500 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for numerator in [even, odd] {
            d = 1.0 / bounded(1.0 + numerator * d);
            c = bounded(1.0 + numerator / c);
            change = c * d;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-12 {
            break;
        }
    }
    front * fraction
}

/// Logarithm of the gamma function of a positive number: Stirling's series where it is exact to 1e-12, from 15 on, and from
/// there down by recurrence.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut below) = (x, 0.0);
    while x < 15.0 {
        below += x.ln();
        x += 1.0;
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - below
}

#[cfg(test)]
mod tests {
    use super::{quantile, two_sided};

    #[test]
    fn as_in_printed_tables() {
        for (freedom, p, t) in [
            (1.0, 0.05, 12.706),
            (5.0, 0.05, 2.571),
            (10.0, 0.01, 3.169),
            (30.0, 0.001, 3.646),
            (120.0, 0.05, 1.980),
        ] {
            assert!((quantile(p, freedom) - t).abs() < 0.001, "{freedom} {p}");
            assert!(
                (two_sided(t, freedom) / p - 1.0).abs() < 0.001,
                "{freedom} {t}"
            );
        }
        assert!((two_sided(0.0, 7.0) - 1.0).abs() < 1e-9);
        assert!(two_sided(f64::INFINITY, 7.0).abs() < 1e-12);
    }
}
