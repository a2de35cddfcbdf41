//! Where things are in the workspace.

use std::path::{Path, PathBuf};

/// Root of the workspace.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// Cargo's target folder, which also holds everything that the tasks download or cache.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// Folder of the committed BPF object.
pub(crate) fn bpf() -> PathBuf {
    root().join("profiler/bpf")
}

/// Package of the kernel half.
pub(crate) fn kernel_half() -> PathBuf {
    root().join("profiler-ebpf")
}
