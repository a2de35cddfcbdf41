//! Files, as the kernel knows them.

use core::ffi::c_void;

use crate::{kernel, maps::ASKED};

/// Says in [`ASKED`] what the process that runs this has mapped at the address that it gives; nothing is left there if that cannot
/// be told. User space runs it by itself (`BPF_PROG_TEST_RUN`), it is attached nowhere.
///
/// Device and inode number would not do: on overlayfs and btrfs what `fstat` says of a file is not what its mapping has.
#[unsafe(link_section = "raw_tp/ask_mapping")]
#[unsafe(no_mangle)]
extern "C" fn ask_mapping(ctx: *const c_void) -> i32 {
    // SAFETY: the context is the arguments of a tracepoint, words, and the verifier checks the access.
    let address = unsafe { ctx.cast::<u64>().read_volatile() };
    let Some(asked) = ASKED.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: a live map value, which one process alone asks for and reads.
    kernel::area(address, unsafe { &mut *asked });
    0
}
