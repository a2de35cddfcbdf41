//! Recordings on disk: the directory that `ctprof record` writes, and in it the window itself, which everything that
//! looks at a recording later reads.
//!
//! - `directory`: whether a directory may be written, and files that are there whole or not at all
//! - `layout`: the window as `recording.ctprof` has it
//! - `write`: a window as bytes
//! - `read`, `decode`: the file, and the window in it
//! - `slices`: a row's slices, both ways
//!
//! The file is a [`MAGIC`], the version of the layout, the version of the ctprof that wrote it, and a zlib stream of
//! [`layout`]'s records in postcard's encoding: numbers as varints, no keys. It is small and quick to read, and a reader
//! knows one layout only: another [`VERSION`] is refused. What lasts for other programs are the other files.

mod decode;
pub mod directory;
mod layout;
mod read;
mod slices;
mod write;

pub use directory::RecordingDir;
pub use read::{decode, read};
pub use write::write;

/// How the file begins: the first byte is no text, the last one is changed by what changes line ends.
const MAGIC: [u8; 8] = *b"\x89ctprof\n";

/// Version of the layout: goes up with every change of [`layout`], and of the record of a view, but not with a
/// new view.
pub const VERSION: u32 = 3;

/// What a file may hold, so that a hostile one costs no more than a few hundred megabytes. A hundred times a busy host.
mod limits {
    /// Bytes of the file.
    pub(super) const FILE_BYTES: u64 = 128 << 20;
    /// Bytes of its records.
    pub(super) const RECORD_BYTES: u64 = 256 << 20;
    /// Distinct frames.
    pub(super) const FRAMES: usize = 1 << 20;
    /// Stacks of all rows.
    pub(super) const STACKS: usize = 2 << 20;
    /// Views that this ctprof has not and that are told by name.
    pub(super) const UNKNOWN_VIEWS: usize = 20;
    /// Slices of a window.
    pub(super) const SLICES: usize = 1 << 16;
    /// Stacks and items of all slices.
    pub(super) const SLICE_PARTS: usize = 16 << 20;
    /// Frames of all stacks.
    pub(super) const STACK_FRAMES: usize = 64 << 20;
    /// Sums of more than a hundred years are not time: they would overflow the sums of whoever adds them up.
    pub(super) const TOTAL_NS: u64 = 1 << 62;
}
