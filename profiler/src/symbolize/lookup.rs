//! The addresses of one process, sorted out by what they lie in, and turned into frames.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::binary::Answer;
use super::cache::{Cache, Origin};
use super::perf_maps::{PerfMaps, Reading};
use super::pool::Pool;
use super::problems::{Problem, Problems};
use super::process::{Content, Image, InsteadOf};
use super::safe_open::Held;
use super::{InTime, Options, Patience, names};
use crate::model::{CallerAt, Frame, FrameKind, FrameTable, Module, ModuleId, Resolved};

/// What the lookup of the addresses of one process needs.
pub(super) struct Lookup<'a> {
    pub(super) image: &'a Image,
    pub(super) perf_map: Option<Arc<Held>>,
    pub(super) cache: &'a mut Cache,
    pub(super) options: &'a Options,
    pub(super) perf_maps: &'a mut PerfMaps,
    pub(super) pool: &'a Pool,
    /// For reading a perf map, or a file that was moved.
    pub(super) patience: Patience,
    pub(super) problems: &'a mut Problems,
    pub(super) table: &'a mut FrameTable,
    /// Something was not read in time.
    pub(super) is_late: bool,
}

/// What has been found out about each address, by its place.
struct Found {
    resolved: Vec<Option<Resolved>>,
    /// Addresses that may be JIT-compiled, with what they read otherwise.
    maybe_jit: Vec<(usize, Resolved)>,
    /// Those of them that no perf map names.
    maybe_moved: Vec<(usize, Resolved)>,
}

/// Addresses of one file: place in the result, and offset in the file.
type Batch<'a> = (Origin, &'a str, Vec<(usize, u64)>);

