//! Values as they are typed, for the table of settings.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::model::text::printable;
use crate::target::nearest::hint;

/// Longest text of a wrong value in an error.
const SHOWN_CHARS: usize = 80;

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", printable(text, SHOWN_CHARS))
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{} is neither true nor false", quoted(text))),
    }
}

pub(super) fn number<N: Copy + FromStr + PartialOrd + std::fmt::Display>(
    text: &str,
    least: N,
    most: N,
) -> Result<N, String> {
    match text.parse::<N>() {
        Ok(number) if number >= least && number <= most => Ok(number),
        _ => Err(format!(
            "{} is no number from {least} to {most}",
            quoted(text)
        )),
    }
}

pub(super) fn time(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let time = match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    time.filter(|time| *time >= least && *time <= most)
        .ok_or_else(|| {
            let (least, most) = (
                humantime::format_duration(least),
                humantime::format_duration(most),
            );
            format!(
                "{} is no time from {least} to {most}; use a form such as 90s or 5m",
                quoted(text)
            )
        })
}

pub(super) fn choice<T: Copy>(text: &str, all: &[(T, &'static str)]) -> Result<T, String> {
    all.iter()
        .find_map(|(value, name)| (*name == text).then_some(*value))
        .ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|(_, name)| *name).collect();
            let near = hint(text, names.iter().copied(), "");
            format!("{} is none of {}{near}", quoted(text), names.join(", "))
        })
}

/// A name of a host, without a port.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.len() > 253 || !text.bytes().all(is_part) {
        return Err(format!(
            "{} is no name of a host; use a form such as node1.example.com, without a port",
            quoted(text)
        ));
    }
    Ok(text.trim_end_matches('.').to_ascii_lowercase())
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}
