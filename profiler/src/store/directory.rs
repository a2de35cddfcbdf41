//! The folder of a recording: whether it may be written, and files that are there whole or not at all.
//!
//! What can be wrong with the folder is found before the recording starts. The folder is held open from
//! then on, so that what was checked is what is written to, wherever its name points by then.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::model::units;
use crate::{Error, Result};

/// Every file that ctprof writes into a recording. `--force` touches no other.
pub const FILES: [&str; 13] = [
    SUMMARY,
    STORE,
    FOLDED,
    BURNT_QUOTA,
    CALLS,
    PPROF,
    "flamegraph.svg",
    "on-cpu.svg",
    "off-cpu.svg",
    "run-queue.svg",
    "throttled.svg",
    "syscalls.svg",
    "isolation.svg",
];

/// The recording itself, for ctprof.
pub const STORE: &str = "recording.ctprof";
/// Everything but the stacks.
pub const SUMMARY: &str = "summary.json";
/// Folded stacks.
pub const FOLDED: &str = "stacks.folded";
/// Folded stacks of what burnt a quota, where something did.
pub const BURNT_QUOTA: &str = "quota.folded";
/// Folded stacks of threads in system calls, by call, where any was.
pub const CALLS: &str = "syscalls.folded";
/// pprof.
pub const PPROF: &str = "profile.pb.gz";

/// A folder that a recording may be written to.
#[derive(Debug)]
pub struct RecordingDir {
    path: PathBuf,
    fd: OwnedFd,
    /// The folder is ours: without any file in it, it goes away again.
    created: bool,
}

impl RecordingDir {
    /// Opens or creates the folder. It must be new or empty, or with `force` an earlier recording.
    pub fn open(path: &Path, force: bool) -> Result<Self> {
        match std::fs::create_dir(path) {
            Ok(()) => Self::created(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let dir = Self::hold(path, false)?;
                dir.check_content(force)?;
                dir.check_writable()?;
                Ok(dir)
            }
            Err(error) => Err(cannot_create(path, &error)),
        }
    }

    /// Creates `ctprof-YYYYmmdd-HHMMSS` (UTC) in `parent`, with a number at the end where that is taken.
    pub fn create_default(parent: &Path, unix_seconds: u64) -> Result<Self> {
        let name = default_name(unix_seconds);
        let mut path = parent.join(&name);
        let mut number = 2;
        loop {
            match std::fs::create_dir(&path) {
                Ok(()) => return Self::created(&path),
                // Another ctprof's of this second, which may be recording still.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 1000 => {
                    path = parent.join(format!("{name}-{number}"));
                    number += 1;
                }
                Err(error) => return Err(cannot_create(&path, &error)),
            }
        }
    }

    fn created(path: &Path) -> Result<Self> {
        let dir = Self::hold(path, true)?;
        dir.check_writable()?;
        Ok(dir)
    }

    fn hold(path: &Path, created: bool) -> Result<Self> {
        let fd = rustix::fs::open(
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|error| match error {
            Errno::NOTDIR => Error::Failed(format!(
                "cannot write to {}: it is not a folder; choose another --output",
                path.display()
            )),
            error => Error::io("open folder", path, &error.into()),
        })?;
        Ok(Self {
            path: path.to_owned(),
            fd,
            created,
        })
    }

    /// The folder's path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn check_content(&self, force: bool) -> Result<()> {
        let entries =
            std::fs::read_dir(&self.path).map_err(|e| Error::io("read folder", &self.path, &e))?;
        if entries.take(1).count() == 0 {
            return Ok(());
        }
        match (self.is_recording(), force) {
            (true, true) => Ok(()),
            (true, false) => Err(Error::Failed(format!(
                "{} holds an earlier recording; add --force to replace it or choose another --output",
                self.path.display()
            ))),
            (false, _) => Err(Error::Failed(format!(
                "{} exists and is not a recording of ctprof; choose another --output",
                self.path.display()
            ))),
        }
    }

    /// Whether `summary.json` starts as ctprof writes it.
    fn is_recording(&self) -> bool {
        let Ok(fd) = rustix::fs::openat(
            &self.fd,
            SUMMARY,
            // A FIFO must not make us wait, nor a link lead elsewhere.
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        ) else {
            return false;
        };
        let file = File::from(fd);
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return false;
        }
        let mut start = String::new();
        file.take(100).read_to_string(&mut start).is_ok()
            && start.trim_start().starts_with('{')
            && start.contains("\"schema_version\"")
            && start.contains("\"ctprof_version\"")
    }

    /// Writes and removes a file: permissions, read-only file systems, quotas and full disks all have their
    /// say now, not after the recording.
    fn check_writable(&self) -> Result<()> {
        let mut file = self.create(SUMMARY)?;
        file.write_all(&[b' '; 4096])
            .and_then(|()| file.flush())
            .map_err(|error| self.write_error(SUMMARY, &error))
    }

    /// Starts a file under a temporary name. It has its name only after [`NewFile::publish`].
    pub(crate) fn create(&self, name: &'static str) -> Result<NewFile<'_>> {
        let temporary = format!(".{name}.{}.part", std::process::id());
        // A leftover of a process that was killed and had our id.
        let _ = rustix::fs::unlinkat(&self.fd, &temporary, AtFlags::empty());
        let fd = rustix::fs::openat(
            &self.fd,
            &temporary,
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::from_raw_mode(0o644),
        )
        .map_err(|error| self.write_error(name, &error.into()))?;
        Ok(NewFile {
            dir: self,
            name,
            temporary,
            out: BufWriter::with_capacity(256 << 10, File::from(fd)),
        })
    }

    /// Removes files of an earlier recording that this one has no like of.
    pub(crate) fn remove_all_but(&self, written: &[&str]) {
        for name in FILES.iter().filter(|name| !written.contains(name)) {
            // Not there: nothing to do. Anything else is no reason to lose the recording.
            let _ = rustix::fs::unlinkat(&self.fd, *name, AtFlags::empty());
        }
    }

    /// The error of a file that could not be written, with the space left where that is the reason.
    pub(crate) fn write_error(&self, name: &str, error: &std::io::Error) -> Error {
        let path = self.path.join(name);
        let full = [Errno::NOSPC, Errno::DQUOT]
            .iter()
            .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
        if !full {
            return Error::io("write", &path, error);
        }
        let free = rustix::fs::fstatvfs(&self.fd)
            .map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        Error::Failed(format!(
            "cannot write {}: {error}, {} free there; make room or choose another --output",
            path.display(),
            units::bytes(free)
        ))
    }
}