impl Lookup<'_> {
    /// The frames at each address.
    pub(super) fn resolve(mut self, addresses: &[u64]) -> InTime {
        let mut found = Found {
            resolved: vec![None; addresses.len()],
            maybe_jit: Vec::new(),
            maybe_moved: Vec::new(),
        };
        self.by_mapping(addresses, &mut found);
        self.by_perf_map(addresses, &mut found);
        self.by_surroundings(addresses, &mut found);
        let all = addresses.iter().zip(found.resolved);
        let frames = all.map(|(address, resolved)| {
            resolved.unwrap_or_else(|| Resolved {
                is_code: false,
                ..plain(self.table, "unmapped", *address, None)
            })
        });
        InTime {
            frames: frames.collect(),
            is_late: self.is_late,
        }
    }

    fn by_mapping(&mut self, addresses: &[u64], found: &mut Found) {
        let image = self.image;
        // A file may be mapped under several paths: each is a module of its own.
        let mut batches: BTreeMap<(Option<u32>, &str), Batch<'_>> = BTreeMap::new();
        let mut is_remapped = false;
        for (at, address) in addresses.iter().enumerate() {
            if image.is_ambiguous(*address) {
                is_remapped = true;
                found.resolved[at] = Some(plain(self.table, "remapped", *address, None));
                continue;
            }
            let Some(mapping) = image.mapping(*address) else {
                continue;
            };
            let offset = mapping.offset_of(*address);
            match &mapping.content {
                Content::File { file, path } => {
                    let batch = batches
                        .entry((Some(file.id), path))
                        .or_insert_with(|| (Origin::Held(Arc::clone(file)), path, Vec::new()));
                    batch.2.push((at, offset));
                }
                Content::Vdso => {
                    let batch = batches
                        .entry((None, "[vdso]"))
                        .or_insert_with(|| (Origin::Vdso, "[vdso]", Vec::new()));
                    batch.2.push((at, offset));
                }
                Content::Unheld { path } => {
                    let module = self.module(path, "");
                    let plain = plain(self.table, names::base_name(path), offset, Some(module));
                    found.maybe_jit.push((at, plain));
                }
                Content::Special(name) => {
                    let module = self.module(name, "");
                    let name = name.trim_matches(['[', ']']);
                    let plain = plain(self.table, name, *address, Some(module));
                    found.resolved[at] = Some(plain);
                }
                Content::Anonymous => {
                    let name = match self.perf_map {
                        Some(_) => "jit",
                        None => "anon",
                    };
                    let module = self.module(&format!("[{name}]"), "");
                    let plain = plain(self.table, name, *address, Some(module));
                    found.maybe_jit.push((at, plain));
                }
            }
        }
        if is_remapped {
            self.problems.add(Problem::Remapped);
        }
        for (origin, path, places) in batches.into_values() {
            self.by_file(&origin, path, &places, found);
        }
    }

    fn by_file(&mut self, origin: &Origin, path: &str, places: &[(usize, u64)], found: &mut Found) {
        let offsets: Vec<u64> = places.iter().map(|(_, offset)| *offset).collect();
        let (located, build_id) = self
            .cache
            .resolve(origin, &offsets, self.options, self.problems);
        let module = self.module(path, &build_id);
        let base = match origin {
            Origin::Held(_) => names::clean(names::base_name(path)),
            Origin::Vdso => Arc::from("vdso"),
        };
        for ((at, _), located) in places.iter().zip(located) {
            match &located.answer {
                Some(answer) => {
                    let frames = self.frames(located.address, answer, module, &base);
                    found.resolved[*at] = Some(frames);
                }
                None => {
                    let plain = plain(self.table, &base, located.address, Some(module));
                    found.maybe_jit.push((*at, plain));
                }
            }
        }
    }

    fn frames(&mut self, address: u64, answer: &Answer, module: ModuleId, base: &str) -> Resolved {
        let mut frame = |name: Arc<str>, inlined, file, line| {
            self.table.intern(Frame {
                function: name,
                kind: FrameKind::User,
                module: Some(module),
                address,
                inlined,
                file,
                line,
            })
        };
        let count = answer.parts.len();
        let mut frames: Vec<_> = answer
            .parts
            .iter()
            .enumerate()
            .map(|(at, part)| {
                frame(
                    Arc::clone(&part.name),
                    at + 1 < count,
                    part.file.clone(),
                    part.line,
                )
            })
            .collect();
        if frames.is_empty() {
            frames.push(frame(names::unnamed(base, answer.start), false, None, 0));
        }
        Resolved {
            frames,
            is_root: answer.is_root,
            is_code: true,
            caller: answer.caller,
        }
    }

    fn by_perf_map(&mut self, addresses: &[u64], found: &mut Found) {
        let mut places = std::mem::take(&mut found.maybe_jit);
        places.sort_unstable_by_key(|(at, _)| addresses[*at]);
        let mut names = vec![None; places.len()];
        if let (Some(map), false) = (&self.perf_map, places.is_empty()) {
            let wanted: Vec<u64> = places.iter().map(|(at, _)| addresses[*at]).collect();
            let reading = Reading {
                max_bytes: self.options.max_perf_map_bytes,
                asked: self.patience.asked,
                deadline: self.patience.deadline,
                pool: self.pool,
            };
            match self.perf_maps.names(map, &wanted, reading, self.problems) {
                Some(all) => names = all,
                None => self.late(),
            }
        }
        for ((at, otherwise), name) in places.into_iter().zip(names) {
            let Some(name) = name else {
                found.maybe_moved.push((at, otherwise));
                continue;
            };
            let module = self.module("[jit]", "");
            let frame = Frame {
                function: name,
                kind: FrameKind::User,
                module: Some(module),
                address: addresses[at],
                inlined: false,
                file: None,
                line: 0,
            };
            found.resolved[at] = Some(Resolved {
                frames: vec![self.table.intern(frame)],
                is_root: false,
                is_code: true,
                caller: CallerAt::Unknown,
            });
        }
    }

    /// Code of no file that lies where the text of one belongs: programs move theirs to huge pages at the same addresses.
    fn by_surroundings(&mut self, addresses: &[u64], found: &mut Found) {
        let places = std::mem::take(&mut found.maybe_moved);
        let image = self.image;
        let mut moved: BTreeMap<(u32, &str), (&InsteadOf, Vec<usize>)> = BTreeMap::new();
        let (mut is_jit, mut is_unclear) = (false, false);
        for (at, otherwise) in places {
            found.resolved[at] = Some(otherwise);
            let Some(mapping) = image.mapping(addresses[at]) else {
                continue;
            };
            match &mapping.instead_of {
                Some(instead) => {
                    let key = (instead.file.id, &*instead.path);
                    moved.entry(key).or_insert((instead, Vec::new())).1.push(at);
                }
                None => {
                    is_jit |= matches!(mapping.content, Content::Anonymous);
                    is_unclear |= mapping.is_disputed;
                }
            }
        }
        for (instead, all) in moved.into_values() {
            let wanted: Vec<u64> = all.iter().map(|at| addresses[*at]).collect();
            let offsets = self.cache.offsets_beside(
                instead,
                &wanted,
                self.options,
                (self.pool, self.patience),
                self.problems,
            );
            let offsets = offsets.unwrap_or_else(|| {
                self.late();
                vec![None; wanted.len()]
            });
            is_jit |= offsets.contains(&None);
            is_unclear |= offsets.contains(&None);
            let all = all.into_iter().zip(offsets);
            let places: Vec<_> = all.filter_map(|(at, offset)| Some((at, offset?))).collect();
            self.by_file(
                &Origin::Held(Arc::clone(&instead.file)),
                &instead.path,
                &places,
                found,
            );
        }
        if is_jit && image.writes_jitdump() {
            self.problems.add(Problem::JitDump);
        } else if is_unclear && self.perf_map.is_none() {
            self.problems.add(Problem::TextMoved);
        }
    }

    fn late(&mut self) {
        self.is_late = true;
        self.problems.add(Problem::FileLate);
    }

    fn module(&mut self, path: &str, build_id: &str) -> ModuleId {
        self.table.intern_module(Module {
            path: names::clean(path),
            build_id: Arc::from(build_id),
        })
    }
}

/// A frame without a name: `[what+0xoffset]`.
pub(super) fn plain(
    table: &mut FrameTable,
    what: &str,
    offset: u64,
    module: Option<ModuleId>,
) -> Resolved {
    let frame = Frame {
        function: names::unnamed(&names::clean(what), offset),
        kind: FrameKind::User,
        module,
        address: offset,
        inlined: false,
        file: None,
        line: 0,
    };
    Resolved {
        frames: vec![table.intern(frame)],
        is_root: false,
        is_code: true,
        caller: CallerAt::Unknown,
    }
}
