//! The tables of a pprof profile: strings, mappings, functions and locations, each entry once.

use foldhash::{HashMap, HashMapExt as _};

use super::proto::{Function, Line, Location, Mapping};
use crate::model::{Frame, FrameId, FrameTable, ModuleId};

/// Strings by position; the first is empty.
pub(super) struct Strings {
    positions: HashMap<String, i64>,
    strings: Vec<String>,
}

impl Strings {
    pub(super) fn new() -> Self {
        let mut strings = Self {
            positions: HashMap::new(),
            strings: Vec::new(),
        };
        strings.position("");
        strings
    }

    /// The position of `text`, new or known.
    pub(super) fn position(&mut self, text: &str) -> i64 {
        if let Some(position) = self.positions.get(text) {
            return *position;
        }
        let position = self.strings.len() as i64;
        self.strings.push(text.to_owned());
        self.positions.insert(text.to_owned(), position);
        position
    }

    pub(super) fn into_vec(self) -> Vec<String> {
        self.strings
    }
}

/// Locations of a frame table's frames.
pub(super) struct Locations<'a> {
    table: &'a FrameTable,
    mappings: Vec<Mapping>,
    mapping_ids: HashMap<ModuleId, u64>,
    functions: Vec<Function>,
    function_ids: HashMap<(i64, i64, u64), u64>,
    locations: Vec<Location>,
    /// Location of a frame on its own, 0 if there is none yet: nearly every frame is.
    alone: Vec<u64>,
    inlined: HashMap<Vec<FrameId>, u64>,
    stand_ins: HashMap<&'static str, u64>,
}

impl<'a> Locations<'a> {
    pub(super) fn new(table: &'a FrameTable) -> Self {
        Self {
            table,
            mappings: Vec::new(),
            mapping_ids: HashMap::new(),
            functions: Vec::new(),
            function_ids: HashMap::new(),
            locations: Vec::new(),
            alone: vec![0; table.frames().len()],
            inlined: HashMap::new(),
            stand_ins: HashMap::new(),
        }
    }

    /// Appends the location numbers of a stack, leaf first: frames inlined into another share its location.
    pub(super) fn of_stack(
        &mut self,
        frames: &[FrameId],
        strings: &mut Strings,
        out: &mut Vec<u64>,
    ) {
        let mut rest = frames;
        while !rest.is_empty() {
            let inlined = rest
                .iter()
                .take_while(|id| self.table.frame(**id).inlined)
                .count();
            // A stack that ends within inlined frames has no frame that holds them.
            let (group, next) = rest.split_at((inlined + 1).min(rest.len()));
            out.push(self.of_group(group, strings));
            rest = next;
        }
    }

    fn of_group(&mut self, group: &[FrameId], strings: &mut Strings) -> u64 {
        let known = match group {
            [one] => self.alone[one.0 as usize],
            group => self.inlined.get(group).copied().unwrap_or(0),
        };
        if known != 0 {
            return known;
        }
        let id = self.locations.len() as u64 + 1;
        match group {
            [one] => self.alone[one.0 as usize] = id,
            group => {
                self.inlined.insert(group.to_vec(), id);
            }
        }
        let table = self.table;
        let holder = group.last().map(|id| table.frame(*id));
        let mapping_id = holder
            .and_then(|frame| frame.module)
            .map_or(0, |module| self.mapping(module, strings));
        let line = group
            .iter()
            .map(|id| {
                let frame = table.frame(*id);
                Line {
                    function_id: self.function(frame, mapping_id, strings),
                    line: i64::from(frame.line),
                }
            })
            .collect();
        if let Some(mapping) = self.mappings.get_mut((mapping_id as usize).wrapping_sub(1)) {
            for id in group {
                let frame = table.frame(*id);
                mapping.has_filenames |= frame.file.is_some();
                mapping.has_line_numbers |= frame.line != 0;
            }
            mapping.has_inline_frames |= group.len() > 1;
        }
        self.locations.push(Location {
            id,
            mapping_id,
            address: holder.map_or(0, |frame| frame.address),
            line,
        });
        id
    }

    /// The location of a name that stands in for frames that are not there.
    pub(super) fn stand_in(&mut self, name: &'static str, strings: &mut Strings) -> u64 {
        if let Some(known) = self.stand_ins.get(name) {
            return *known;
        }
        let name_position = strings.position(name);
        let function_id = self.functions.len() as u64 + 1;
        self.functions.push(Function {
            id: function_id,
            name: name_position,
            system_name: name_position,
            filename: 0,
        });
        let id = self.locations.len() as u64 + 1;
        self.locations.push(Location {
            id,
            line: vec![Line {
                function_id,
                line: 0,
            }],
            ..Location::default()
        });
        self.stand_ins.insert(name, id);
        id
    }

    fn mapping(&mut self, module: ModuleId, strings: &mut Strings) -> u64 {
        let mappings = &mut self.mappings;
        let table = self.table;
        *self.mapping_ids.entry(module).or_insert_with(|| {
            let id = mappings.len() as u64 + 1;
            let module = table.module(module);
            mappings.push(Mapping {
                id,
                filename: strings.position(&module.path),
                build_id: strings.position(&module.build_id),
                has_functions: true,
                ..Mapping::default()
            });
            id
        })
    }

    fn function(&mut self, frame: &Frame, mapping_id: u64, strings: &mut Strings) -> u64 {
        let name = strings.position(&frame.function);
        let filename = strings.position(frame.file.as_deref().unwrap_or(""));
        let functions = &mut self.functions;
        // One name in two files is two functions.
        *self
            .function_ids
            .entry((name, filename, mapping_id))
            .or_insert_with(|| {
                let id = functions.len() as u64 + 1;
                functions.push(Function {
                    id,
                    name,
                    system_name: name,
                    filename,
                });
                id
            })
    }

    pub(super) fn into_parts(self) -> (Vec<Mapping>, Vec<Location>, Vec<Function>) {
        (self.mappings, self.locations, self.functions)
    }
}
