//! Making a table ends when its time is up.

use std::time::Instant;

use super::NoTable;

/// Entries or rows between two looks at the clock.
const PER_LOOK: u32 = 1024;

/// Looks at the clock now and then.
pub(super) struct Look {
    deadline: Instant,
    left: u32,
}

impl Look {
    pub(super) const fn new(deadline: Instant) -> Self {
        Self { deadline, left: 0 }
    }

    /// One entry or row more.
    pub(super) fn one(&mut self) -> Result<(), NoTable> {
        if self.left == 0 {
            self.left = PER_LOOK;
            if Instant::now() >= self.deadline {
                return Err(NoTable::TooSlow);
            }
        }
        self.left -= 1;
        Ok(())
    }
}
