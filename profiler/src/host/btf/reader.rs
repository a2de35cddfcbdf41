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
pub(super) mod kind {
    pub(in crate::host::btf) const INT: u32 = 1;
    pub(in crate::host::btf) const ARRAY: u32 = 3;
    pub(in crate::host::btf) const STRUCT: u32 = 4;
    pub(in crate::host::btf) const UNION: u32 = 5;
    pub(in crate::host::btf) const ENUM: u32 = 6;
    pub(in crate::host::btf) const FWD: u32 = 7;
    pub(in crate::host::btf) const TYPEDEF: u32 = 8;
    pub(in crate::host::btf) const VOLATILE: u32 = 9;
    pub(in crate::host::btf) const CONST: u32 = 10;
    pub(in crate::host::btf) const RESTRICT: u32 = 11;
    pub(in crate::host::btf) const FUNC: u32 = 12;
    pub(in crate::host::btf) const FUNC_PROTO: u32 = 13;
    pub(in crate::host::btf) const VAR: u32 = 14;
    pub(in crate::host::btf) const DATASEC: u32 = 15;
    pub(in crate::host::btf) const DECL_TAG: u32 = 17;
    pub(in crate::host::btf) const TYPE_TAG: u32 = 18;
    pub(in crate::host::btf) const ENUM64: u32 = 19;
}

/// `struct btf_type`: name offset, info, size or type.
pub(super) const TYPE_BYTES: usize = 12;
pub(super) const MAGIC: u32 = 0xeb9f;

/// Parsed enough to look members up by name.
#[derive(Debug)]
pub struct Btf {
    /// The whole file: a copy of its parts would be 5 MB more.
    bytes: Vec<u8>,
    types: Range<usize>,
    strings: Range<usize>,
    /// Byte offset in `types` of each type id; id 0 is void.
    pub(super) index: Vec<u32>,
}

#[derive(Clone, Copy)]
pub(super) struct Type {
    pub(super) at: usize,
    pub(super) name: u32,
    pub(super) kind: u32,
    pub(super) vlen: usize,
    pub(super) kind_flag: bool,
    pub(super) size_or_type: u32,
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

    pub(super) fn structs<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Type> + 'a {
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

    pub(super) fn type_by_id(&self, id: u32) -> Option<Type> {
        let at = *self.index.get(id as usize)?;
        self.type_at(at as usize)
    }

    pub(super) fn types(&self) -> &[u8] {
        self.bytes.get(self.types.clone()).unwrap_or_default()
    }

    fn strings(&self) -> &[u8] {
        self.bytes.get(self.strings.clone()).unwrap_or_default()
    }

    pub(super) fn type_at(&self, at: usize) -> Option<Type> {
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

    pub(super) fn is_named(&self, ty: Type, name: &str) -> bool {
        self.name_is(ty.name, name)
    }

    pub(super) fn name_is(&self, offset: u32, name: &str) -> bool {
        let tail = self.strings().get(offset as usize..).unwrap_or_default();
        tail.starts_with(name.as_bytes()) && tail.get(name.len()) == Some(&0)
    }
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
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
