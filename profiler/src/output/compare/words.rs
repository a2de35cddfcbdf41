//! What figures and verdicts are called.

use crate::compare::Verdict;
use crate::compare::metrics::Unit;
use crate::compare::outcome::{Compared, Comparison, Side};
use crate::model::units;

/// A figure with its unit.
pub(super) fn figure(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Cpus => format!("{value:.3}"),
        Unit::Share => format!("{:.2}%", 100.0 * value),
        Unit::Ns | Unit::NsPerUnit => units::duration(value.round() as u64),
        Unit::PerSecond => format!("{}/s", number(value)),
        Unit::PerUnit => number(value),
    }
}

fn number(value: f64) -> String {
    match value {
        100.0.. => units::count(value.round() as u64),
        10.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.1e}"),
    }
}

/// A change with its sign.
pub(super) fn change(compared: &Compared) -> String {
    match compared.change() {
        Some(change) => signed(change),
        None if compared.b() > 0.0 => "new".to_owned(),
        None => String::new(),
    }
}

fn signed(part: f64) -> String {
    // A minus sign before nothing would be a difference that is none.
    let percent = 100.0 * part;
    match percent.abs() {
        100.0.. => format!("{percent:+.0}%"),
        10.0.. => format!("{percent:+.1}%"),
        0.005.. => format!("{percent:+.2}%"),
        _ => "0%".to_owned(),
    }
}

/// Where a change lies.
pub(super) fn interval(compared: &Compared) -> String {
    let interval = compared.interval();
    interval.map_or_else(String::new, |(low, high)| {
        format!("{} to {}", signed(low), signed(high))
    })
}

/// A verdict in words.
pub(super) fn verdict(compared: &Compared) -> String {
    match (compared.verdict, compared.detectable) {
        (Verdict::Same, Some(detectable)) => {
            format!(
                "no difference seen (±{} would have been)",
                signed(detectable).trim_start_matches('+')
            )
        }
        (Verdict::Same, None) => "no difference seen".to_owned(),
        (Verdict::Unknown, _) => "not known".to_owned(),
        (verdict, _) => verdict.name().to_owned(),
    }
}

/// What a side is.
pub(super) fn side(side: &Side) -> String {
    let hz = match side.frequency_hz {
        0 => String::new(),
        hz => format!(", {hz} Hz"),
    };
    format!(
        "{}: {}, {}{hz}",
        side.name,
        units::duration((side.seconds * 1e9) as u64),
        units::counted(side.windows as u64, "window")
    )
}

/// What sums are divided by, as a sentence.
pub(super) fn normalised(comparison: &Comparison) -> String {
    let by = match &comparison.work {
        Some(work) => format!("Sums are for each {work}"),
        None => "Time on the CPU is in CPUs (by the wall clock), numbers by second, states and calls are shares of the \
                 thread time"
            .to_owned(),
    };
    let lengths =
        if (comparison.a.seconds - comparison.b.seconds).abs() > 0.5 && comparison.work.is_none() {
            "; so that A and B differ in length is no difference"
        } else {
            ""
        };
    let pairs = if comparison.paired {
        " A and B are of the same seconds and compared second by second."
    } else {
        ""
    };
    format!("{by}{lengths}.{pairs}")
}

/// Both figures, and what differs, in one line.
pub(super) fn both(compared: &Compared, unit: Unit) -> String {
    let (a, b) = (figure(compared.a(), unit), figure(compared.b(), unit));
    let interval = match interval(compared) {
        it if it.is_empty() => String::new(),
        it => format!(" ({it})"),
    };
    let change = match change(compared) {
        it if it.is_empty() => it,
        it => format!(", {it}{interval}"),
    };
    format!("{a} to {b}{change}, {}", verdict(compared))
}
