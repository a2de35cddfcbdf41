//! What becomes of memory that is freed.
//!
//! glibc gives large blocks back to the kernel at first, but keeps all up to the size of the largest that was freed so far
//! (`M_MMAP_THRESHOLD` in mallopt(3)). The kernel's types, which are needed at the start only, would stay for good: 27 MB
//! of the 39 MB that the agent would take.

/// Blocks from 128 KiB on are given back to the kernel when they are freed: for everything that lasts.
pub fn return_large_blocks() {
    from_bytes_on(128 << 10);
}

/// Blocks up to 32 MiB, which is the most, are kept for the next: for work after which the process ends, such as writing a
/// recording, which is a sixth faster.
pub fn keep_large_blocks() {
    from_bytes_on(32 << 20);
}

fn from_bytes_on(bytes: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number, under the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, bytes);
        libc::mallopt(libc::M_TRIM_THRESHOLD, bytes);
    };
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}
