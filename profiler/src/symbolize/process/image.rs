//! One program image: its executable mappings, kept over `dlopen`, `dlclose` and the end of the process.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::facts::ImageIdentity;
use super::files::HeldFile;
use crate::symbolize::safe_open::Held;

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
}

/// The perf map of a process.
#[derive(Debug, Default)]
pub(crate) enum PerfMap {
    /// Not there so far.
    #[default]
    None,
    /// Held.
    Held(Held),
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
    Unreadable,
}

/// One program image.
#[derive(Debug, Default)]
pub(crate) struct Image {
    /// `None` if it could not be read.
    pub(crate) identity: Option<ImageIdentity>,
    /// Why not.
    pub(crate) absent: Absent,
    /// By address, not overlapping.
    mappings: Vec<Mapping>,
    /// Hash of the text the mappings are from: most refreshes find nothing new.
    pub(crate) text_hash: u64,
    pub(crate) root: Option<Arc<OwnedFd>>,
    pub(crate) perf_map: PerfMap,
}

impl Image {
    /// An image that could not be read.
    pub(crate) fn absent(absent: Absent) -> Self {
        Self {
            absent,
            ..Self::default()
        }
    }

    /// The mapping that contains `address`.
    pub(crate) fn mapping(&self, address: u64) -> Option<&Mapping> {
        let after = self.mappings.partition_point(|m| m.start <= address);
        let mapping = self.mappings.get(after.checked_sub(1)?)?;
        (address < mapping.end).then_some(mapping)
    }

    /// The same file at the same place, from an earlier look.
    pub(crate) fn same(&self, start: u64, path: &str) -> Option<&Content> {
        let content = &self.mapping(start)?.content;
        match content {
            Content::File { path: known, .. } | Content::Unheld { path: known } => {
                (known.as_ref() == path).then_some(content)
            }
            _ => None,
        }
    }

    /// Takes over `new` mappings, sorted by address. An earlier one stays where none of the new ones is:
    /// samples of a library since unloaded still have names.
    pub(crate) fn update(&mut self, new: Vec<Mapping>, limit: usize) {
        let mut merged = new;
        let room = limit.saturating_sub(merged.len());
        let fresh = merged.len();
        let kept = self.mappings.drain(..).filter(|old| {
            let after = merged[..fresh].partition_point(|m| m.start < old.end);
            after
                .checked_sub(1)
                .is_none_or(|at| merged[at].end <= old.start)
        });
        let kept: Vec<_> = kept.take(room).collect();
        merged.extend(kept);
        merged.sort_unstable_by_key(|m| m.start);
        self.mappings = merged;
    }

    /// Code that no file explains: a JIT compiler may describe it in a perf map.
    pub(crate) fn may_have_jit(&self) -> bool {
        self.mappings.iter().any(|m| match &m.content {
            Content::Anonymous => true,
            Content::File { path, .. } | Content::Unheld { path } => {
                path.starts_with("/memfd:") || path.starts_with("/dev/zero")
            }
            Content::Vdso | Content::Special(_) => false,
        })
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
        }
    }

    #[test]
    fn jitdump_files_are_known_by_their_names() {
        for (path, expected) in [
            ("/tmp/jit-4242.dump", true),
            ("/root/.debug/jit/x/jit-1.dump", true),
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
        assert!(image.mapping(12).is_none());
        assert_eq!(image.mapping(39).unwrap().start, 30);
        assert!(image.mapping(40).is_none());
    }

    #[test]
    fn the_limit_drops_old_mappings_first() {
        let mut image = Image::default();
        image.update(vec![anonymous(10, 20), anonymous(30, 40)], 2);
        image.update(vec![anonymous(50, 60)], 2);
        assert_eq!(ranges(&image), [(10, 20), (50, 60)]);
    }
}
