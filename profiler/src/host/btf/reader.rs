//! A reader of BTF, the kernel's type information.
//!
//! Format: `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h` in the kernel's sources. Only what
//! looking up members needs is decoded, and nothing is copied: a kernel has 100,000 types, and a reader
//! that builds objects for all of them takes longer and more memory than the rest of the start.

use std::ops::Range;
use std::path::Path;

/// Why BTF could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// The file could not be read.
    #[error("cannot read {path}: {cause}; use --btf with a BTF file for this kernel")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's error.
        cause: String,
    },
    /// The bytes are not BTF, or end too early.
    #[error("not valid BTF: {0}")]
    Malformed(&'static str),
}

/// Kinds of types, as numbered in `include/uapi/linux/btf.h`.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FWD: u32 = 7;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// `struct btf_type`: name offset, info, size or type.
const TYPE_BYTES: usize = 12;
const MAGIC: u32 = 0xeb9f;

/// Structs within structs, as deep as they are looked through. The kernel nests seven anonymous ones at most; a file from
/// elsewhere may have one that contains itself.
const MAX_DEPTH: u32 = 32;

/// Members that are looked at for one answer. The kernel's largest struct has a few hundred with all in it; a file from
/// elsewhere may have few that contain each other in very many ways.
const MAX_MEMBERS: u32 = 100_000;

/// Where a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Byte offset from the start of the outermost type.
    pub offset: u32,
    /// Bit within that byte; 0 for anything but bit fields.
    pub bit: u32,
}

/// Parsed enough to look members up by name.
#[derive(Debug)]
pub struct Btf {
    /// The whole file: a copy of its parts would be 5 MB more.
    bytes: Vec<u8>,
    types: Range<usize>,
    strings: Range<usize>,
    /// Byte offset in `types` of each type id; id 0 is void.
    index: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Type {
    at: usize,
    name: u32,
    kind: u32,
    vlen: usize,
    kind_flag: bool,
    size_or_type: u32,
}

impl Btf {
    /// Reads a BTF file such as `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// The file cannot be read or is not BTF.
    pub fn from_file(path: &Path) -> Result<Self, BtfError> {
        let bytes = std::fs::read(path).map_err(|error| BtfError::Unreadable {
            path: path.display().to_string(),
            cause: error.to_string(),
        })?;
        Self::of(bytes).map_err(|error| BtfError::Unreadable {
            path: path.display().to_string(),
            cause: error.to_string(),
        })
    }

    /// Reads BTF of this machine's byte order.
    ///
    /// # Errors
    /// The bytes are not BTF or end too early.
    pub fn parse(bytes: &[u8]) -> Result<Self, BtfError> {
        Self::of(bytes.to_vec())
    }

    fn of(bytes: Vec<u8>) -> Result<Self, BtfError> {
        let word = |at: usize| word(&bytes, at).ok_or(BtfError::Malformed("header cut"));
        if word(0)? & 0xffff != MAGIC {
            return Err(BtfError::Malformed("wrong magic number"));
        }
        let header = word(4)? as usize;
        let section = |at: u32, len: u32, what| {
            let start = header.checked_add(at as usize);
            let end = start.and_then(|start| start.checked_add(len as usize));
            start
                .zip(end)
                .map(|(start, end)| start..end)
                .filter(|range| bytes.get(range.clone()).is_some())
                .ok_or(BtfError::Malformed(what))
        };
        let types = section(word(8)?, word(12)?, "type section cut")?;
        let strings = section(word(16)?, word(20)?, "string section cut")?;
        let mut btf = Self {
            bytes,
            types,
            strings,
            index: vec![u32::MAX],
        };
        btf.build_index()?;
        Ok(btf)
    }

    fn build_index(&mut self) -> Result<(), BtfError> {
        let mut at = 0;
        while at < self.types().len() {
            let ty = self.type_at(at).ok_or(BtfError::Malformed("type cut"))?;
            let extra = match ty.kind {
                kind::INT | kind::VAR | kind::DECL_TAG => 4,
                kind::ARRAY => 12,
                kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => ty.vlen * 12,
                kind::ENUM | kind::FUNC_PROTO => ty.vlen * 8,
                0 | 20.. => return Err(BtfError::Malformed("unknown kind of type")),
                _ => 0,
            };
            self.index
                .push(u32::try_from(at).map_err(|_| BtfError::Malformed("too large"))?);
            at += TYPE_BYTES + extra;
        }
        Ok(())
    }

    /// Where `path` (members joined by dots) lies in the struct or union `type_name`; members of
    /// anonymous structs and unions count as the outer type's own. `None` if there is no such type or member.
    #[must_use]
    pub fn member(&self, type_name: &str, path: &str) -> Option<Member> {
        let mut budget = MAX_MEMBERS;
        let bits = self
            .structs(type_name)
            .find_map(|ty| self.member_of(ty, path, MAX_DEPTH, &mut budget))?;
        Some(Member {
            offset: u32::try_from(bits / 8).ok()?,
            bit: (bits % 8) as u32,
        })
    }

