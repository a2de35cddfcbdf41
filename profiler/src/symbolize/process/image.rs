//! One program image: its executable mappings, kept over `dlopen`, `dlclose` and the end of the process.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::facts::ImageIdentity;
use super::files::HeldFile;
use crate::symbolize::names::base_name;
use crate::symbolize::problems::Problem;
use crate::symbolize::safe_open::Held;

/// Most ranges of an image that are kept as ambiguous. Whoever maps more than that writes over its own code all the time.
const MAX_AMBIGUOUS: usize = 4_096;

/// What an executable mapping contains.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A file that is held.
    File { file: Arc<HeldFile>, path: Arc<str> },
    /// A file that could not be held.
    Unheld { path: Arc<str> },
    /// The vDSO.
    Vdso,
    /// `[vsyscall]` and the like, with its name.
    Special(Arc<str>),
    /// Anonymous memory.
    Anonymous,
}

/// An executable mapping.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Offset of `start` in the file.
    pub(crate) offset: u64,
    pub(crate) content: Content,
    /// The file whose place it has taken, as far as its neighbours tell.
    pub(crate) instead_of: Option<Arc<InsteadOf>>,
    /// Code of two files lies directly on both sides: it could have taken the place of either's.
    pub(crate) is_disputed: bool,
}

/// A file that is mapped directly before and behind code of no file: its text may have been moved to huge pages, at the
/// same addresses.
#[derive(Debug)]
pub(crate) struct InsteadOf {
    pub(crate) file: Arc<HeldFile>,
    pub(crate) path: Arc<str>,
    pub(crate) neighbours: Vec<Neighbour>,
}

/// Where a part of a file is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(crate) start: u64,
    pub(crate) offset: u64,
    pub(crate) is_code: bool,
}

impl Mapping {
    /// Where in the file `address` is, which lies in the mapping.
    pub(crate) fn offset_of(&self, address: u64) -> u64 {
        (address - self.start).wrapping_add(self.offset)
    }

    /// Where both are, both have the same: an address there has one meaning.
    fn continues(&self, old: &Self) -> bool {
        let is_same_place =
            self.start.wrapping_sub(self.offset) == old.start.wrapping_sub(old.offset);
        match (&self.content, &old.content) {
            (Content::File { file, .. }, Content::File { file: before, .. }) => {
                is_same_place && file.is_same(before)
            }
            // A path may begin at another root.
            (
                Content::File { path, .. } | Content::Unheld { path },
                Content::File { path: before, .. } | Content::Unheld { path: before },
            ) => is_same_place && base_name(path) == base_name(before),
            (Content::Vdso, Content::Vdso) | (Content::Anonymous, Content::Anonymous) => true,
            (Content::Special(name), Content::Special(before)) => name == before,
            _ => false,
        }
    }
}

/// The perf map of a process.
#[derive(Debug, Default)]
pub(crate) enum PerfMap {
    /// Not there so far.
    #[default]
    None,
    /// Held.
    Held(Arc<Held>),
    /// There, but not to be trusted; counted already.
    Refused,
}

/// Why an image has no mappings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Absent {
    /// The process was gone, or ran another program, before it was read.
    #[default]
    Exited,
    /// It may not be read.
    Unreadable(Problem),
}

/// One program image.
#[derive(Debug, Default)]
pub(crate) struct Image {
    /// `None` if it could not be read.
    pub(crate) identity: Option<ImageIdentity>,
    /// Why not.
    pub(crate) absent: Absent,
    /// By address, not overlapping.
    mappings: Arc<Vec<Mapping>>,
    /// Addresses that had one content and then another: whose a sample there is, its address does not say. By start.
    ambiguous: Vec<(u64, u64)>,
    /// Hash of the text the mappings are from: most refreshes find nothing new.
    pub(crate) text_hash: u64,
    pub(crate) root: Option<Arc<OwnedFd>>,
    pub(crate) perf_map: PerfMap,
    /// Not to be looked at again before.
    pub(crate) next_look: Option<Instant>,
    /// Records have said what it maps.
    is_followed: bool,
    /// What the last look took.
    pub(crate) took: Duration,
}

