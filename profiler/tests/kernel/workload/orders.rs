//! Units of work in functions of known cost, one of which can be made slower.

use std::hint::black_box;
use std::io::Result;
use std::time::Instant;

use super::Options;

/// Multiplications in the smallest part of an order, some tens of microseconds.
const PART: u64 = 10_000;

/// Works off orders on one thread for `--ms`: a fifth of the time is [`parse_order`]'s, two fifths each are [`price_order`]'s
/// and [`book_order`]'s, unless `--slower` makes the first take so many percent more. Each order ends with a call of
/// `getppid`. Prints how many there were.
pub(super) fn orders(options: &Options) -> Result<()> {
    let end = Instant::now() + options.duration();
    let parse = PART * (100 + options.number("--slower", 0)) / 100;
    let mut orders = 0;
    while Instant::now() < end {
        black_box(parse_order(parse));
        black_box(price_order(2 * PART));
        black_box(book_order(2 * PART));
        // SAFETY: the call takes no pointer.
        unsafe { libc::syscall(libc::SYS_getppid) };
        orders += 1;
    }
    println!("orders {orders}");
    Ok(())
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn parse_order(multiplications: u64) -> u64 {
    multiply(multiplications, 3)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn price_order(multiplications: u64) -> u64 {
    multiply(multiplications, 5)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn book_order(multiplications: u64) -> u64 {
    multiply(multiplications, 7)
}

/// Inlined, or the three would be one: each begins with a number of its own, or the linker would make one of them.
#[inline(always)]
fn multiply(times: u64, mut number: u64) -> u64 {
    for _ in 0..times {
        number = black_box(
            number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        );
    }
    number
}
