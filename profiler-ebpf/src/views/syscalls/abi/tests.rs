//! Keys of rows, and results.

use super::{CallKey, error_of, kind};
use crate::abi::syscall::{LAST_NUMBER, abi};
use crate::histogram::BUCKETS;

#[test]
fn every_part_of_a_key_keeps_to_itself() {
    let extremes = [
        (0, 0, abi::NATIVE, false, kind::RETURNED, 0, 0),
        (
            16_383,
            LAST_NUMBER,
            abi::X32,
            true,
            kind::THROUGHOUT,
            4095,
            BUCKETS - 1,
        ),
        (16_383, 0, abi::COMPAT, false, kind::NEVER, 0, 0),
        (0, 999, abi::NATIVE, true, kind::REFUSED, 1, 0),
        (3, 39, abi::NATIVE, false, kind::RETURNED, 4, 17),
    ];
    for (slot, number, abi, confined, kind, error, bucket) in extremes {
        let key = CallKey::of(slot, number, abi, confined)
            .with_kind(kind)
            .with_error(error)
            .with_bucket(bucket);
        assert!(key.is_call());
        assert_eq!(
            (key.slot(), key.number(), key.abi(), key.is_confined()),
            (slot, number, abi, confined)
        );
        assert_eq!(
            (key.kind(), key.error(), key.bucket()),
            (kind, error, bucket)
        );
        assert!(key.place() < super::CACHE);
    }
}

#[test]
fn numbers_beyond_the_last_are_one() {
    assert_eq!(CallKey::of(3, u32::MAX, 0, false).number(), LAST_NUMBER);
    assert_eq!(CallKey::of(3, LAST_NUMBER, 0, false).number(), LAST_NUMBER);
    assert_eq!(CallKey::of(3, 999, 0, false).number(), 999);
}

#[test]
fn states_of_a_thread_are_no_calls() {
    for state in [CallKey::UNKNOWN, CallKey::BORN, CallKey::NONE] {
        assert!(!state.is_call());
    }
}

#[test]
fn only_the_last_4095_results_are_errors() {
    assert_eq!(error_of(-1), 1);
    assert_eq!(error_of(-4095), 4095);
    assert_eq!(error_of(-4096), 0);
    assert_eq!(error_of(0), 0);
    assert_eq!(error_of(i64::MIN), 0);
    assert_eq!(error_of(7), 0);
}