    /// BTF in which the functions and type definitions of these names have the ids that they have here, and in which
    /// there is nothing else: for a reader that builds objects for all types.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Vec<u8> {
        const HEADER_BYTES: u32 = 24;
        let mut types = Vec::new();
        let mut strings = vec![0];
        let mut end = 0;
        for at in self.index.iter().skip(1) {
            let ty = self.type_at(*at as usize);
            let found = ty
                .filter(|ty| [kind::TYPEDEF, kind::FUNC].contains(&ty.kind))
                .and_then(|ty| Some((ty, names.iter().find(|name| self.is_named(ty, name))?)));
            // A forward declaration without a name takes the place of all others.
            let mut words = [0, kind::FWD << 24, 0];
            if let Some((ty, name)) = found {
                words = [
                    u32::try_from(strings.len()).unwrap_or_default(),
                    ty.kind << 24 | ty.vlen as u32,
                    ty.size_or_type,
                ];
                strings.extend_from_slice(name.as_bytes());
                strings.push(0);
            }
            types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
            if found.is_some() {
                end = types.len();
            }
        }
        types.truncate(end);
        let bytes = |part: &[u8]| u32::try_from(part.len()).unwrap_or_default();
        let (types_len, strings_len) = (bytes(&types), bytes(&strings));
        let header = [
            MAGIC | 1 << 16,
            HEADER_BYTES,
            0,
            types_len,
            types_len,
            strings_len,
        ];
        let header = header.iter().flat_map(|word| word.to_ne_bytes());
        header.chain(types).chain(strings).collect()
    }

    /// As if the kernel had no type of this name.
    #[cfg(test)]
    pub(super) fn without(mut self, name: &str) -> Self {
        let at = self.strings().windows(name.len() + 2).position(|window| {
            window.first() == Some(&0)
                && window.last() == Some(&0)
                && &window[1..=name.len()] == name.as_bytes()
        });
        let at = self.strings.start + at.unwrap() + 1;
        self.bytes[at] = b'?';
        self
    }

    /// In bits from the start of `ty`. `budget` is what of [`MAX_MEMBERS`] is left.
    fn member_of(&self, ty: Type, path: &str, depth: u32, budget: &mut u32) -> Option<u64> {
        let deeper = depth.checked_sub(1)?;
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        for number in 0..ty.vlen {
            *budget = budget.checked_sub(1)?;
            let at = ty.at + TYPE_BYTES + number * 12;
            let (name, id, place) = (
                word(self.types(), at)?,
                word(self.types(), at + 4)?,
                word(self.types(), at + 8)?,
            );
            // With the kind flag set, the upper 8 bits hold the width of a bit field.
            let bits = if ty.kind_flag {
                place & 0x00ff_ffff
            } else {
                place
            };
            let found = if name == 0 {
                self.aggregate(id)
                    .and_then(|inner| self.member_of(inner, path, deeper, budget))
            } else if !self.name_is(name, first) {
                continue;
            } else if rest.is_empty() {
                Some(0)
            } else {
                self.aggregate(id)
                    .and_then(|inner| self.member_of(inner, rest, deeper, budget))
            };
            if let Some(inner) = found {
                return Some(u64::from(bits) + inner);
            }
        }
        None
    }

