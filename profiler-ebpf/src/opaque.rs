//! Keeping the compiler from what the verifier could not follow.

/// The same number, of which the compiler knows nothing. Else it leaves out a mask that changes nothing, and takes other
/// ways to the same number, of which older verifiers (before 6.7) do not see how large it is: the mask has to be there.
#[inline(always)]
#[must_use]
pub fn opaque(number: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    let number = {
        let mut number = number;
        // SAFETY: moves a register to itself. Without an instruction, lines would be told of one place twice, which the kernel
        // refuses.
        unsafe {
            core::arch::asm!("{0} = {0}", inout(reg) number, options(pure, nomem, nostack, preserves_flags));
        }
        number
    };
    number
}
