//! What stacks of waits took of the CPUs, and what was done so that it was no more.

use serde::Serialize;

/// Sums over all CPUs and the window. What one wait costs is nearly the same whatever it is; how many there are is the load's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StackPrice {
    /// CPU time that taking stacks of waits took, in ns: to read them, and to store them.
    pub cpu_ns: u64,
    /// Waits whose stacks were taken.
    pub taken: u64,
    /// Waits that have the stacks of their thread's last wait with the same registers in the same call.
    pub reused: u64,
    /// Of `taken`: waits that could have been reused, to see whether their stacks are the same.
    pub checked: u64,
    /// Of `checked`: those whose stacks were others.
    pub differed: u64,
    /// Waits without stacks, because taking them would have been beyond the limit: those of others stand for them.
    pub skipped: u64,
    /// Tenths of a second of a CPU in which waits were skipped.
    pub limited_tenths: u64,
    /// At least one wait in so many had its stacks taken, of those that could not be reused; 1 where none was skipped.
    pub one_in: u64,
}
