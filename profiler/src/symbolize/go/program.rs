//! The little programs of a `.gopclntab`: pairs of (value change, address change), each a number of variable length.

/// A program that is being run.
pub(super) struct Program<'a> {
    bytes: &'a [u8],
    at: usize,
    value: i32,
    /// Whether a pair has been read.
    is_begun: bool,
}

/// What holds for some code.
pub(super) struct Step {
    pub(super) value: i32,
    /// Length of the code, in smallest instructions.
    pub(super) length: u32,
}

impl<'a> Program<'a> {
    /// The one at `at` of all programs.
    pub(super) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            value: -1,
            is_begun: false,
        }
    }

    fn number(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

impl Iterator for Program<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let change = self.number()?;
        if change == 0 && std::mem::replace(&mut self.is_begun, true) {
            return None;
        }
        self.is_begun = true;
        // Zigzag: the lowest bit is the sign.
        let signed = (change >> 1).cast_signed() ^ -(change & 1).cast_signed();
        self.value = self.value.wrapping_add(signed);
        Some(Step {
            value: self.value,
            length: self.number()?,
        })
    }
}
