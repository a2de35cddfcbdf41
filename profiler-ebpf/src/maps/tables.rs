//! The arrays of unwind tables, in a map of arrays.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::{
    bindings::{BPF_F_INNER_MAP, bpf_map_type::BPF_MAP_TYPE_ARRAY},
    helpers::generated::bpf_map_lookup_elem,
};
use ctprof_ebpf::abi::unwind::Block;

/// The array of one table, as loaders read it from BTF: numbers are the lengths of arrays that do not exist. Sizes instead of types,
/// because the arrays that user space makes have none, and before Linux 6.3 one with a type was no match for those:
/// the kernel refused every table.
#[repr(C)]
pub(crate) struct Blocks {
    r#type: *const [i32; BPF_MAP_TYPE_ARRAY as usize],
    key_size: *const [i32; size_of::<u32>()],
    value_size: *const [i32; size_of::<Block>()],
    max_entries: *const [i32; 1],
    map_flags: *const [i32; BPF_F_INNER_MAP as usize],
}

impl Blocks {
    /// The block with this number.
    #[inline(always)]
    pub(crate) fn get(&self, number: u32) -> Option<&Block> {
        let map: *const c_void = ptr::from_ref(self).cast();
        // SAFETY: what a map of arrays gives is an array of this type, and blocks of it stay where they are.
        unsafe {
            let block = bpf_map_lookup_elem(map.cast_mut(), (&raw const number).cast());
            block.cast::<Block>().as_ref()
        }
    }
}
