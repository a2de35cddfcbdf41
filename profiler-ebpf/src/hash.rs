//! The key of a stack.

use crate::abi::stack::StackRecord;

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const MULTIPLIER: u64 = 0xff51_afd7_ed55_8ccd;

/// 64-bit hash of a stack, of its first `frames` addresses and how it ends, never 0 (0 means "no stack").
///
/// One multiplication and one xor-shift per frame (the mixing step of MurmurHash3's finalizer), which a
/// verifier can follow and 127 frames can afford. Among 100,000 stacks, the chance that any two share
/// a key is below 10^-9.
#[inline(always)]
#[must_use]
pub fn stack(record: &StackRecord) -> u64 {
    let frames = record.frames;
    let mut hash = SEED ^ (u64::from(record.end) << 32 | u64::from(frames));
    for (index, address) in record.addresses.iter().enumerate() {
        if index >= frames as usize {
            break;
        }
        hash = (hash ^ address).wrapping_mul(MULTIPLIER);
        hash ^= hash >> 32;
    }
    if hash == 0 { 1 } else { hash }
}

#[cfg(test)]
mod tests {
    use super::stack;
    use crate::abi::stack::{MAX_FRAMES, StackRecord};

    fn record(addresses: &[u64]) -> StackRecord {
        let mut all = [7; MAX_FRAMES];
        all[..addresses.len()].copy_from_slice(addresses);
        StackRecord {
            frames: addresses.len() as u32,
            end: 0,
            addresses: all,
        }
    }

    fn of(addresses: &[u64]) -> u64 {
        stack(&record(addresses))
    }

    #[test]
    fn order_length_and_every_frame_count() {
        let base = of(&[1, 2, 3]);
        assert_eq!(base, of(&[1, 2, 3]));
        for other in [&[3, 2, 1][..], &[1, 2], &[1, 2, 3, 0], &[1, 2, 4], &[]] {
            assert_ne!(base, of(other), "{other:?}");
        }
    }

    #[test]
    fn frames_beyond_the_length_do_not_count() {
        let other = StackRecord {
            addresses: [5; MAX_FRAMES],
            ..record(&[])
        };
        assert_eq!(stack(&other), of(&[]));
    }

    #[test]
    fn how_a_stack_ends_counts() {
        let mut other = record(&[1, 2, 3]);
        other.end = 1;
        assert_ne!(stack(&other), of(&[1, 2, 3]));
    }

    #[test]
    fn a_hundred_thousand_similar_stacks_keep_apart() {
        extern crate std;
        let mut seen = std::collections::HashSet::new();
        for n in 0..100_000_u64 {
            let address = 0xffff_ffff_8100_0000 + n % 300 * 16;
            assert!(seen.insert(of(&[address, 0x40_1000 + n / 300 * 4, 0x40_0000])));
        }
    }
}
