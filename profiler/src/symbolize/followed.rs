//! Mappings of code as the kernel's own records tell them.
//!
//! A look at `/proc` sees what is mapped at that moment, if the process still is. The records come with a time, name the
//! file although the process is gone a millisecond later, and say when a library went and another took its place.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::model::{CodeFile, Happened, MappedCode, SideBand};

/// How long what a process mapped is kept after its end, if nobody has asked for it: a sample of it is announced within
/// milliseconds.
const KEPT_NS: u64 = 3_000_000_000;

/// Most program images followed at a time; each takes some hundred bytes.
const MAX_IMAGES: usize = 65_536;

/// Most mappings of code of one image.
const MAX_CODE: usize = 2_048;

/// Most ranges of an image that had different contents.
const MAX_AMBIGUOUS: usize = 1_024;

/// One mapping of code.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) offset: u64,
    pub(super) file: Arc<FileName>,
}

/// Which file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileName {
    pub(super) path: Arc<str>,
    pub(super) file: CodeFile,
}

impl FileName {
    /// Anonymous memory, the vDSO and the like are no files.
    pub(super) fn is_file(&self) -> bool {
        self.path.starts_with('/') && !self.path.starts_with("//")
    }
}

/// A process between two `execve` calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Followed {
    began_ns: u64,
    /// The process that it was forked from.
    pub(super) parent: Option<u32>,
    /// All that it maps is known: its birth or its `execve` was seen, or that of the process that it was forked from.
    pub(super) is_whole: bool,
    /// In the order in which they were mapped. Forks share theirs until one of them maps something.
    code: Arc<Vec<Code>>,
    ambiguous: Vec<(u64, u64)>,
    is_wanted: bool,
}

impl Followed {
    /// Every mapping of code, a later one before those that it lies over.
    pub(super) fn latest_first(&self) -> impl Iterator<Item = &Code> {
        self.code.iter().rev()
    }

    /// Addresses at which there were different things in turn.
    pub(super) fn ambiguous(&self) -> &[(u64, u64)] {
        &self.ambiguous
    }

    fn map(&mut self, code: Code) {
        let mut is_known = false;
        for old in self.code.iter() {
            let (start, end) = (code.start.max(old.start), code.end.min(old.end));
            if start >= end {
                continue;
            }
            let is_same_place =
                code.start.wrapping_sub(code.offset) == old.start.wrapping_sub(old.offset);
            let is_same = old.file == code.file && (is_same_place || !code.file.is_file());
            is_known |= is_same && start == code.start && end == code.end;
            if !is_same
                && self.ambiguous.len() < MAX_AMBIGUOUS
                && !self.ambiguous.contains(&(start, end))
            {
                self.ambiguous.push((start, end));
            }
        }
        if !is_known && self.code.len() < MAX_CODE {
            Arc::make_mut(&mut self.code).push(code);
        }
    }
}

/// Every process that something was recorded of.
#[derive(Debug, Default)]
pub(super) struct Following {
    /// By process id, in the order of time.
    images: HashMap<u32, Vec<Followed>>,
    count: usize,
    /// Processes that ended, and when.
    ended: VecDeque<(u64, u32)>,
    names: HashMap<FileName, Arc<FileName>>,
    newest_ns: u64,
}

impl Following {
    /// Takes over a record, which is later than all before. If it is of a mapping of an image that is wanted, its file.
    pub(super) fn add(&mut self, record: SideBand) -> Option<Arc<FileName>> {
        self.newest_ns = record.at_ns;
        self.forget_before(record.at_ns.saturating_sub(KEPT_NS));
        let SideBand { at_ns, pid, what } = record;
        match what {
            Happened::Forked { parent } => {
                let before = self.latest(parent).cloned().unwrap_or_default();
                self.begin(
                    pid,
                    Followed {
                        began_ns: at_ns,
                        parent: Some(parent),
                        is_wanted: false,
                        ..before
                    },
                );
            }
            Happened::Executed => {
                let parent = self.latest(pid).and_then(|before| before.parent);
                self.begin(
                    pid,
                    Followed {
                        began_ns: at_ns,
                        parent,
                        is_whole: true,
                        ..Followed::default()
                    },
                );
            }
            Happened::Mapped(code) => return self.mapped(pid, code),
            Happened::Ended => self.ended.push_back((at_ns, pid)),
        }
        None
    }

    /// All that happened until this moment is known.
    pub(super) const fn newest_ns(&self) -> u64 {
        self.newest_ns
    }

    fn mapped(&mut self, pid: u32, code: MappedCode) -> Option<Arc<FileName>> {
        let MappedCode {
            start,
            end,
            offset,
            file,
            path,
        } = code;
        let name = FileName { path, file };
        let file = match self.names.get(&name) {
            Some(known) => Arc::clone(known),
            None => {
                let new = Arc::new(name.clone());
                if self.names.len() < MAX_IMAGES {
                    self.names.insert(name, Arc::clone(&new));
                }
                new
            }
        };
        if self.latest(pid).is_none() {
            self.begin(pid, Followed::default());
        }
        let image = self.images.get_mut(&pid)?.last_mut()?;
        image.map(Code {
            start,
            end,
            offset,
            file: Arc::clone(&file),
        });
        (image.is_wanted && file.is_file()).then_some(file)
    }

    fn begin(&mut self, pid: u32, image: Followed) {
        if self.count < MAX_IMAGES {
            self.count += 1;
            self.images.entry(pid).or_default().push(image);
        } else {
            // Better nothing than what its predecessor mapped.
            self.count -= self.images.remove(&pid).map_or(0, |images| images.len());
        }
    }

