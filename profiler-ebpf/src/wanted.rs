//! Whose stacks are wanted: of everything that is recorded, in the same states from start to end, or by slot, switched
//! on and off by user space while the ledger goes on.

use aya_ebpf::Global;
use ctprof_ebpf::abi::{
    ledger::state,
    scope::{is_recorded, slot},
    wanted::Wanted,
};

use crate::maps::WANTED;

/// Of which states there may be stacks.
#[unsafe(no_mangle)]
static STACK_STATES: Global<u32> = Global::new(0);
/// Whether [`WANTED`] says whose.
#[unsafe(no_mangle)]
static STACKS_BY_SLOT: Global<u32> = Global::new(0);

const ON_CPU: u32 = 1 << state::ON_CPU;

/// Whether [`of`] can change while the ledger goes on.
#[inline(always)]
pub(crate) fn changes() -> bool {
    STACKS_BY_SLOT.load() != 0
}

/// Of which states stacks are wanted of a thread with this slot, and since when.
#[inline(always)]
pub(crate) fn of(thread_slot: u32) -> Wanted {
    if !changes() {
        let states = if is_recorded(thread_slot) {
            STACK_STATES.load()
        } else {
            0
        };
        return Wanted {
            since_ns: 0,
            states,
            padding: 0,
        };
    }
    let Some(wanted) = WANTED.get_ptr(slot(thread_slot)) else {
        return Wanted::default();
    };
    // SAFETY: the pointer is to a live array element. User space writes the time first, and switches states on after it.
    unsafe {
        Wanted {
            states: (&raw const (*wanted).states).read_volatile(),
            since_ns: (&raw const (*wanted).since_ns).read_volatile(),
            padding: 0,
        }
    }
}

/// Whether samples are wanted.
#[inline(always)]
pub(crate) fn on_cpu(thread_slot: u32) -> bool {
    of(thread_slot).states & ON_CPU != 0
}

/// Whether stacks of any state off the CPU are wanted.
#[inline(always)]
pub(crate) fn off_cpu(thread_slot: u32) -> bool {
    STACK_STATES.load() & !ON_CPU != 0 && of(thread_slot).states & !ON_CPU != 0
}

/// Whether user space wants to hear of the processes of this slot.
#[inline(always)]
pub(crate) fn processes(thread_slot: u32) -> bool {
    if changes() {
        of(thread_slot).states != 0
    } else {
        is_recorded(thread_slot)
    }
}

/// A newborn cgroup inherits this from the one above. Called before threads can have its slot.
#[inline(always)]
pub(crate) fn inherit(newborn: u32, above: u32) {
    if !changes() {
        return;
    }
    let wanted = of(above);
    if let Some(entry) = WANTED.get_ptr_mut(newborn) {
        // SAFETY: the pointer is to a live array element of a slot that nobody has yet.
        unsafe { *entry = wanted };
    }
}
