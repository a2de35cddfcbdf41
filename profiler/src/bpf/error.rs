//! aya's errors, as one line with a cause.

use std::error::Error as StdError;

/// The whole chain of causes in one line, without the verifier's log and without repetitions.
#[must_use]
pub fn describe(error: &(dyn StdError + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let line = cause.to_string();
        let line = line
            .lines()
            .next()
            .unwrap_or_default()
            .trim_end_matches(": ")
            .to_owned();
        if !line.is_empty() && !parts.iter().any(|part| part.contains(&line)) {
            parts.push(line);
        }
        next = cause.source();
    }
    parts.join(": ")
}
