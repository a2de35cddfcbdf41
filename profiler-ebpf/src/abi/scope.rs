//! Which cgroups are watched, and under which number.

/// Slot of processes that are in no container.
pub const SLOT_HOST: u32 = 0;
/// Slot of kernel threads.
pub const SLOT_KERNEL: u32 = 1;
/// First slot given to a cgroup.
pub const SLOT_FIRST: u32 = 2;
/// Slots that exist: 4,096 containers, their folders, and the two fixed ones.
pub const SLOTS: u32 = 16_384;

/// Value of the `SCOPE` map (key: cgroup id, the kernfs id, that is the inode number of its folder).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScopeEntry {
    /// Dense number of the container.
    pub slot: u32,
    /// Bits of [`flags`].
    pub flags: u32,
}

const _: () = assert!(size_of::<ScopeEntry>() == 8);

/// Bits of [`ScopeEntry::flags`].
pub mod flags {
    /// Samples of this slot are recorded.
    pub const RECORD: u32 = 1 << 0;
    /// A folder of containers: a cgroup born below it gets a slot of its own and is a folder itself
    /// until user space knows it; otherwise the newborn shares its parent's slot.
    pub const FOLDER: u32 = 1 << 1;
}
