//! Go programs: functions, inlined calls, files and lines from `.gopclntab`, which the Go runtime needs itself, so
//! that even stripped binaries (`-ldflags='-s -w'`) have it.
//!
//! Sources: `runtime/symtab.go`, `runtime/symtabinl.go`, `internal/abi/symtab.go` of Go 1.18 to 1.26.

mod moduledata;
mod table;

pub(super) use table::GoTable;
