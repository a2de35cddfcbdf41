//! Log-linear buckets of durations: four to an octave, so that the middle of a bucket is within 12.5 % of every
//! value in it. Pure: the kernel half counts with it, the user half reads with it.

/// Buckets of one histogram.
pub const BUCKETS: usize = 128;

/// Values below this many ns share the first bucket.
pub const FIRST_NS: u64 = 1 << FIRST_BIT;

const FIRST_BIT: u32 = 7;
/// log2 of the buckets of an octave.
const SUB_BITS: u32 = 2;

/// The bucket of a value. The last takes everything from 3 x 2^37 ns (6.9 minutes) on.
#[inline(always)]
#[must_use]
pub const fn bucket(ns: u64) -> usize {
    if ns < FIRST_NS {
        return 0;
    }
    let octave = top_bit(ns);
    let sub = (ns >> (octave - SUB_BITS)) as usize & ((1 << SUB_BITS) - 1);
    let index = 1 + (((octave - FIRST_BIT) as usize) << SUB_BITS) + sub;
    if index < BUCKETS { index } else { BUCKETS - 1 }
}

/// Smallest value of a bucket, and smallest value beyond it.
#[must_use]
pub const fn bounds(bucket: usize) -> (u64, u64) {
    (
        lower(bucket),
        if bucket + 1 < BUCKETS {
            lower(bucket + 1)
        } else {
            u64::MAX
        },
    )
}

const fn lower(bucket: usize) -> u64 {
    if bucket == 0 {
        return 0;
    }
    let octave = FIRST_BIT + ((bucket - 1) >> SUB_BITS) as u32;
    let sub = ((bucket - 1) & ((1 << SUB_BITS) - 1)) as u64;
    ((1 << SUB_BITS) | sub) << (octave - SUB_BITS)
}

/// Position of the highest set bit; of no interest for 0. BPF has no instruction for it, and comparisons would have the
/// verifier follow every combination of them through all that comes after: so the bits below are set, and a
/// multiplication with a de Bruijn sequence brings what differs into the upper six bits.
#[inline(always)]
const fn top_bit(mut value: u64) -> u32 {
    value |= value >> 1;
    value |= value >> 2;
    value |= value >> 4;
    value |= value >> 8;
    value |= value >> 16;
    value |= value >> 32;
    TOP_BITS[(value.wrapping_mul(DE_BRUIJN) >> 58) as usize] as u32
}

/// Its 64 windows of six bits are 64 numbers.
const DE_BRUIJN: u64 = 0x03f7_9d71_b4cb_0a89;

/// Position of the highest set bit, by the upper six bits of the product of [`DE_BRUIJN`] and a number of that many
/// ones.
static TOP_BITS: [u8; 64] = {
    let mut bits = [0; 64];
    let mut bit = 0;
    while bit < 64 {
        let ones = u64::MAX >> (63 - bit);
        bits[(ones.wrapping_mul(DE_BRUIJN) >> 58) as usize] = bit as u8;
        bit += 1;
    }
    bits
};

#[cfg(test)]
mod tests {
    use super::{BUCKETS, FIRST_NS, bounds, bucket, top_bit};

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for index in 0..BUCKETS {
            let (from, to) = bounds(index);
            assert_eq!(bucket(from), index);
            assert_eq!(bucket(to - 1), index);
            if index + 1 < BUCKETS {
                assert_eq!(bounds(index + 1).0, to);
            }
        }
        assert_eq!(bounds(0).0, 0);
        assert_eq!(bounds(BUCKETS - 1), (6 << 36, u64::MAX));
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn every_bit_is_found() {
        for bit in 0..64 {
            assert_eq!(top_bit(1 << bit), bit);
            assert_eq!(top_bit(u64::MAX >> (63 - bit)), bit);
        }
    }

    #[test]
    fn the_middle_of_a_bucket_is_within_an_eighth_of_its_values() {
        for index in 1..BUCKETS - 1 {
            let (from, to) = bounds(index);
            let middle = from + (to - from) / 2;
            assert!((middle - from) * 8 <= from, "{from}..{to}");
            assert!((to - middle) * 8 <= to, "{from}..{to}");
        }
        assert!(bounds(0).1 == FIRST_NS);
    }
}
