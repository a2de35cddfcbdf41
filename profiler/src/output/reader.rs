//! Reads a recording back. The folder may come from anywhere: its files may be missing, broken, huge, or
//! not files at all.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::directory::{BURNT_QUOTA, CALLS, FOLDED, SUMMARY};
use super::stacks::Stacks;
use super::summary::{SCHEMA_VERSION, Summary};
use super::{View, folded, names, units};
use crate::{Error, Result};

/// Holds 4,096 containers with every key many times over.
const MAX_SUMMARY_BYTES: u64 = 256 << 20;

/// A hundred times the stacks of a busy host.
const MAX_FOLDED_BYTES: u64 = 4 << 30;

/// The recording in this folder. Without its stacks, if there was no room to write them, it has none.
pub fn read(dir: &Path) -> Result<View> {
    let summary = read_summary(dir)?;
    Ok(View {
        stacks: read_folded(&dir.join(FOLDED), &summary)?,
        burnt_quota: read_folded(&dir.join(BURNT_QUOTA), &summary)?,
        calls: read_folded(&dir.join(CALLS), &summary)?,
        summary,
    })
}

fn read_folded(path: &Path, summary: &Summary) -> Result<Stacks> {
    if path
        .symlink_metadata()
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    {
        return Ok(Stacks::default());
    }
    let file = open(path, MAX_FOLDED_BYTES)?;
    folded::read(BufReader::with_capacity(256 << 10, file), summary)
        .map_err(|error| Error::Failed(format!("cannot read {}: {error}", path.display())))
}

fn read_summary(dir: &Path) -> Result<Summary> {
    let path = dir.join(SUMMARY);
    if !dir.is_dir() {
        return Err(Error::NotFound(format!(
            "no recording at {}: it is not a folder; give the folder that ctprof record wrote",
            dir.display()
        )));
    }
    if path.symlink_metadata().is_err() {
        return Err(Error::NotFound(format!(
            "no recording at {}: it has no {SUMMARY}; give the folder that ctprof record wrote",
            dir.display()
        )));
    }
    let mut text = String::new();
    open(&path, MAX_SUMMARY_BYTES)?
        .read_to_string(&mut text)
        .map_err(|error| Error::io("read", &path, &error))?;
    parse(&text)
        .map_err(|problem| Error::Failed(format!("cannot read {}: {problem}", path.display())))
}

fn parse(text: &str) -> std::result::Result<Summary, String> {
    /// The one key that every version has.
    #[derive(serde::Deserialize)]
    struct Version {
        schema_version: u64,
        #[serde(default)]
        ctprof_version: String,
    }
    let version: Version = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if version.schema_version > SCHEMA_VERSION {
        return Err(format!(
            "it has schema version {} (ctprof {}) and this ctprof {} reads up to {SCHEMA_VERSION}; \
             use a newer ctprof",
            version.schema_version,
            crate::model::text::printable(&version.ctprof_version, 40),
            env!("CARGO_PKG_VERSION"),
        ));
    }
    let mut summary: Summary = serde_json::from_str(text).map_err(|error| error.to_string())?;
    for container in &mut summary.containers {
        // Ours are clean. Another's must not reach the terminal as they are.
        container.label = names::field_read_back(&container.label);
        for delay in container.delayed_by.iter_mut().flatten() {
            delay.name = names::field_read_back(&delay.name);
        }
        for syscall in &mut container.blocking_syscalls {
            syscall.name = names::field_read_back(&syscall.name);
        }
        for syscall in container.syscalls.iter_mut().flatten() {
            syscall.name = names::field_read_back(&syscall.name);
            syscall.abi = names::field_read_back(&syscall.abi);
            let errors = std::mem::take(&mut syscall.errors).into_iter();
            syscall.errors = errors
                .map(|(name, count)| (names::field_read_back(&name), count))
                .collect();
        }
    }
    Ok(summary)
}

/// Opens a regular file of at most `limit` bytes.
fn open(path: &Path, limit: u64) -> Result<std::io::Take<File>> {
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
    if meta.len() > limit {
        return Err(Error::Failed(format!(
            "cannot read {}: it has {}, and no recording has more than {}",
            path.display(),
            units::bytes(meta.len()),
            units::bytes(limit)
        )));
    }
    Ok(file.take(limit))
}
