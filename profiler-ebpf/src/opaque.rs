//! Hides values from the optimiser where it would emit code that the verifier rejects.

/// Returns its argument, opaque to LLVM. Otherwise LLVM drops masks that it can prove redundant, or derives the value from
/// another register whose bounds the verifier does not track (before 6.7); the verifier needs the mask to be there.
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
