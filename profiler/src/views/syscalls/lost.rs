//! What of it can be lost.

use crate::model::{Loss, ViewLoss};

/// The map of system calls was full: calls are missing.
pub const MAP_FULL: Loss = Loss::OfView(&ViewLoss {
    name: "call_map_full",
    meaning: None,
});

/// The ring buffer was full, or there were too many in a second: a slow call is not shown.
pub const SLOW_DROPPED: Loss = Loss::OfView(&ViewLoss {
    name: "slow_call_dropped",
    meaning: None,
});

/// What a slow call's file descriptor is was not found out in time: the line has its number alone.
pub const DESCRIPTOR_LATE: Loss = Loss::OfView(&ViewLoss {
    name: "descriptor_late",
    meaning: Some([
        "slow call has the number of a file descriptor, and what it is was not found out in time",
        "slow calls have the numbers of file descriptors, and what these are was not found out in time",
    ]),
});

/// A slow call's process or its files could not be read in time: functions of its stack have no names.
pub const STACK_LATE: Loss = Loss::OfView(&ViewLoss {
    name: "stack_late",
    meaning: Some([
        "slow call has functions without names, because its process could not be read in time",
        "slow calls have functions without names, because their processes could not be read in time",
    ]),
});

pub(super) const ALL: &[Loss] = &[MAP_FULL, SLOW_DROPPED, DESCRIPTOR_LATE, STACK_LATE];
