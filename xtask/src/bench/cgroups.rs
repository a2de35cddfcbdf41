//! Many cgroups, for as long as a measurement takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::demo::cgroup::mounts;

const NAME: &str = "ctprof-bench";

/// Cgroups numbered from 0 below one of their own. Dropping it removes them: until then Ctrl-C ends nothing here but
/// makes [`Cgroups::check`] fail.
pub(super) struct Cgroups {
    folder: PathBuf,
    interrupted: Arc<AtomicBool>,
    signals: Vec<SigId>,
}

impl Cgroups {
    /// Creates so many; those that an earlier run left are removed first.
    pub(super) fn create(count: usize) -> Result<Self> {
        let mounts = mounts()?;
        let mount = mounts.first().context("no cgroup hierarchy")?;
        let folder = mount.join(NAME);
        remove(&folder);
        let interrupted = Arc::new(AtomicBool::new(false));
        let signals = [SIGINT, SIGTERM]
            .into_iter()
            .map(|signal| signal_hook::flag::register(signal, Arc::clone(&interrupted)))
            .collect::<std::io::Result<_>>()?;
        let cgroups = Self {
            folder,
            interrupted,
            signals,
        };
        make(&cgroups.folder)?;
        for number in 0..count {
            let child = numbered(&cgroups.folder, number);
            make(&child)?;
            // Threads of one process can be in several cgroups of v2 if these are for threads only.
            let kind = child.join("cgroup.type");
            if kind.exists() {
                fs::write(&kind, "threaded")
                    .with_context(|| format!("cannot write {}", kind.display()))?;
            }
            cgroups.check()?;
        }
        Ok(cgroups)
    }

    /// The cgroup that they are in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Fails after Ctrl-C.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(!self.interrupted.load(Ordering::Relaxed), "interrupted");
        Ok(())
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        remove(&self.folder);
        for signal in self.signals.drain(..) {
            signal_hook::low_level::unregister(signal);
        }
    }
}

/// Moves this process to the cgroup that holds the others, where threads can leave it from one by one.
pub(super) fn enter(folder: &Path) -> Result<()> {
    let file = folder.join("cgroup.procs");
    fs::write(&file, std::process::id().to_string())
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Moves the calling thread to the cgroup of this number.
pub(super) fn enter_with_thread(folder: &Path, number: usize) -> Result<()> {
    let cgroup = numbered(folder, number);
    let of_v2 = cgroup.join("cgroup.threads");
    let file = if of_v2.exists() {
        of_v2
    } else {
        cgroup.join("tasks")
    };
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    fs::write(&file, thread).with_context(|| format!("cannot write {}", file.display()))
}

/// Names of one length, whatever the number: longer ones would make answers that show them grow faster than they do.
fn numbered(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number:04}"))
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir(folder).with_context(|| format!("cannot create the cgroup {}", folder.display()))
}

fn remove(folder: &Path) {
    let children = fs::read_dir(folder).into_iter().flatten().flatten();
    for child in children.filter(|it| it.file_type().is_ok_and(|it| it.is_dir())) {
        remove_one(&child.path());
    }
    if folder.exists() {
        remove_one(folder);
    }
}

/// The last thread of a process that has ended may take a moment to be gone.
fn remove_one(folder: &Path) {
    for _ in 0..100 {
        if fs::remove_dir(folder).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    eprintln!("cannot remove the cgroup {}", folder.display());
}
