//! Damage to the bytes of a file.

use proptest::prelude::*;

use crate::symbolize::elf::{Header, Section, Source};

/// A change of a file: where (as a fraction, and in which part), and what is written there.
#[derive(Clone, Debug)]
pub(super) struct Mutation {
    part: u8,
    place: u32,
    value: Vec<u8>,
}

pub(super) fn mutation() -> impl Strategy<Value = Mutation> {
    let extreme = prop_oneof![
        Just(0u64),
        Just(1),
        Just(u64::MAX),
        Just(u64::MAX / 2),
        Just(1 << 32),
        Just(u64::from(u32::MAX)),
        Just(0x7fff_ffff_ffff_ff00),
        any::<u64>(),
    ];
    let value = (extreme, 1usize..=8).prop_map(|(value, len)| value.to_le_bytes()[..len].to_vec());
    (0u8..4, any::<u32>(), value).prop_map(|(part, place, value)| Mutation { part, place, value })
}

/// Writes into the ELF header, the section headers, a named section, or anywhere.
pub(super) fn apply(bytes: &mut [u8], mutations: &[Mutation]) {
    let header = Header::read(&Source::Bytes(bytes.to_vec())).unwrap();
    let table = usize::try_from(u64::from_le_bytes(bytes[40..48].try_into().unwrap())).unwrap();
    for mutation in mutations {
        let range = match mutation.part {
            0 => 0..64,
            1 => table..table + header.sections.len() * 64,
            2 => {
                let wanted: Vec<_> = header
                    .sections
                    .iter()
                    .filter(|section| {
                        section.name.starts_with(".debug_")
                            || section.name.starts_with(".go")
                            || section.name.starts_with(".zdebug_")
                            || section.name.starts_with(".gnu_debug")
                            || section.name.starts_with(".note")
                            || matches!(
                                section.name.as_str(),
                                ".symtab"
                                    | ".strtab"
                                    | ".dynsym"
                                    | ".dynstr"
                                    | ".eh_frame_hdr"
                                    | ".eh_frame"
                            )
                    })
                    .filter_map(Section::file_range)
                    .collect();
                wanted[mutation.place as usize % wanted.len()].clone()
            }
            _ => 0..bytes.len(),
        };
        // A prime, so that the place within a section does not depend on its choice.
        let at = range.start + (mutation.place as usize / 31) % range.len().max(1);
        for (slot, byte) in bytes[at..].iter_mut().zip(&mutation.value) {
            *slot = *byte;
        }
    }
}
