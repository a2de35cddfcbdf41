//! What stacks of waits took, as the kernel half measures it.

use aya::maps::PerCpuArray;
use ctprof_ebpf::abi::price::Price;

use super::Kernel;
use super::loader::Owned;
use super::maps::{Plain, failed};
use crate::Result;
use crate::model::StackPrice;

// SAFETY: a record of the border: `#[repr(C)]` integers without padding, so every bit pattern is a value.
unsafe impl aya::Pod for Plain<Price> {}

/// The counters of every CPU.
pub struct Prices(PerCpuArray<Owned, Plain<Price>>);

impl Prices {
    /// The object's.
    ///
    /// # Errors
    /// The object has no such map.
    pub fn of(kernel: &mut Kernel) -> Result<Self> {
        kernel.take("PRICE").map(Self)
    }

    /// What was counted so far, on all CPUs.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn read(&self) -> Result<StackPrice> {
        let all = self
            .0
            .get(&0, 0)
            .map_err(|error| failed("read what stacks cost", &error))?;
        let mut sum = StackPrice {
            one_in: 1,
            ..StackPrice::default()
        };
        for Plain(price) in all.iter() {
            sum.cpu_ns += price.total_ns;
            sum.taken += price.taken;
            sum.reused += price.reused;
            sum.checked += price.checked;
            sum.differed += price.differed;
            sum.skipped += price.skipped;
            sum.limited_tenths += price.short_of;
            if price.skipped > 0 {
                sum.one_in = sum.one_in.max(1 << price.highest_rate.min(63));
            }
        }
        Ok(sum)
    }
}