    fn latest(&self, pid: u32) -> Option<&Followed> {
        self.images.get(&pid)?.last()
    }

    /// The image that a process had at a moment.
    pub(super) fn at(&self, pid: u32, at_ns: u64) -> Option<&Followed> {
        let images = self.images.get(&pid)?.iter().rev();
        let mut begun = images.skip_while(|image| image.began_ns > at_ns);
        begun.next()
    }

    /// Keeps the image of this moment beyond its end; its files that are known by now, and the processes whose root
    /// folder they may be in: itself, and those that it was forked from.
    pub(super) fn want(&mut self, pid: u32, at_ns: u64) -> Option<(Vec<Arc<FileName>>, Vec<u32>)> {
        let images = self.images.get_mut(&pid)?.iter_mut().rev();
        let mut begun = images.skip_while(|image| image.began_ns > at_ns);
        let image = begun.next()?;
        let is_new = !std::mem::replace(&mut image.is_wanted, true);
        let files = image.code.iter().map(|code| &code.file);
        let files: Vec<Arc<FileName>> = files.filter(|file| file.is_file()).cloned().collect();
        is_new.then(|| (files, self.relatives(pid)))
    }

    /// The process, and those that it was forked from.
    pub(super) fn relatives(&self, pid: u32) -> Vec<u32> {
        const GENERATIONS: usize = 6;
        let mut all = vec![pid];
        let mut next = self.latest(pid).and_then(|image| image.parent);
        while let Some(parent) = next.filter(|it| all.len() < GENERATIONS && !all.contains(it)) {
            all.push(parent);
            next = self.latest(parent).and_then(|image| image.parent);
        }
        all
    }

    fn forget_before(&mut self, ns: u64) {
        while let Some((ended_ns, pid)) = self.ended.front().copied().filter(|(at, _)| *at < ns) {
            self.ended.pop_front();
            let Some(images) = self.images.get_mut(&pid) else {
                continue;
            };
            let before = images.len();
            // Those that began later are another process' that has the pid now.
            images.retain(|image| image.is_wanted || image.began_ns > ended_ns);
            self.count -= before - images.len();
            if images.is_empty() {
                self.images.remove(&pid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at_ns: u64, pid: u32, what: Happened) -> SideBand {
        SideBand { at_ns, pid, what }
    }

    fn mapped(start: u64, end: u64, path: &str, inode: u64) -> Happened {
        Happened::Mapped(MappedCode {
            start,
            end,
            offset: 0,
            file: CodeFile::Inode {
                device: (8, 1),
                inode,
                generation: 0,
            },
            path: path.into(),
        })
    }

    fn paths(image: &Followed) -> Vec<&str> {
        image.latest_first().map(|it| &*it.file.path).collect()
    }

    #[test]
    fn an_image_is_what_was_mapped_since_its_exec() {
        let mut all = Following::default();
        all.add(record(1, 7, mapped(0, 10, "/sh", 1)));
        all.add(record(2, 8, Happened::Forked { parent: 7 }));
        all.add(record(3, 8, mapped(20, 30, "/plugin", 2)));
        all.add(record(4, 8, Happened::Executed));
        all.add(record(5, 8, mapped(0, 10, "/cat", 3)));
        assert_eq!(paths(all.at(8, 3).unwrap()), ["/plugin", "/sh"]);
        assert!(
            !all.at(8, 3).unwrap().is_whole,
            "what 7 mapped before is not known"
        );
        assert_eq!(paths(all.at(8, 9).unwrap()), ["/cat"]);
        assert!(all.at(8, 9).unwrap().is_whole);
        assert_eq!(paths(all.at(7, 9).unwrap()), ["/sh"]);
        assert!(all.at(8, 1).is_none());
        assert_eq!(all.relatives(8), [8, 7]);
    }

    #[test]
    fn what_took_the_place_of_another_file_is_ambiguous() {
        let mut all = Following::default();
        all.add(record(1, 7, Happened::Executed));
        all.add(record(2, 7, mapped(10, 20, "/alpha", 1)));
        all.add(record(3, 7, mapped(10, 20, "/alpha", 1)));
        assert!(all.at(7, 9).unwrap().ambiguous().is_empty());
        all.add(record(4, 7, mapped(15, 25, "/beta", 2)));
        assert_eq!(all.at(7, 9).unwrap().ambiguous(), [(15, 20)]);
        // The same path, but another file.
        all.add(record(5, 7, mapped(24, 26, "/beta", 3)));
        assert_eq!(all.at(7, 9).unwrap().ambiguous(), [(15, 20), (24, 25)]);
    }

    #[test]
    fn only_what_is_wanted_outlives_its_process() {
        let mut all = Following::default();
        for pid in [7, 8] {
            all.add(record(1, pid, Happened::Executed));
            all.add(record(2, pid, mapped(0, 10, "/cat", 3)));
        }
        let (files, relatives) = all.want(7, 2).unwrap();
        assert_eq!((files.len(), relatives), (1, vec![7]));
        assert!(all.want(7, 2).is_none(), "once");
        all.add(record(3, 7, Happened::Ended));
        all.add(record(3, 8, Happened::Ended));
        all.add(record(4 + KEPT_NS, 9, Happened::Executed));
        assert!(all.at(7, 2).is_some());
        assert!(all.at(8, 2).is_none());
        assert_eq!(all.count, 2);
    }
}