impl Image {
    /// An image that could not be read.
    pub(crate) fn absent(absent: Absent) -> Self {
        Self {
            absent,
            ..Self::default()
        }
    }

    /// All mappings.
    pub(crate) fn all(&self) -> Arc<Vec<Mapping>> {
        Arc::clone(&self.mappings)
    }

    /// The mapping that contains `address`.
    pub(crate) fn mapping(&self, address: u64) -> Option<&Mapping> {
        find(&self.mappings, address)
    }

    /// Whether different things were mapped at `address` in turn.
    pub(crate) fn is_ambiguous(&self, address: u64) -> bool {
        let ranges = self.ambiguous.iter();
        let mut before = ranges.take_while(|(start, _)| *start <= address);
        before.any(|(_, end)| address < *end)
    }

    /// Whether anything is known of it.
    pub(crate) const fn is_known(&self) -> bool {
        self.identity.is_some() || self.is_followed
    }

    /// Takes over what records say that it has mapped, a later mapping before those that it lies over: what looks have
    /// missed, and what cannot be told.
    pub(crate) fn follow(&mut self, code: Vec<Mapping>, ambiguous: &[(u64, u64)], limit: usize) {
        self.is_followed = true;
        self.ambiguous.extend_from_slice(ambiguous);
        let mut added: Vec<Mapping> = Vec::new();
        for new in code {
            let known = &self.mappings;
            let first = known.partition_point(|m| m.end <= new.start);
            let over = known[first..].iter().take_while(|m| m.start < new.end);
            let mut is_free = true;
            for old in over {
                is_free = false;
                if !new.continues(old) {
                    let range = (old.start.max(new.start), old.end.min(new.end));
                    self.ambiguous.push(range);
                }
            }
            let overlaps = |m: &Mapping| m.start < new.end && new.start < m.end;
            if is_free && !added.iter().any(overlaps) && known.len() + added.len() < limit {
                added.push(new);
            }
        }
        self.ambiguous.sort_unstable();
        self.ambiguous.dedup();
        let all = Arc::make_mut(&mut self.mappings);
        all.append(&mut added);
        all.sort_unstable_by_key(|m| m.start);
    }

    /// Takes over `new` mappings, sorted by address. An earlier one stays where none of the new ones is:
    /// samples of a library since unloaded still have names.
    pub(crate) fn update(&mut self, new: Vec<Mapping>, limit: usize) {
        let mut merged = new;
        let room = limit.saturating_sub(merged.len());
        let fresh = merged.len();
        let mut kept = Vec::new();
        for old in self.mappings.iter() {
            let first = merged[..fresh].partition_point(|m| m.end <= old.start);
            let over = merged[first..fresh].iter();
            let mut over = over.take_while(|m| m.start < old.end).peekable();
            if over.peek().is_none() {
                if kept.len() < room {
                    kept.push(old.clone());
                }
                continue;
            }
            for new in over.filter(|new| !new.continues(old)) {
                let range = (old.start.max(new.start), old.end.min(new.end));
                if !self.ambiguous.contains(&range) && self.ambiguous.len() < MAX_AMBIGUOUS {
                    self.ambiguous.push(range);
                }
            }
        }
        self.ambiguous.sort_unstable();
        merged.extend(kept);
        merged.sort_unstable_by_key(|m| m.start);
        self.mappings = Arc::new(merged);
    }
}

/// The mapping of these, sorted by address, that contains `address`.
fn find(mappings: &[Mapping], address: u64) -> Option<&Mapping> {
    let after = mappings.partition_point(|m| m.start <= address);
    let mapping = mappings.get(after.checked_sub(1)?)?;
    (address < mapping.end).then_some(mapping)
}

