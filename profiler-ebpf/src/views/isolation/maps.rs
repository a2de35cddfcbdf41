//! Maps of this view.

use aya_ebpf::{macros::map, maps::RingBuf};

/// Samples of what runs in the kernel. Set at load.
#[map]
pub(super) static ISOLATION: RingBuf = RingBuf::with_byte_size(4096, 0);
