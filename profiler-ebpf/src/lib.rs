//! The border between the two halves of ctprof, and nothing else: the types that cross it, the names of
//! the read-only globals that the loader sets, and logic pure enough to be tested on the host.
//!
//! Rules of the border: `#[repr(C)]`, explicit padding, a size assert for every type; no `Option`, `bool`
//! or `enum` in a record, because the other half may be a different build and must survive a value it
//! does not know.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod abi;
pub mod hash;
pub mod histogram;
pub mod ledger;
pub mod opaque;
pub mod shared;
pub mod timeline;
pub mod unwind;
