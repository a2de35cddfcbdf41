//! Programs of other people that tests run: the system's own, or what `cargo xtask setup` unpacked into `target/tools`
//! because installing its package would start a service.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where systems have programs; not all of it is in everyone's `PATH`.
const SYSTEM: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin"];

/// The root of what has been unpacked, laid out as in an installed system: `tools/unpacked` in the target directory,
/// in which this very program is.
pub(crate) fn root() -> Option<PathBuf> {
    let this = std::env::current_exe().ok()?;
    this.ancestors()
        .map(|dir| dir.join("tools/unpacked"))
        .find(|dir| dir.is_dir())
}

/// The program of this name. A script is none: what many call `python3` only looks for another one.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let system = SYSTEM.iter().map(PathBuf::from);
    let unpacked = root()
        .into_iter()
        .flat_map(|root| [root.join("usr/bin"), root.join("usr/sbin")]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    system
        .chain(unpacked)
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join(name))
        .find(|file| is_elf(file))
}

/// Why a trial with these programs is skipped, if one of them is missing.
pub(crate) fn missing(names: &[&str]) -> Option<String> {
    let name = names.iter().find(|name| find(name).is_none())?;
    Some(format!("needs {name}; see `cargo xtask setup`"))
}

/// `LD_LIBRARY_PATH` for a program that was unpacked.
pub(crate) fn library_path() -> OsString {
    let multiarch = format!("{}-linux-gnu", std::env::consts::ARCH);
    let dirs = root()
        .into_iter()
        .flat_map(|root| ["usr/lib", "lib"].map(|dir| root.join(dir).join(&multiarch)));
    std::env::join_paths(dirs).unwrap_or_default()
}

/// Where a file lies in an installed system: below [`root`] as if that were `/`.
pub(crate) fn installed(file: &Path) -> PathBuf {
    let below = root().and_then(|root| Some(Path::new("/").join(file.strip_prefix(root).ok()?)));
    below.unwrap_or_else(|| file.to_path_buf())
}

fn is_elf(file: &Path) -> bool {
    let mut magic = [0; 4];
    std::fs::File::open(file)
        .is_ok_and(|mut file| file.read_exact(&mut magic).is_ok() && magic == *b"\x7fELF")
}
