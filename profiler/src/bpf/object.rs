//! The built object, as committed; `build.rs` refuses one that does not belong to its sources.

/// ELF bytes of the kernel half, aligned as the parser needs them.
pub(super) const OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/ctprof.bpf.o"));
