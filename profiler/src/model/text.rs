//! Makes names that a container controls safe to show.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `text` with every control character (escape codes, newlines, NUL, C1, bidirectional overrides) as `?`,
/// cut after `max_chars` characters with `…`.
///
/// Process names, paths and labels are written by the container: raw, they could move the cursor, forge
/// a line of a report or reorder it on screen.
#[must_use]
pub fn printable(text: &str, max_chars: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max_chars.saturating_mul(4)));
    for (count, c) in text.chars().enumerate() {
        if count == max_chars {
            out.push('…');
            break;
        }
        out.push(if is_unsafe(c) { '?' } else { c });
    }
    out
}

/// `text` as XML or HTML text, or as an attribute value in quotes; characters that XML forbids become `?`.
#[must_use]
pub fn markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

/// `text` in at most `width` character cells, with `…` at the end where something is missing.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_and_bidi_characters_are_replaced() {
        assert_eq!(
            printable("a\x1b[31mb\nc\u{202e}d\u{9b}", 100),
            "a?[31mb?c?d?"
        );
        assert_eq!(printable("größe <script>;", 100), "größe <script>;");
    }

    #[test]
    fn long_names_are_cut_at_a_character() {
        assert_eq!(printable("äöü", 2), "äö…");
        assert_eq!(printable("äö", 2), "äö");
    }
}
