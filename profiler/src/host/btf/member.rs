//! Where a member of a struct is, through structs within it.

use super::reader::{Btf, TYPE_BYTES, Type, kind, word};

/// Where a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Byte offset from the start of the outermost type.
    pub offset: u32,
    /// Bit within that byte; 0 for anything but bit fields.
    pub bit: u32,
}

/// Structs within structs, as deep as they are looked through. The kernel nests seven anonymous ones at most; a file from
/// elsewhere may have one that contains itself.
const MAX_DEPTH: u32 = 32;

/// Members that are looked at for one answer. The kernel's largest struct has a few hundred with all in it; a file from
/// elsewhere may have few that contain each other in very many ways.
const MAX_MEMBERS: u32 = 100_000;

impl Btf {
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
}
