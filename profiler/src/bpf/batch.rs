//! Many entries of an array in one call, which aya has nothing for.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `BPF_MAP_LOOKUP_BATCH` of `linux/bpf.h`; arrays have it since Linux 5.6.
const LOOKUP_BATCH: libc::c_long = 24;

/// Its part of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// The first entries of an array of 8-byte values, as many as fit `values`.
///
/// # Errors
/// What the kernel says.
pub(super) fn read_array(map: BorrowedFd<'_>, values: &mut [u64]) -> io::Result<()> {
    let mut keys = vec![0_u32; values.len()];
    let mut next = 0_u32;
    let count = u32::try_from(values.len()).map_err(io::Error::other)?;
    let batch = Batch {
        out_batch: (&raw mut next) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count,
        map_fd: map.as_raw_fd().cast_unsigned(),
        ..Batch::default()
    };
    // SAFETY: the attributes name buffers that live through the call, each with room for `count` entries.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            LOOKUP_BATCH,
            &raw const batch,
            size_of::<Batch>(),
        )
    };
    // An array that ends here says so with ENOENT, and has filled in everything.
    let error = io::Error::last_os_error();
    if done == 0 || error.raw_os_error() == Some(libc::ENOENT) {
        return Ok(());
    }
    Err(error)
}