impl Drop for RecordingDir {
    fn drop(&mut self) {
        if self.created {
            // Fails on a folder that is not empty, as it should.
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

/// A file on its way. Dropped before [`publish`](Self::publish), it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile<'a> {
    dir: &'a RecordingDir,
    name: &'static str,
    temporary: String,
    out: BufWriter<File>,
}

impl NewFile<'_> {
    /// The file's final name.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// Gives the complete file its name. Returns its size in bytes.
    pub(crate) fn publish(mut self) -> Result<u64> {
        let finish = || -> std::io::Result<u64> {
            let dir = &self.dir.fd;
            let size = self.out.get_ref().metadata()?.len();
            rustix::fs::renameat(dir, &self.temporary, dir, self.name)?;
            Ok(size)
        };
        let size = finish().map_err(|error| self.dir.write_error(self.name, &error))?;
        // Nothing left to remove.
        self.temporary.clear();
        Ok(size)
    }
}

impl Write for NewFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.temporary.is_empty() {
            let _ = rustix::fs::unlinkat(&self.dir.fd, &self.temporary, AtFlags::empty());
        }
    }
}

fn cannot_create(path: &Path, error: &std::io::Error) -> Error {
    if error.kind() == ErrorKind::NotFound {
        return Error::Failed(format!(
            "cannot create {}: the folder above it does not exist; create it or choose another --output",
            path.display()
        ));
    }
    Error::io("create folder", path, error)
}

/// `ctprof-20260131-235959`, in UTC: it sorts by time, also across a change of the clock.
fn default_name(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil_date(days);
    format!(
        "ctprof-{year:04}{month:02}{day:02}-{:02}{:02}{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
fn civil_date(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    // 146,097 days are 400 years.
    let mut year = 1970 + 400 * (days / 146_097);
    days %= 146_097;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::default_name;

    #[test]
    fn default_names_are_utc_times() {
        // `date -u -d @N +ctprof-%Y%m%d-%H%M%S`
        assert_eq!(default_name(0), "ctprof-19700101-000000");
        assert_eq!(default_name(951_782_399), "ctprof-20000228-235959");
        assert_eq!(default_name(951_868_799), "ctprof-20000229-235959");
        assert_eq!(default_name(1_767_225_599), "ctprof-20251231-235959");
        assert_eq!(default_name(4_107_542_400), "ctprof-21000301-000000");
    }
}
