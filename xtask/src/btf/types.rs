//! BTF in memory (Documentation/bpf/btf.rst in the kernel's sources), little-endian.

use anyhow::{Context, Result, ensure};

pub(super) const MAGIC: u16 = 0xeb9f;
/// Bytes of a header without extensions.
pub(super) const HEADER: u32 = 24;

/// Kinds of types, as numbered in `include/uapi/linux/btf.h`.
pub(super) mod kind {
    pub(crate) const INT: u32 = 1;
    pub(crate) const PTR: u32 = 2;
    pub(crate) const ARRAY: u32 = 3;
    pub(crate) const STRUCT: u32 = 4;
    pub(crate) const UNION: u32 = 5;
    pub(crate) const ENUM: u32 = 6;
    pub(crate) const TYPEDEF: u32 = 8;
    pub(crate) const VOLATILE: u32 = 9;
    pub(crate) const CONST: u32 = 10;
    pub(crate) const RESTRICT: u32 = 11;
    pub(crate) const FUNC_PROTO: u32 = 13;
    pub(crate) const VAR: u32 = 14;
    pub(crate) const DATASEC: u32 = 15;
    pub(crate) const FLOAT: u32 = 16;
    pub(crate) const DECL_TAG: u32 = 17;
    pub(crate) const TYPE_TAG: u32 = 18;
    pub(crate) const ENUM64: u32 = 19;
}

/// One type, as stored: `struct btf_type` and the words behind it.
#[derive(Clone, Debug)]
pub(super) struct Type {
    /// Offset of the name in the strings.
    pub(super) name: u32,
    pub(super) kind: u32,
    pub(super) kind_flag: bool,
    pub(super) size_or_type: u32,
    /// What follows, in words: 3 a member, 2 a parameter, 3 for an array, 1 for an integer.
    pub(super) extra: Vec<u32>,
}

/// All types; index 0 is `void`.
pub(super) struct Btf {
    pub(super) types: Vec<Type>,
    strings: Vec<u8>,
}

impl Btf {
    /// Parses a whole BTF file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let word = |at: usize| -> Result<u32> {
            let word = bytes.get(at..at + 4).context("the BTF ends too early")?;
            Ok(u32::from_le_bytes(word.try_into()?))
        };
        ensure!(word(0)? & 0xffff == u32::from(MAGIC), "this is not BTF");
        let header = word(4)? as usize;
        let (types_at, types_len) = (header + word(8)? as usize, word(12)? as usize);
        let (strings_at, strings_len) = (header + word(16)? as usize, word(20)? as usize);
        let strings = bytes.get(strings_at..strings_at + strings_len);
        let void = Type {
            name: 0,
            kind: 0,
            kind_flag: false,
            size_or_type: 0,
            extra: Vec::new(),
        };
        let mut types = vec![void];
        let mut at = types_at;
        while at < types_at + types_len {
            let info = word(at + 4)?;
            let kind = info >> 24 & 0x1f;
            let words = extra_words(kind, (info & 0xffff) as usize)?;
            let extra = (0..words).map(|number| word(at + 12 + number * 4));
            types.push(Type {
                name: word(at)?,
                kind,
                kind_flag: info >> 31 == 1,
                size_or_type: word(at + 8)?,
                extra: extra.collect::<Result<_>>()?,
            });
            at += 12 + words * 4;
        }
        Ok(Self {
            types,
            strings: strings.context("the BTF has no strings")?.to_vec(),
        })
    }

    /// The string at `offset`.
    pub(super) fn string(&self, offset: u32) -> &str {
        let tail = self.strings.get(offset as usize..).unwrap_or_default();
        let text = tail.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }

    /// The type behind typedefs, qualifiers and tags.
    pub(super) fn resolve(&self, mut id: u32) -> u32 {
        while let Some(ty) = self.types.get(id as usize) {
            match ty.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = ty.size_or_type;
                }
                _ => break,
            }
        }
        id
    }
}

fn extra_words(kind: u32, vlen: usize) -> Result<usize> {
    Ok(match kind {
        kind::INT | kind::VAR | kind::DECL_TAG => 1,
        kind::ARRAY => 3,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => vlen * 3,
        kind::ENUM | kind::FUNC_PROTO => vlen * 2,
        1..=kind::ENUM64 => 0,
        _ => anyhow::bail!("the BTF has a type of unknown kind {kind}"),
    })
}
