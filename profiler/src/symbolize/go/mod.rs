//! Go programs: functions, inlined calls, files and lines from `.gopclntab`, which the Go runtime needs itself, so
//! that even stripped binaries (`-ldflags='-s -w'`) have it; and how they use the stack.
//!
//! Sources: `runtime/symtab.go`, `runtime/symtabinl.go`, `internal/abi/symtab.go` of Go 1.18 to 1.26.

mod frames;
mod layout;
mod moduledata;
mod program;
mod table;

pub(crate) use frames::{GoFrame, GoFrames, Kind};
pub(super) use table::GoTable;
