//! Why stacks end before the function in which their thread began.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

/// A cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Unwound by frame pointers alone, as was asked for or because the thread is not of a kind that tables are for, and code
    /// on the way keeps none.
    FramePointers = 0,
    /// The process, or a file in it, had no unwind table yet: unwound by frame pointers.
    NoTableYet = 1,
    /// A page of the stack was not in memory.
    NotResident = 2,
    /// The frame description of a function has a rule that tables cannot hold.
    UnknownRule = 3,
    /// Deeper than 512 frames; without tables, than 127.
    TooDeep = 4,
    /// Code without a frame description that keeps no frame pointer either: mostly a JIT compiler's.
    NoFramePointer = 5,
    /// The stack is not what its functions' frame descriptions say.
    Broken = 6,
}

impl Cut {
    /// How many causes there are.
    pub const COUNT: usize = 7;

    /// Every cause, in order of its number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::FramePointers,
        Self::NoTableYet,
        Self::NotResident,
        Self::UnknownRule,
        Self::TooDeep,
        Self::NoFramePointer,
        Self::Broken,
    ];

    /// Name in machine-readable output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FramePointers => "frame_pointers",
            Self::NoTableYet => "no_table_yet",
            Self::NotResident => "not_resident",
            Self::UnknownRule => "unknown_rule",
            Self::TooDeep => "too_deep",
            Self::NoFramePointer => "no_frame_pointer",
            Self::Broken => "broken",
        }
    }

    /// For people: the cause and what can be done about it.
    #[must_use]
    pub const fn explain(self) -> &'static str {
        match self {
            Self::FramePointers => "code without frame pointers",
            Self::NoTableYet => {
                "taken before its unwind table was made; a longer recording has fewer"
            }
            Self::NotResident => "a page of the stack was not in memory",
            Self::UnknownRule => "a frame description that ctprof cannot follow",
            Self::TooDeep => "deeper than 512 frames, or 127 by frame pointers",
            Self::NoFramePointer => {
                "code without frame pointers that nothing describes, as JIT compilers make (java -XX:+PreserveFramePointer keeps them), or too much of it in a file"
            }
            Self::Broken => "the stack is not as its code describes it",
        }
    }
}

/// Samples whose stacks are cut, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cuts(pub [u64; Cut::COUNT]);

impl Cuts {
    /// Counts so many more.
    pub const fn add(&mut self, cut: Cut, count: u64) {
        self.0[cut as usize] = self.0[cut as usize].saturating_add(count);
    }

    /// Causes that occurred, the most frequent first.
    #[must_use]
    pub fn sorted(&self) -> Vec<(Cut, u64)> {
        let all = Cut::ALL.iter().map(|cut| (*cut, self.0[*cut as usize]));
        let mut all: Vec<(Cut, u64)> = all.filter(|(_, count)| *count > 0).collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all
    }
}

impl Serialize for Cuts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Cut::COUNT))?;
        for cut in Cut::ALL {
            map.serialize_entry(cut.name(), &self.0[cut as usize])?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::{Cut, Cuts};

    #[test]
    fn causes_are_in_order_and_have_their_places() {
        for (number, cut) in Cut::ALL.iter().enumerate() {
            assert_eq!(*cut as usize, number);
        }
        let mut cuts = Cuts::default();
        cuts.add(Cut::TooDeep, 1);
        cuts.add(Cut::Broken, 2);
        cuts.add(Cut::TooDeep, 5);
        assert_eq!(cuts.sorted(), [(Cut::TooDeep, 6), (Cut::Broken, 2)]);
    }
}
