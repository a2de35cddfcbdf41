//! Cutting: the listed structs with the listed members, and just enough of what they refer to.

use std::collections::HashMap;

use super::types::{Btf, HEADER, MAGIC, Type, kind};

/// A small BTF file.
pub(super) struct Small {
    /// The file.
    pub(super) bytes: Vec<u8>,
    /// `struct.member` and typedefs that the kernel does not have.
    pub(super) missing: Vec<String>,
}

/// Keeps `structs` (with these members of each) and `typedefs`. Members of anonymous structs and unions
/// stay where they are, inside their containers. Offsets and sizes are untouched.
pub(super) fn cut(btf: &Btf, structs: &[(&str, &[&str])], typedefs: &[&str]) -> Small {
    let mut cutter = Cutter {
        btf,
        structs,
        types: Vec::new(),
        strings: vec![0],
        done: HashMap::new(),
    };
    let mut missing = Vec::new();
    for (name, members) in structs {
        let ids = cutter.named(name, &[kind::STRUCT]);
        let Some(id) = ids
            .into_iter()
            .max_by_key(|id| cutter.found(*id, members).len())
        else {
            missing.push((*name).to_owned());
            continue;
        };
        let found = cutter.found(id, members);
        let absent = members.iter().filter(|member| !found.contains(member));
        missing.extend(absent.map(|member| format!("{name}.{member}")));
        cutter.keep(id);
    }
    for name in typedefs {
        match cutter.named(name, &[kind::TYPEDEF])[..] {
            [id, ..] => {
                cutter.keep_typedef(id);
            }
            [] => missing.push((*name).to_owned()),
        }
    }
    Small {
        bytes: cutter.file(),
        missing,
    }
}

struct Cutter<'a> {
    btf: &'a Btf,
    structs: &'a [(&'a str, &'a [&'a str])],
    types: Vec<Type>,
    strings: Vec<u8>,
    /// Old id to new id.
    done: HashMap<u32, u32>,
}

