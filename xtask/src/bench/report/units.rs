//! Figures as people read them.

use serde::{Deserialize, Serialize};

/// What a figure counts. Values are always in the unit itself, never in a multiple of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::bench) enum Unit {
    /// Time, in nanoseconds.
    Ns,
    Bytes,
    Count,
    /// A ratio.
    Times,
    /// A part of one.
    Share,
}

impl Unit {
    /// Three digits, with the multiple that fits.
    pub(in crate::bench) fn show(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => "–".to_owned(),
            Self::Ns => scaled(value, &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")]),
            Self::Bytes => scaled(value, &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")]),
            Self::Count => grouped(value),
            Self::Times => format!("{}x", digits(value)),
            Self::Share => format!("{} %", digits(value * 100.0)),
        }
    }
}

fn scaled(value: f64, multiples: &[(f64, &str)]) -> String {
    // Rounds before it chooses: 999.7 ns are 1.00 µs.
    let fits = |(size, _): &&(f64, &str)| (value.abs() / size * 10.0).round() >= 10.0;
    let Some((size, name)) = multiples.iter().find(fits).or(multiples.last()) else {
        return digits(value);
    };
    format!("{} {name}", digits(value / size))
}

fn digits(value: f64) -> String {
    match value.abs() {
        small if small < 9.995 => format!("{value:.2}"),
        middle if middle < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A whole number in groups of three digits.
fn grouped(value: f64) -> String {
    let text = format!("{:.0}", value.abs());
    let mut out = String::new();
    for (at, digit) in text.chars().enumerate() {
        if at > 0 && (text.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if value <= -0.5 {
        format!("-{out}")
    } else {
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Unit;

    #[test]
    fn figures_have_three_digits() {
        let shown: Vec<String> = [
            (Unit::Ns, 122.4),
            (Unit::Ns, 999.99),
            (Unit::Ns, 24_700.0),
            (Unit::Ns, 0.25e9),
            (Unit::Ns, -3.0),
            (Unit::Bytes, 11_800_000.0),
            (Unit::Count, 4_750_000.0),
            (Unit::Count, 12.0),
            (Unit::Count, -1234.0),
            (Unit::Times, 1.814),
            (Unit::Times, f64::NAN),
            (Unit::Share, 0.0073),
        ]
        .iter()
        .map(|(unit, value)| unit.show(*value))
        .collect();
        assert_eq!(
            shown,
            [
                "122 ns",
                "1.00 µs",
                "24.7 µs",
                "250 ms",
                "-3.00 ns",
                "11.8 MB",
                "4,750,000",
                "12",
                "-1,234",
                "1.81x",
                "–",
                "0.73 %"
            ]
        );
    }
}
