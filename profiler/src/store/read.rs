//! A recording's file: whether it is there, is one of ours, and of the layout that this version reads. It may come from
//! anywhere: missing, broken, huge, or no file at all.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flate2::bufread::ZlibDecoder;

use super::decode::{Problem, broken, window};
use super::directory::{STORE, SUMMARY};
use super::{MAGIC, VERSION, limits};
use crate::model::text::printable;
use crate::model::{Window, units};
use crate::{Error, Result};

/// The window of the recording in this directory.
///
/// # Errors
/// There is no recording, or one of another layout; it is broken, or larger than any recording. All in one line.
pub fn read(dir: &Path) -> Result<Window> {
    let path = dir.join(STORE);
    if !dir.is_dir() {
        return Err(Error::NotFound(format!(
            "no recording at {}: it is not a folder; give the folder that ctprof record wrote",
            dir.display()
        )));
    }
    if path.symlink_metadata().is_err() {
        if dir.join(SUMMARY).symlink_metadata().is_ok() {
            return Err(Error::Failed(format!(
                "cannot read {}: it is not there, because an earlier ctprof recorded this or there was no room for it; \
                 the other files are still good, but record again for ctprof report",
                path.display()
            )));
        }
        return Err(Error::NotFound(format!(
            "no recording at {}: it has no {STORE}; give the folder that ctprof record wrote",
            dir.display()
        )));
    }
    let mut bytes = Vec::new();
    open(&path)?
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io("read", &path, &error))?;
    decode(&bytes)
        .map_err(|problem| Error::Failed(format!("cannot read {}: {problem}", path.display())))
}

/// Opens a regular file of a size that a recording may have.
fn open(path: &Path) -> Result<std::io::Take<File>> {
    let file = File::options()
        .read(true)
        // A FIFO must not make us wait for its writer.
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| Error::io("read", path, &error))?;
    let meta = file
        .metadata()
        .map_err(|error| Error::io("read", path, &error))?;
    if !meta.is_file() {
        return Err(Error::Failed(format!(
            "cannot read {}: not a regular file",
            path.display()
        )));
    }
    if meta.len() > limits::FILE_BYTES {
        return Err(Error::Failed(format!(
            "cannot read {}: it has {}, and no recording has more than {}",
            path.display(),
            units::bytes(meta.len()),
            units::bytes(limits::FILE_BYTES)
        )));
    }
    Ok(file.take(limits::FILE_BYTES))
}

/// The window in these bytes, and nothing that they say is taken for granted: what it holds is clean, its numbers refer
/// to what is there, and its sums do not overflow.
///
/// # Errors
/// What is wrong with them, in words.
pub fn decode(bytes: &[u8]) -> std::result::Result<Window, Problem> {
    let rest = bytes
        .strip_prefix(&MAGIC)
        .ok_or("it is not a recording of ctprof")?;
    let (version, rest) = rest.split_first_chunk().ok_or_else(broken)?;
    let (length, rest) = rest.split_first().ok_or_else(broken)?;
    let (writer, rest) = rest
        .split_at_checked(usize::from(*length))
        .ok_or_else(broken)?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        let writer = printable(&String::from_utf8_lossy(writer), 40);
        return Err(format!(
            "ctprof {writer} wrote it with layout {version}, and this ctprof {} reads layout {VERSION}; use ctprof {writer}",
            env!("CARGO_PKG_VERSION"),
        ));
    }
    let mut records = Vec::new();
    let mut decoder = ZlibDecoder::new(rest);
    (&mut decoder)
        .take(limits::RECORD_BYTES + 1)
        .read_to_end(&mut records)
        .map_err(|_| broken())?;
    if records.len() as u64 > limits::RECORD_BYTES {
        return Err("it holds more than any recording".to_owned());
    }
    if !decoder.into_inner().is_empty() {
        return Err(broken());
    }
    window(&records)
}
