//! Values of labels. A container chooses some of them: none may be long, and none may be another's by accident.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::text::printable;

/// Longest value, in bytes, that is shown as it is.
const MAX_BYTES: usize = 200;

/// Characters that are kept of a longer one: with 4 bytes each it stays below 1 KiB.
const KEPT_CHARS: usize = 180;

/// `value` if it is short and free of control characters. Otherwise what is left of it, with a hash of the whole, so
/// that two values that differ only in what was taken away stay two series.
pub(super) fn bounded(value: &str) -> Cow<'_, str> {
    let plain = value.len() <= MAX_BYTES && value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if plain {
        return Cow::Borrowed(value);
    }
    let shown = printable(value, KEPT_CHARS);
    if shown == value {
        return Cow::Borrowed(value);
    }
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    Cow::Owned(format!("{shown}~{:08x}", hasher.finish() as u32))
}

#[cfg(test)]
mod tests {
    use super::bounded;

    #[test]
    fn ordinary_values_are_themselves() {
        for value in [
            "",
            "web",
            "größe",
            "a\"b\\c",
            &"x".repeat(200),
            "ü".repeat(180).as_str(),
        ] {
            assert_eq!(bounded(value), value);
        }
    }

    #[test]
    fn long_ones_are_cut_and_stay_apart() {
        let one = format!("{}1", "ü".repeat(5_000));
        let other = format!("{}2", "ü".repeat(5_000));
        assert!(bounded(&one).len() < 500, "{}", bounded(&one).len());
        assert!(bounded(&one).starts_with(&"ü".repeat(180)));
        assert_ne!(bounded(&one), bounded(&other));
        assert_eq!(bounded(&one), bounded(&one.clone()));
        assert_ne!(bounded("a\nb"), bounded("a\rb"));
        assert!(bounded("a\nb").starts_with("a?b~"));
    }
}