    /// The struct or union behind typedefs and qualifiers.
    fn aggregate(&self, mut id: u32) -> Option<Type> {
        // A chain of qualifiers is short; the limit ends a cycle in a hostile file.
        for _ in 0..16 {
            let ty = self.type_by_id(id)?;
            match ty.kind {
                kind::STRUCT | kind::UNION => return Some(ty),
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = ty.size_or_type;
                }
                _ => return None,
            }
        }
        None
    }

    fn structs<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Type> + 'a {
        self.all().filter(move |ty| {
            matches!(ty.kind, kind::STRUCT | kind::UNION) && self.is_named(*ty, name)
        })
    }

    fn all(&self) -> impl Iterator<Item = Type> + '_ {
        self.index
            .iter()
            .skip(1)
            .filter_map(|at| self.type_at(*at as usize))
    }

    fn type_by_id(&self, id: u32) -> Option<Type> {
        let at = *self.index.get(id as usize)?;
        self.type_at(at as usize)
    }

    fn types(&self) -> &[u8] {
        self.bytes.get(self.types.clone()).unwrap_or_default()
    }

    fn strings(&self) -> &[u8] {
        self.bytes.get(self.strings.clone()).unwrap_or_default()
    }

    fn type_at(&self, at: usize) -> Option<Type> {
        let info = word(self.types(), at + 4)?;
        Some(Type {
            at,
            name: word(self.types(), at)?,
            kind: info >> 24 & 0x1f,
            vlen: (info & 0xffff) as usize,
            kind_flag: info >> 31 == 1,
            size_or_type: word(self.types(), at + 8)?,
        })
    }

    fn is_named(&self, ty: Type, name: &str) -> bool {
        self.name_is(ty.name, name)
    }

    fn name_is(&self, offset: u32, name: &str) -> bool {
        let tail = self.strings().get(offset as usize..).unwrap_or_default();
        tail.starts_with(name.as_bytes()) && tail.get(name.len()) == Some(&0)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Btf, BtfError};

    #[test]
    fn what_is_not_btf_is_an_error() {
        assert_eq!(
            Btf::parse(&[]).unwrap_err(),
            BtfError::Malformed("header cut")
        );
        assert_eq!(
            Btf::parse(&[0x7f; 24]).unwrap_err(),
            BtfError::Malformed("wrong magic number")
        );
    }

    #[test]
    fn what_is_left_keeps_its_id() {
        // Two types: an integer, and a definition of it.
        let strings = b"\0int\0wanted\0";
        let words = [
            0x0001_eb9f,
            24,
            0,
            28,
            28,
            strings.len() as u32,
            1,
            1 << 24,
            4,
            32,
            5,
            8 << 24,
            1,
        ];
        let mut bytes: Vec<u8> = words
            .iter()
            .flat_map(|word: &u32| word.to_ne_bytes())
            .collect();
        bytes.extend_from_slice(strings);
        let btf = Btf::parse(&bytes).unwrap();
        let left = btf.only(&["wanted".to_owned(), "missing".to_owned()]);
        let words = [0x0001_eb9f, 24, 0, 24, 24, 8, 0, 7 << 24, 0, 1, 8 << 24, 1];
        let mut expected: Vec<u8> = words
            .iter()
            .flat_map(|word: &u32| word.to_ne_bytes())
            .collect();
        expected.extend_from_slice(b"\0wanted\0");
        assert_eq!(left, expected);
        assert_eq!(Btf::parse(&left).unwrap().index.len(), 3);
        assert_eq!(Btf::parse(&btf.only(&[])).unwrap().index.len(), 1);
    }

    /// BTF of these words of types, with `strings`.
    fn btf(types: &[u32], strings: &[u8]) -> Btf {
        let length = |bytes: usize| u32::try_from(bytes).unwrap();
        let types_len = length(types.len() * 4);
        let header = [
            0x0001_eb9f,
            24,
            0,
            types_len,
            types_len,
            length(strings.len()),
        ];
        let words = header.iter().chain(types);
        let mut bytes: Vec<u8> = words.flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend_from_slice(strings);
        Btf::parse(&bytes).unwrap()
    }

    const STRUCT: u32 = 4 << 24;

    #[test]
    fn a_struct_that_contains_itself_has_no_end_but_an_answer() {
        // struct s { struct s; int x; }: without a limit the search for any member never comes back.
        let own = btf(&[1, STRUCT | 2, 8, 0, 1, 0, 3, 0, 32], b"\0s\0x\0");
        assert_eq!(own.member("s", "missing"), None);
        // Thirty structs, each with the next one twice: a thousand million ways to the last.
        let mut types = Vec::new();
        for next in 2..=31 {
            types.extend([1, STRUCT | 2, 8, 0, next, 0, 0, next, 0]);
        }
        types.extend([1, STRUCT, 0]);
        assert_eq!(btf(&types, b"\0s\0").member("s", "missing"), None);
    }

    #[test]
    fn offsets_beyond_any_struct_are_none() {
        // Two structs within another, each at the largest offset there is.
        let types = [
            1,
            STRUCT | 1,
            8,
            3,
            2,
            u32::MAX,
            0,
            STRUCT | 1,
            8,
            3,
            0,
            u32::MAX,
        ];
        let found = btf(&types, b"\0s\0x\0").member("s", "x.x");
        // In bits, their sum still fits into an offset in bytes.
        let bits = 2 * u64::from(u32::MAX);
        let place = (
            u64::from(found.unwrap().offset),
            u64::from(found.unwrap().bit),
        );
        assert_eq!(place, (bits / 8, bits % 8));
    }

    #[test]
    fn fuzz_btf() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/btf");
        let kernels: Vec<Vec<u8>> = ["6.1.192", "6.12.117", "6.18.44"]
            .map(|kernel| std::fs::read(dir.join(format!("{kernel}.btf"))).unwrap())
            .to_vec();
        crate::fuzz::fuzz(&kernels, |bytes| {
            let Ok(btf) = Btf::parse(bytes) else { return };
            for cgroup_v1 in [false, true] {
                if let Ok(layout) = crate::host::btf::layout::Layout::resolve(&btf, cgroup_v1) {
                    let _ = (layout.throttle(), layout.tells_syscalls());
                }
            }
            let names = ["task_struct".to_owned(), "bpf_iter_task".to_owned()];
            let left = Btf::parse(&btf.only(&names)).unwrap();
            assert!(left.index.len() <= btf.index.len());
        });
    }

    proptest! {
        #[test]
        fn garbage_behind_a_good_header_never_panics(body in proptest::collection::vec(any::<u8>(), 0..400), types in 0_u32..300) {
            let mut bytes = Vec::new();
            for word in [0x0001_eb9f, 24, 0, types, types, 64] {
                bytes.extend_from_slice(&u32::to_ne_bytes(word));
            }
            bytes.extend_from_slice(&body);
            if let Ok(btf) = Btf::parse(&bytes) {
                let _ = btf.member("task_struct", "se.cfs_rq");
            }
        }
    }
}
