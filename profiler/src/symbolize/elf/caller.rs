//! Where a function has the address that it returns to, from its frame description in `.eh_frame`.
//!
//! Unwinding by frame pointers skips the caller of a function that keeps none. The description of the function says so,
//! and where the caller is found instead.

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameOffset, LittleEndian, RegisterRule, UnwindContext,
    UnwindSection as _, X86_64,
};

use super::header::Header;
use super::source::{Numbers as _, Source};
use crate::model::CallerAt;

/// A description that is longer is not read: those of functions of many kilobytes of code have a few hundred bytes.
const MAX_BYTES: u32 = 8 << 10;

const EM_X86_64: u16 = 62;

/// What the description at `description`, an address, says for `address` within its function.
pub(super) fn caller_at(
    description: u64,
    address: u64,
    source: &Source,
    header: &Header,
) -> Option<CallerAt> {
    if header.machine != EM_X86_64 {
        return None;
    }
    let (fde, _) = entry(description, source, header)?;
    let distance = fde.u32_at(4)?;
    let (cie, cie_bytes) = entry(
        description.checked_add(4)?.checked_sub(distance.into())?,
        source,
        header,
    )?;
    // The two alone, one behind the other, are a section, whose second entry is at its old address.
    let mut section = cie;
    section.extend_from_slice(fde.get(..4)?);
    section.extend_from_slice(&cie_bytes.checked_add(4)?.to_le_bytes());
    section.extend_from_slice(fde.get(8..)?);
    let bases =
        BaseAddresses::default().set_eh_frame(description.wrapping_sub(u64::from(cie_bytes)));
    let section = EhFrame::new(&section, LittleEndian);
    let offset = EhFrameOffset(usize::try_from(cie_bytes).ok()?);
    let fde = section
        .fde_from_offset(&bases, offset, EhFrame::cie_from_offset)
        .ok()?;
    let mut context = UnwindContext::new();
    let row = fde
        .unwind_info_for_address(&section, &bases, &mut context, address)
        .ok()?;
    let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else {
        return None;
    };
    let keeps_frame_pointer = matches!(
        row.register(X86_64::RBP),
        None | Some(RegisterRule::Undefined | RegisterRule::SameValue)
    );
    match register {
        // It has saved its caller's, and made its own.
        X86_64::RBP => Some(CallerAt::FramePointer),
        X86_64::RSP if keeps_frame_pointer => {
            // The return address is the last word below the caller's frame.
            let offset = u32::try_from(offset.checked_sub(8)?).ok()?;
            Some(CallerAt::Stack(offset))
        }
        _ => None,
    }
}

/// The entry of `.eh_frame` at this address, and its size.
fn entry(address: u64, source: &Source, header: &Header) -> Option<(Vec<u8>, u32)> {
    let offset = header.offset_of(address)?;
    let length = source.read_some(offset, 4).ok()?.u32_at(0)?;
    let bytes = length.checked_add(4)?;
    let entry = (8..=MAX_BYTES).contains(&bytes).then_some(bytes)?;
    let read = source
        .read(offset, entry.into(), u64::from(MAX_BYTES))
        .ok()?;
    Some((read, bytes))
}
