//! Which system call a thread is in, by number: what tells why it sleeps.

/// By which numbers a call was made.
pub mod abi {
    /// The machine's own.
    pub const NATIVE: u32 = 0;
    /// Those of its 32-bit predecessor: i386, arm.
    pub const COMPAT: u32 = 1;
    /// x32: 64-bit calls with 32-bit pointers.
    pub const X32: u32 = 2;
}

/// Numbers from this one on are counted as this one.
pub const LAST_NUMBER: u32 = 0xffff;

/// `__X32_SYSCALL_BIT` in x86's `unistd.h`.
pub const X32_BIT: u32 = 0x4000_0000;

/// By which numbers a 64-bit program makes the call of this number, and the number that it has there.
#[inline(always)]
#[must_use]
pub const fn numbered(number: u32) -> (u32, u32) {
    if number & X32_BIT != 0 && number != u32::MAX {
        (abi::X32, number & !X32_BIT)
    } else {
        (abi::NATIVE, number)
    }
}

/// A call in one word that is not 0.
#[inline(always)]
#[must_use]
pub const fn code_of(number: u32, abi: u32) -> u32 {
    let number = if number < LAST_NUMBER {
        number
    } else {
        LAST_NUMBER
    };
    1 + ((abi & 3) << 16 | number)
}

/// Number and [`abi`] of the call with this [code](code_of); `None` for 0.
#[inline(always)]
#[must_use]
pub const fn of_code(code: u32) -> Option<(u32, u32)> {
    match code {
        0 => None,
        code => Some(((code - 1) & 0xffff, (code - 1) >> 16 & 3)),
    }
}

#[cfg(test)]
mod tests {
    use super::{LAST_NUMBER, X32_BIT, abi, code_of, numbered, of_code};

    #[test]
    fn a_call_in_one_word_comes_back() {
        for (number, by) in [(0, abi::NATIVE), (64, abi::COMPAT), (LAST_NUMBER, abi::X32)] {
            assert_eq!(of_code(code_of(number, by)), Some((number, by)));
        }
        assert_eq!(of_code(0), None);
        assert_eq!(of_code(code_of(1 << 20, 0)), Some((LAST_NUMBER, 0)));
        assert_eq!(numbered(X32_BIT | 513), (abi::X32, 513));
        assert_eq!(numbered(39), (abi::NATIVE, 39));
        assert_eq!(numbered(u32::MAX), (abi::NATIVE, u32::MAX));
    }
}
