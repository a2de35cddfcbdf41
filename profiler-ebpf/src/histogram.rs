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

/// Position of the highest set bit. BPF has no instruction for it. Three comparisons and a table: with six comparisons,
/// which are as fast, the verifier follows 64 ways through all that comes after instead of 8.
#[inline(always)]
const fn top_bit(mut value: u64) -> u32 {
    let mut bit = 0;
    if value >= 1 << 32 {
        value >>= 32;
        bit += 32;
    }
    if value >= 1 << 16 {
        value >>= 16;
        bit += 16;
    }
    if value >= 1 << 8 {
        value >>= 8;
        bit += 8;
    }
    bit + TOP_BITS[(value & 0xff) as usize] as u32
}

/// Position of the highest set bit of a byte; 0 for 0.
static TOP_BITS: [u8; 256] = {
    let mut bits = [0; 256];
    let mut byte = 2;
    while byte < 256 {
        bits[byte] = bits[byte / 2] + 1;
        byte += 1;
    }
    bits
};

#[cfg(test)]
mod tests {
    use super::{BUCKETS, FIRST_NS, bounds, bucket};

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
