//! JIT-compiled code, from the perf map that its process writes: lines of `start size name`, both numbers in hex.
//!
//! Format: `tools/perf/Documentation/jit-interface.txt` of the Linux sources.

use std::io::BufRead as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::names;
use super::problems::Problem;
use super::safe_open::Held;

/// What a perf map says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PerfMapNames {
    /// Aligned with the addresses; `None` where the map has no name.
    pub(super) names: Vec<Option<Arc<str>>>,
    /// The map is larger than the limit: only its end was read.
    pub(super) is_cut: bool,
}

/// The names of `addresses` (sorted, unique) in the perf map.
///
/// JIT compilers write a line whenever they place a function, also over an earlier one: the last line that
/// contains an address is right. So the lines are read from the last to the first, and an address that
/// found its name is not looked at again; whatever the file contains, that takes time
/// proportional to its size. Of a map larger than `max_bytes` the end is read: its names are the right ones.
pub(super) fn resolve(
    map: &Held,
    addresses: &[u64],
    max_bytes: u64,
) -> Result<PerfMapNames, Problem> {
    let file = map.reader().map_err(|_| Problem::PerfMapUnreadable)?;
    let size = file
        .metadata()
        .map_err(|_| Problem::PerfMapUnreadable)?
        .len();
    let skipped = size.saturating_sub(max_bytes);
    let length = usize::try_from(size - skipped).map_err(|_| Problem::PerfMapTooLarge)?;
    let mut text = vec![0; length];
    let mut filled = 0;
    while filled < text.len() {
        // Shorter than it was a moment ago: its process truncated it.
        match file.read_at(&mut text[filled..], skipped + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Err(Problem::PerfMapUnreadable),
        }
    }
    let mut text = &text[..filled];
    if skipped > 0 {
        // Half a line would be another one: the end of a name or of a number.
        let _ = text.skip_until(b'\n');
    }
    Ok(PerfMapNames {
        names: find(text, addresses),
        is_cut: skipped > 0,
    })
}

fn find(text: &[u8], addresses: &[u64]) -> Vec<Option<Arc<str>>> {
    let mut names = vec![None; addresses.len()];
    // `next[i]`: the first address at or after `i` without a name, with shortcuts (a union-find forest).
    let mut next: Vec<usize> = (0..=addresses.len()).collect();
    let mut left = addresses.len();
    for line in text.rsplit(|byte| *byte == b'\n') {
        if left == 0 {
            break;
        }
        let Some((start, end, name)) = parse(line) else {
            continue;
        };
        let mut at = free(&mut next, addresses.partition_point(|a| *a < start));
        let mut shown = None;
        while addresses.get(at).is_some_and(|address| *address < end) {
            let name = shown.get_or_insert_with(|| names::function(name));
            names[at] = Some(Arc::clone(name));
            left -= 1;
            next[at] = at + 1;
            at = free(&mut next, at);
        }
    }
    names
}

fn free(next: &mut [usize], mut at: usize) -> usize {
    while next[at] != at {
        next[at] = next[next[at]];
        at = next[at];
    }
    at
}

fn parse(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let start = hex(parts.next()?)?;
    let size = hex(parts.next()?)?;
    let name = parts.next()?.trim_ascii();
    let end = start.checked_add(size)?;
    (size > 0 && !name.is_empty()).then_some((start, end, name))
}

fn hex(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    u64::from_str_radix(digits.strip_prefix("0x").unwrap_or(digits), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbolize::safe_open::hold_link;
    use proptest::prelude::*;

    fn found(text: &str, addresses: &[u64]) -> Vec<Option<String>> {
        find(text.as_bytes(), addresses)
            .into_iter()
            .map(|name| name.map(|name| name.to_string()))
            .collect()
    }

    #[test]
    fn the_last_line_wins_and_a_bad_one_is_skipped() {
        let text = "1000 100 old\nnonsense\n1040 10 JS:~foo file.js:10\n\u{ff}\n2000 zz bad\n\
                    ffffffffffffffff 10 overflow\n3000 0 empty\n0x4000 10 prefixed\n5000 10 cut off";
        assert_eq!(
            found(
                text,
                &[
                    0xfff, 0x1000, 0x1045, 0x1050, 0x2000, 0x3000, 0x4001, 0x5000
                ]
            ),
            [
                None,
                Some("old".into()),
                Some("JS:~foo file.js:10".into()),
                Some("old".into()),
                None,
                None,
                Some("prefixed".into()),
                Some("cut off".into()),
            ]
        );
    }

    #[test]
    fn names_are_made_printable_and_cut() {
        let text = format!("10 10 a\x1b[31m;<b>\n20 10 {}", "x".repeat(10_000));
        let names = found(&text, &[0x10, 0x20]);
        assert_eq!(names[0].as_deref(), Some("a?[31m;<b>"));
        assert_eq!(
            names[1].as_ref().unwrap().chars().count(),
            names::MAX_NAME + 1
        );
    }

    #[test]
    fn of_a_large_map_the_end_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("perf-1.map");
        std::fs::write(&path, "10 10 old\n20 10 gone\n10 10 new\n").unwrap();
        let held = hold_link(&path).unwrap();
        let read = |max_bytes| {
            let found = resolve(&held, &[0x10, 0x20], max_bytes).unwrap();
            let names = found
                .names
                .iter()
                .map(|name| name.as_deref().map(str::to_owned));
            (names.collect::<Vec<_>>(), found.is_cut)
        };
        let (new, gone) = (Some("new".to_owned()), Some("gone".to_owned()));
        assert_eq!(read(1000), (vec![new.clone(), gone.clone()], false));
        assert_eq!(read(31), (vec![new.clone(), gone], false));
        // The line of `gone` is cut in its middle: "0 10 gone" would be another address.
        assert_eq!(read(20), (vec![new, None], true));
        assert_eq!(read(5), (vec![None, None], true));
    }

    proptest! {
        #[test]
        fn same_as_searching_every_line(
            lines in prop::collection::vec((0u64..50, 0u64..20), 0..40),
            mut addresses in prop::collection::vec(0u64..80, 0..40),
        ) {
            addresses.sort_unstable();
            addresses.dedup();
            let text: String = lines.iter().enumerate()
                .map(|(number, (start, size))| format!("{start:x} {size:x} f{number}\n"))
                .collect();
            let expected: Vec<_> = addresses.iter().map(|address| {
                lines.iter().enumerate().rev()
                    .find(|(_, (start, size))| (*start..start + size).contains(address))
                    .map(|(number, _)| format!("f{number}"))
            }).collect();
            prop_assert_eq!(found(&text, &addresses), expected);
        }

        #[test]
        fn garbage_is_harmless(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = find(&bytes, &[0, 1, 0x10, 0xffff, u64::MAX]);
        }
    }
}
