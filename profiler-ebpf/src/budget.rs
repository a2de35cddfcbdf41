//! What stacks of waits take of this CPU: see [`ctprof_ebpf::price`].

use aya_ebpf::{Global, helpers::generated::bpf_get_prandom_u32};
use ctprof_ebpf::{
    abi::{ledger::Thread, price::Price},
    price::{SKIP, TENTH_NS},
};

use crate::maps::PRICE;

#[unsafe(no_mangle)]
static BUDGET_NS: Global<u64> = Global::new(0);

/// Whether a wait of this thread that begins now may have its stacks taken: the rate at which waits like it have, and [`SKIP`] if
/// it is none of these.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn ask_price(thread: *const Thread, now_ns: u64) -> u32 {
    // SAFETY: the caller's pointer is to a live map value; it is checked because the verifier asks for that.
    let Some(thread) = (unsafe { thread.as_ref() }) else {
        return SKIP;
    };
    let budget_ns = BUDGET_NS.load();
    if budget_ns == 0 {
        return 0;
    }
    // SAFETY: has no precondition.
    let random = unsafe { bpf_get_prandom_u32() };
    own().map_or(0, |price| {
        price.ask(budget_ns, now_ns / TENTH_NS, random, &thread.places)
    })
}

/// Taking the stacks of a wait took so long, of which [`ask_price`] had said this.
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn pay_price(answer: u32, ns: u64) -> u32 {
    if let Some(price) = own() {
        let budget_ns = BUDGET_NS.load();
        let budget_ns = if budget_ns == 0 { u64::MAX } else { budget_ns };
        price.pay(budget_ns, answer, ns);
    }
    0
}

/// A wait has the stacks that its thread had at the same place.
#[inline(always)]
pub(crate) fn reused() {
    if let Some(price) = own() {
        price.reused += 1;
    }
}

/// The stacks of a wait were taken to see whether they are those that it would have had.
#[inline(always)]
pub(crate) fn checked(is_same: bool) {
    if let Some(price) = own() {
        price.checked += 1;
        price.differed += u64::from(!is_same);
    }
}

/// This CPU's, which the scheduler's hooks alone write: none of them interrupts another.
#[inline(always)]
fn own() -> Option<&'static mut Price> {
    let price = PRICE.get_ptr_mut(0)?;
    // SAFETY: a live map value of this CPU.
    Some(unsafe { &mut *price })
}
