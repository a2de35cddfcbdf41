//! What the current process has mapped at an address, as the kernel has it: for a process that user space has not told of
//! yet.
//!
//! The helper for that, `bpf_find_vma`, answers once where interrupts are off: it gives the lock back when they are on again, and is
//! busy until then. A stack lies in several mappings, so the tree is read without the lock, as it may be changed meanwhile by another
//! thread of the process: what is found says itself whose it is and where it lies, or is not taken.
//!
//! Mappings are in a maple tree since Linux 6.1 (`lib/maple_tree.c`, `include/linux/maple_tree.h`).

use core::{ffi::c_void, ptr};

use aya_ebpf::{Global, helpers::generated::bpf_probe_read_kernel};
use ctprof_ebpf::{
    abi::{
        layout::ABSENT,
        unwind::{LookedUp, NODE_WORDS, Node},
    },
    opaque::opaque,
};

use super::{OFF_TASK_MM, current, file::OFF_FILE_INODE, has, optional, probe, read};

optional! {
    OFF_MM_TREE, OFF_VMA_START, OFF_VMA_END, OFF_VMA_MM, OFF_VMA_PAGE, OFF_VMA_FILE, OFF_VMA_PRIVATE,
    OFF_RANGE_PIVOTS, OFF_RANGE_SLOTS, OFF_GAPS_PIVOTS, OFF_GAPS_SLOTS,
}

/// Nodes are 256 bytes, and lie at a multiple of that.
const NODE_MASK: u64 = NODE_WORDS as u64 * 8 - 1;
/// Of `enum maple_type`: up to this, a node whose slots are mappings; and the last, which keeps the largest gap below each of its slots
/// and so has fewer.
const LEAF: u64 = 1;
const RANGES_WITH_GAPS: u64 = 3;
/// Pivots of either.
const PIVOTS: u64 = 15;
const PIVOTS_WITH_GAPS: u64 = 9;
/// 10 mappings a node at least, 2^32 in all at most: more levels than there can be mappings for.
const MOST_LEVELS: usize = 8;

/// Finds the mapping of the current process that contains this address. Says whether it is there and nobody changes the tree just
/// now.
#[inline(always)]
pub(crate) fn area(address: u64, found: &mut LookedUp) -> bool {
    found.area.end = 0;
    let fields = [
        &OFF_MM_TREE,
        &OFF_VMA_START,
        &OFF_VMA_END,
        &OFF_VMA_MM,
        &OFF_VMA_PAGE,
        &OFF_VMA_FILE,
        &OFF_VMA_PRIVATE,
        &OFF_FILE_INODE,
    ];
    if !fields.into_iter().all(has) || !is_known_layout() {
        return false;
    }
    let memory: u64 = read(current(), OFF_TASK_MM.load());
    if memory == 0 {
        return false;
    }
    let mapping = mapping_at(address, memory, &mut found.node);
    let field = |offset: &Global<u32>| -> u64 { probe(mapping + u64::from(offset.load())) };
    if field(&OFF_VMA_MM) != memory {
        return false;
    }
    let area = &mut found.area;
    area.start = field(&OFF_VMA_START);
    let end = field(&OFF_VMA_END);
    if address < area.start || address >= end {
        return false;
    }
    area.shown.page = field(&OFF_VMA_PAGE);
    let file = field(&OFF_VMA_FILE);
    area.shown.content = if file == 0 {
        field(&OFF_VMA_PRIVATE)
    } else {
        probe(file + u64::from(OFF_FILE_INODE.load()))
    };
    area.end = end;
    true
}

/// Whether nodes are laid out as this file has it; the loader looks in the kernel's types.
#[inline(always)]
fn is_known_layout() -> bool {
    OFF_RANGE_PIVOTS.load() == 8
        && OFF_RANGE_SLOTS.load() == 8 * (1 + PIVOTS as u32)
        && OFF_GAPS_PIVOTS.load() == 8
        && OFF_GAPS_SLOTS.load() == 8 * (1 + PIVOTS_WITH_GAPS as u32)
}

/// Address of what the tree has for this address: of a mapping, or of anything.
#[inline(always)]
fn mapping_at(address: u64, memory: u64, node: &mut Node) -> u64 {
    let mut entry: u64 = probe(memory + u64::from(OFF_MM_TREE.load()));
    // `xa_is_node`: a process with one mapping has that in the place of a tree.
    if entry & 3 != 2 {
        return 0;
    }
    for _ in 0..MOST_LEVELS {
        let kind = entry >> 3 & 0xf;
        // SAFETY: the helper checks the address, and writes all of the node, zeros where it fails.
        unsafe {
            bpf_probe_read_kernel(
                ptr::from_mut(node).cast(),
                size_of::<Node>() as u32,
                (entry & !NODE_MASK) as *const c_void,
            )
        };
        // 1 for a node with gaps. All that follows is sums: of a branch for each pivot, the verifier would go all ways.
        let gaps = opaque(kind >> 1 & kind) & 1;
        let mut index = 1 + PIVOTS - gaps * (PIVOTS - PIVOTS_WITH_GAPS);
        for number in 0..PIVOTS {
            // SAFETY: a word of the node. Read one after the other, or the compiler keeps them all on the stack.
            let pivot = unsafe { (&raw const node[1 + number as usize]).read_volatile() };
            let counts = if number < PIVOTS_WITH_GAPS {
                1
            } else {
                1 - gaps
            };
            index = opaque(index + (counts & is_below(pivot, address)));
        }
        // SAFETY: the index is below the length of the array.
        entry = unsafe { *node.as_ptr().add(index as usize & (NODE_WORDS - 1)) };
        if kind <= LEAF {
            return entry;
        }
        if kind > RANGES_WITH_GAPS {
            return 0;
        }
    }
    0
}

/// 1 if the entry with this last address lies before `address`, else 0, as for pivots that are not used, which are 0.
#[inline(always)]
fn is_below(pivot: u64, address: u64) -> u64 {
    let is_used = opaque(pivot | pivot.wrapping_neg());
    let is_low = opaque(!pivot);
    let is_before = opaque(pivot.wrapping_sub(address));
    (is_used & is_low & is_before) >> 63
}