impl<'a> Cutter<'a> {
    fn old(&self, id: u32) -> &'a Type {
        &self.btf.types[id as usize]
    }

    fn named(&self, name: &str, kinds: &[u32]) -> Vec<u32> {
        (0_u32..)
            .zip(&self.btf.types)
            .filter(|(_, ty)| kinds.contains(&ty.kind) && self.btf.string(ty.name) == name)
            .map(|(id, _)| id)
            .collect()
    }

    /// Which of `wanted` the struct has, anonymous members included.
    fn found(&self, id: u32, wanted: &[&'a str]) -> Vec<&'a str> {
        let mut found = Vec::new();
        for member in self.old(id).extra.chunks_exact(3) {
            let name = self.btf.string(member[0]);
            if name.is_empty() {
                found.extend(self.found_inside(member[1], wanted));
            } else {
                found.extend(wanted.iter().find(|wanted| **wanted == name));
            }
        }
        found
    }

    fn found_inside(&self, id: u32, wanted: &[&'a str]) -> Vec<&'a str> {
        let inner = self.btf.resolve(id);
        if is_aggregate(self.old(inner).kind) {
            self.found(inner, wanted)
        } else {
            Vec::new()
        }
    }

    /// The new id of type `id`.
    fn keep(&mut self, id: u32) -> u32 {
        let id = self.btf.resolve(id);
        if id == 0 {
            return 0;
        }
        if let Some(new) = self.done.get(&id) {
            return *new;
        }
        let old = self.old(id);
        if is_aggregate(old.kind) {
            let name = self.btf.string(old.name);
            let members = self.structs.iter().find(|(listed, _)| *listed == name);
            let members = members.map_or(&[][..], |(_, members)| *members);
            return self.keep_struct(id, members);
        }
        let new = self.reserve(id);
        let mut ty = old.clone();
        ty.name = self.string(old.name);
        match old.kind {
            kind::INT | kind::FLOAT => {}
            // Values would be many and tell nothing about a layout.
            kind::ENUM | kind::ENUM64 => ty.extra.clear(),
            kind::PTR => ty.size_or_type = self.keep_target(old.size_or_type),
            kind::ARRAY => {
                ty.extra[0] = self.keep(old.extra[0]);
                ty.extra[1] = self.keep(old.extra[1]);
            }
            kind::FUNC_PROTO => {
                ty.size_or_type = self.keep(old.size_or_type);
                for parameter in ty.extra.chunks_exact_mut(2) {
                    parameter[0] = self.string(parameter[0]);
                    parameter[1] = self.keep(parameter[1]);
                }
            }
            // A forward declaration, say: nothing is known of it, so nothing is kept but its name.
            _ => {}
        }
        self.types[new as usize - 1] = ty;
        new
    }

    /// What a pointer points to: only listed structs and functions, everything else becomes `void`.
    fn keep_target(&mut self, id: u32) -> u32 {
        let id = self.btf.resolve(id);
        let old = self.old(id);
        let name = self.btf.string(old.name);
        let listed =
            is_aggregate(old.kind) && self.structs.iter().any(|(listed, _)| *listed == name);
        if listed || old.kind == kind::FUNC_PROTO {
            self.keep(id)
        } else {
            0
        }
    }

    fn keep_struct(&mut self, id: u32, members: &[&'a str]) -> u32 {
        let new = self.reserve(id);
        let old = self.old(id);
        let mut ty = Type {
            name: self.string(old.name),
            extra: Vec::new(),
            ..old.clone()
        };
        for member in old.extra.chunks_exact(3) {
            let name = self.btf.string(member[0]);
            let inner = if name.is_empty() && !self.found_inside(member[1], members).is_empty() {
                self.keep_struct(self.btf.resolve(member[1]), members)
            } else if members.contains(&name) {
                self.keep(member[1])
            } else {
                continue;
            };
            let name = self.string(member[0]);
            ty.extra.extend([name, inner, member[2]]);
        }
        self.types[new as usize - 1] = ty;
        new
    }

    fn keep_typedef(&mut self, id: u32) {
        let old = self.old(id);
        let new = self.reserve(id);
        self.types[new as usize - 1] = Type {
            name: self.string(old.name),
            size_or_type: self.keep(old.size_or_type),
            ..old.clone()
        };
    }

    /// Gives `id` its new id before its contents are known: types refer to each other in circles.
    fn reserve(&mut self, id: u32) -> u32 {
        self.types.push(self.btf.types[0].clone());
        let new = u32::try_from(self.types.len()).unwrap_or(u32::MAX);
        self.done.insert(id, new);
        new
    }

    /// Copies a string and returns its new offset.
    fn string(&mut self, offset: u32) -> u32 {
        let text = self.btf.string(offset);
        if text.is_empty() {
            return 0;
        }
        let entry = [b"\0", text.as_bytes(), b"\0"].concat();
        let present = self
            .strings
            .windows(entry.len())
            .position(|window| window == entry);
        let at = present.unwrap_or_else(|| {
            self.strings.extend(&entry[1..]);
            self.strings.len() - entry.len()
        });
        u32::try_from(at + 1).unwrap_or(u32::MAX)
    }

    fn file(&self) -> Vec<u8> {
        let mut types = Vec::new();
        for ty in &self.types {
            let vlen = match ty.kind {
                kind::STRUCT | kind::UNION => ty.extra.len() / 3,
                kind::FUNC_PROTO => ty.extra.len() / 2,
                _ => 0,
            };
            let vlen = u32::try_from(vlen).unwrap_or(u32::MAX);
            types.push(ty.name);
            types.push(vlen | ty.kind << 24 | u32::from(ty.kind_flag) << 31);
            types.push(ty.size_or_type);
            types.extend(&ty.extra);
        }
        let types: Vec<u8> = types.into_iter().flat_map(u32::to_le_bytes).collect();
        let types_len = u32::try_from(types.len()).unwrap_or(u32::MAX);
        let strings_len = u32::try_from(self.strings.len()).unwrap_or(u32::MAX);
        let magic_version_flags = u32::from(MAGIC) | 1 << 16;
        let header = [
            magic_version_flags,
            HEADER,
            0,
            types_len,
            types_len,
            strings_len,
        ];
        let mut bytes: Vec<u8> = header.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.extend(types);
        bytes.extend(&self.strings);
        bytes
    }
}

fn is_aggregate(kind: u32) -> bool {
    matches!(kind, kind::STRUCT | kind::UNION)
}
