//! Threads that have one name, and what their time was spent on.

use super::waits::Spent;

/// Threads of one name, but for its digits.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// What their names have in common.
    pub(super) name: String,
    /// Time by what it was spent on.
    pub(super) spent: [u64; Spent::COUNT],
    /// How many waits of each kind there were.
    pub(super) waits: [u64; Spent::COUNT],
    /// On the CPU, collecting garbage.
    pub(super) collects_ns: u64,
    /// On the CPU, compiling.
    pub(super) compiles_ns: u64,
    /// Times that it waited for events.
    pub(super) polls: u64,
    /// For how long it did.
    pub(super) polls_ns: u64,
}

impl Group {
    pub(super) const fn of(&self, spent: Spent) -> u64 {
        self.spent[spent as usize]
    }

    /// All of its time.
    pub(super) fn all_ns(&self) -> u64 {
        self.spent.iter().fold(0, |sum, ns| sum.saturating_add(*ns))
    }
}
