//! The BPF object's manifest: what the object was built from, and with what.
//!
//! Included by `build.rs` (which refuses a stale object) and by `cargo xtask ebpf` (which writes it), so that
//! both hash the sources the same way.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// File name of the object, in the folder of this file.
pub(crate) const OBJECT: &str = "ctprof.bpf.o";
/// File name of the manifest, in the folder of this file.
pub(crate) const MANIFEST: &str = "ctprof.bpf.json";

/// Content of [`MANIFEST`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Manifest {
    /// [`source_hash`] of the sources that the object was built from.
    pub(crate) sources_sha256: String,
    /// [`sha256`] of the object.
    pub(crate) object_sha256: String,
    /// What built it: equal fingerprints must give equal bytes.
    pub(crate) toolchain: Fingerprint,
}

/// Everything beside the sources that decides the bytes of the object.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Fingerprint {
    /// Output of `rustc -vV`.
    pub(crate) rustc: String,
    /// Version of bpf-linker, and the LLVM library it loads where it is linked dynamically.
    pub(crate) bpf_linker: String,
    /// Compiler flags and profile settings, without paths.
    pub(crate) flags: Vec<String>,
    /// Name and version of every crate in the object.
    pub(crate) crates: Vec<String>,
}

/// Lowercase hexadecimal SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

/// SHA-256 over `Cargo.toml` and every `src/**/*.rs` of the package in `package`, in the order of their
/// relative paths; each file counts with its path, its length and its bytes.
///
/// # Errors
/// When a file or folder cannot be read.
pub(crate) fn source_hash(package: &Path) -> io::Result<String> {
    let mut files = vec![PathBuf::from("Cargo.toml")];
    rust_files(package, Path::new("src"), &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let bytes = fs::read(package.join(&file))?;
        let name = file.to_string_lossy();
        hash.update(format!("{name}\0{}\0", bytes.len()));
        hash.update(bytes);
    }
    Ok(hex(hash.finalize().as_slice()))
}

fn rust_files(package: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(package.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            rust_files(package, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
