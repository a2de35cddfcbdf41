//! What the kernel itself says of a process' mappings. User space looks at a process some milliseconds after its birth, and by
//! then it may be gone; but mostly its files have been others' before, and their tables are there.

use ctprof_ebpf::abi::unwind::table;

use crate::{
    kernel,
    maps::{SHOWN, UNWOUND},
};

/// Nothing is known of what is there.
pub(super) const UNKNOWN: u32 = 0;
/// A file with a table.
pub(super) const TABLE: u32 = 1;
/// Memory without a file: made at run time.
pub(super) const NO_FILE: u32 = 2;

/// Looks up what the current process has mapped at this address, into this entry of `UNWOUND`.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn see(entry: u32, address: u64) -> u32 {
    let Some(unwound) = UNWOUND.get_ptr_mut(entry) else {
        return UNKNOWN;
    };
    // SAFETY: a live map value of this CPU and hook.
    let (seen, table) = unsafe { (&mut (*unwound).seen, &mut (*unwound).table) };
    if address < seen.area.start || address >= seen.area.end {
        if !kernel::area(address, seen) {
            return UNKNOWN;
        }
        table.table = table::NONE;
        if seen.area.shown.content != 0 {
            // SAFETY: user space replaces entries as a whole.
            match unsafe { SHOWN.get(&seen.area.shown) } {
                Some(shown) => *table = *shown,
                None => table.table = table::NOT_YET,
            }
        }
    }
    match table.table {
        table::NONE => NO_FILE,
        table::NOT_YET => UNKNOWN,
        _ => TABLE,
    }
}