/// The same file at the same place, from an earlier look.
pub(crate) fn same<'a>(mappings: &'a [Mapping], start: u64, path: &str) -> Option<&'a Content> {
    let content = &find(mappings, start)?.content;
    match content {
        Content::File { path: known, .. } | Content::Unheld { path: known } => {
            (known.as_ref() == path).then_some(content)
        }
        _ => None,
    }
}

impl Image {
    /// The process describes its JIT-compiled code in a jitdump file: it maps a page of it as code, as a mark for perf
    /// (`jitdump-specification.txt` of the Linux sources).
    pub(crate) fn writes_jitdump(&self) -> bool {
        self.mappings.iter().any(|m| match &m.content {
            Content::File { path, .. } | Content::Unheld { path } => is_jitdump(path),
            Content::Anonymous | Content::Vdso | Content::Special(_) => false,
        })
    }
}

/// `jit-4242.dump`.
fn is_jitdump(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let pid = name
        .strip_prefix("jit-")
        .and_then(|rest| rest.strip_suffix(".dump"));
    pid.is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Code that no file explains: a JIT compiler may describe it in a perf map.
pub(crate) fn may_have_jit(mappings: &[Mapping]) -> bool {
    mappings.iter().any(|m| match &m.content {
        Content::Anonymous => true,
        Content::File { path, .. } | Content::Unheld { path } => {
            path.starts_with("/memfd:") || path.starts_with("/dev/zero")
        }
        Content::Vdso | Content::Special(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anonymous(start: u64, end: u64) -> Mapping {
        Mapping {
            start,
            end,
            offset: 0,
            content: Content::Anonymous,
            instead_of: None,
            is_disputed: false,
        }
    }

    #[test]
    fn jitdump_files_are_known_by_their_names() {
        for (path, expected) in [
            ("/tmp/jit-4242.dump", true),
            ("/home/a/.debug/jit/x/jit-1.dump", true),
            ("/tmp/jit-.dump", false),
            ("/tmp/jit-1.dump/x", false),
            ("/tmp/jit-a.dump", false),
        ] {
            assert_eq!(is_jitdump(path), expected, "{path}");
        }
    }

    fn ranges(image: &Image) -> Vec<(u64, u64)> {
        image.mappings.iter().map(|m| (m.start, m.end)).collect()
    }

    #[test]
    fn old_mappings_stay_where_no_new_one_is() {
        let mut image = Image::default();
        image.update(
            vec![anonymous(10, 20), anonymous(30, 40), anonymous(50, 60)],
            100,
        );
        image.update(vec![anonymous(15, 25), anonymous(60, 70)], 100);
        assert_eq!(ranges(&image), [(15, 25), (30, 40), (50, 60), (60, 70)]);
        assert!(image.ambiguous.is_empty());
        assert!(image.mapping(12).is_none());
        assert_eq!(image.mapping(39).unwrap().start, 30);
        assert!(image.mapping(40).is_none());
    }

    #[test]
    fn what_was_two_things_in_turn_is_neither() {
        let file = |start, end, offset, path: &str| Mapping {
            offset,
            content: Content::Unheld { path: path.into() },
            ..anonymous(start, end)
        };
        let mut image = Image::default();
        image.update(vec![file(10, 30, 5, "/a"), anonymous(50, 60)], 100);
        // A part of it became writable, and its neighbour another file.
        image.update(vec![file(10, 20, 5, "/a"), file(20, 30, 15, "/a")], 100);
        assert!((0..100).all(|address| !image.is_ambiguous(address)));
        image.update(vec![file(25, 55, 0, "/b")], 100);
        let ambiguous: Vec<u64> = (0..100).filter(|at| image.is_ambiguous(*at)).collect();
        assert_eq!(ambiguous, [25, 26, 27, 28, 29, 50, 51, 52, 53, 54]);
    }

    #[test]
    fn the_limit_drops_old_mappings_first() {
        let mut image = Image::default();
        image.update(vec![anonymous(10, 20), anonymous(30, 40)], 2);
        image.update(vec![anonymous(50, 60)], 2);
        assert_eq!(ranges(&image), [(10, 20), (50, 60)]);
    }
}
