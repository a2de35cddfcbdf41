//! The views of the kernel half: each has a directory here, and a line in this table, which is all that others know of it.
//!
//! Both crates of this package read it: the border (`lib.rs`) for the records that cross it, in the file `abi` of each
//! directory, and the BPF object (`main.rs`, with `hooks`) for the programs and maps, in `mod.rs` and below.
//!
//! `cargo fmt` does not look into directories that a table declares:
//! `rustfmt --edition 2024 profiler-ebpf/src/views/*/{mod,abi}.rs` formats them.

views! {
    syscalls,
    isolation,
    moments,
}
