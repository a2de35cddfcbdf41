//! Numbers as people read them.

/// A duration: `310 ns`, `4.12 µs`, `41.2 ms`, `1.23 s`, three digits; from a thousand seconds on all of them, `12,345 s`.
#[must_use]
pub fn duration(ns: u64) -> String {
    const UNITS: [(&str, f64); 3] = [("µs", 1e3), ("ms", 1e6), ("s", 1e9)];
    if ns == 0 {
        return "0 s".to_owned();
    }
    if ns < 1000 {
        return format!("{ns} ns");
    }
    // What would round up to a thousand is of the next unit.
    let (unit, factor) = UNITS
        .into_iter()
        .find(|(_, factor)| ns as f64 / factor < 999.5)
        .unwrap_or(UNITS[2]);
    let value = ns as f64 / factor;
    match value {
        ..9.995 => format!("{value:.2} {unit}"),
        ..99.95 => format!("{value:.1} {unit}"),
        ..999.5 => format!("{value:.0} {unit}"),
        _ => format!("{} {unit}", count(value.round() as u64)),
    }
}

/// `part` of `whole` as `12.3%`; `-` without a whole.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        "-".to_owned()
    } else {
        format!("{:.1}%", 100.0 * part as f64 / whole as f64)
    }
}

/// `1234567` as `1,234,567`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 sample`, `2 samples`.
#[must_use]
pub fn counted(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(n))
}

/// `812 B`, `4.1 kB`, `12.5 MB`, in powers of 1000.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(duration(0), "0 s");
        assert_eq!(duration(9_851_000_000), "9.85 s");
        assert_eq!(duration(999), "999 ns");
        assert_eq!(duration(4_123), "4.12 µs");
        assert_eq!(duration(41_230_000), "41.2 ms");
        assert_eq!(duration(412_300_000), "412 ms");
        assert_eq!(duration(999_600_000), "1.00 s");
        assert_eq!(duration(12_345_000_000_000), "12,345 s");
        assert_eq!(percent(1, 3), "33.3%");
        assert_eq!(percent(0, 0), "-");
        assert_eq!(count(1), "1");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "sample"), "1 sample");
        assert_eq!(counted(1000, "sample"), "1,000 samples");
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(4_140), "4.1 kB");
    }
}
