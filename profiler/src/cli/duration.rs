//! Durations as people type them.

use std::time::Duration;

/// Longest recording: a week, beyond which a typing error is more likely than a wish.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Parses `10s`, `500ms`, `1m30s`, or a number of seconds.
///
/// # Errors
/// Not a duration, zero, or longer than a week.
pub fn parse(text: &str) -> Result<Duration, String> {
    let duration = parse_or_zero(text)?;
    if duration.is_zero() {
        return Err("has to be longer than 0".to_owned());
    }
    Ok(duration)
}

/// As [`parse`], but 0 is a duration, too.
///
/// # Errors
/// Not a duration, or longer than a week.
pub fn parse_or_zero(text: &str) -> Result<Duration, String> {
    let duration = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text)
            .map_err(|error| format!("{error}; use a form such as 10s, 500ms or 1m30s"))?,
    };
    if duration > LONGEST {
        return Err("has to be at most 7 days".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse;

    #[test]
    fn forms() {
        assert_eq!(parse("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["0", "0s", "8d", "-1", "", "ten", "99999999999999999999"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
