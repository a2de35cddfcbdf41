//! A Docker daemon of our own, started by the first trial that needs it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::needs::{missing_privilege, skipping};
use crate::harness::{Result, ensure, wait_for};

static DAEMON: Mutex<State> = Mutex::new(State::NotStarted);

enum State {
    NotStarted,
    Running(Daemon),
    Failed(String),
}

struct Daemon {
    process: Child,
    folder: TempDir,
}

/// A trial that needs root, BPF and Docker.
pub(crate) fn with_docker(name: &str, test: fn() -> Result) -> Trial {
    skipping(name, test, missing_docker)
}

/// Why there is no Docker here. Starts the daemon.
pub(crate) fn missing_docker() -> Option<String> {
    if let Some(reason) = missing_privilege() {
        return Some(reason);
    }
    let mut state = lock();
    if matches!(*state, State::NotStarted) {
        *state = match Daemon::start() {
            Ok(daemon) => State::Running(daemon),
            Err(error) => State::Failed(error.message().unwrap_or("no reason given").to_owned()),
        };
    }
    match &*state {
        State::Failed(reason) => Some(format!("needs dockerd: {reason}")),
        State::NotStarted | State::Running(_) => None,
    }
}

/// `docker ARGS…`; its standard output. Fails with what it says if it fails.
pub(crate) fn docker(args: &[&str]) -> Result<String> {
    let output = command()?.args(args).stdin(Stdio::null()).output()?;
    ensure!(
        output.status.success(),
        "docker {} failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The client, pointed at our daemon.
pub(crate) fn command() -> Result<Command> {
    match &*lock() {
        State::Running(daemon) => {
            let mut command = Command::new("docker");
            command.env("DOCKER_HOST", host(daemon.folder.path()));
            Ok(command)
        }
        State::NotStarted | State::Failed(_) => Err("the Docker daemon does not run".into()),
    }
}

/// Removes every container and stops the daemon, if it was started.
pub(crate) fn stop() {
    if !matches!(*lock(), State::Running(_)) {
        return;
    }
    if let Ok(ids) = docker(&["ps", "--all", "--quiet"]) {
        for id in ids.lines() {
            let _ = docker(&["rm", "--force", id]);
        }
    }
    if let State::Running(mut daemon) = std::mem::replace(&mut *lock(), State::NotStarted) {
        daemon.stop();
    }
}

/// A running container; removed when dropped.
pub(crate) struct Container {
    name: String,
}

impl Container {
    /// `docker run --detach --name NAME ARGS…`.
    pub(crate) fn run(name: &str, args: &[&str]) -> Result<Self> {
        docker(&[&["run", "--detach", "--name", name], args].concat())?;
        Ok(Self {
            name: name.to_owned(),
        })
    }

    /// Its full id.
    pub(crate) fn id(&self) -> Result<String> {
        docker(&["inspect", "--format", "{{.Id}}", &self.name])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = docker(&["rm", "--force", &self.name]);
    }
}

impl Daemon {
    fn start() -> Result<Self> {
        // Not under a folder that is itself an overlay, such as a container's /tmp.
        let folder = TempDir::new()?;
        let path = |name: &str| folder.path().join(name);
        let log = File::create(path("log"))?;
        let process = Command::new("dockerd")
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .arg("--host")
            .arg(host(folder.path()))
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("cannot start it: {error}; see `cargo xtask setup`"))?;
        let mut daemon = Self { process, folder };
        match daemon.wait_until_ready() {
            Ok(()) => Ok(daemon),
            Err(error) => {
                daemon.stop();
                Err(error)
            }
        }
    }

    fn wait_until_ready(&mut self) -> Result {
        let log: PathBuf = self.folder.path().join("log");
        wait_for("dockerd to listen", || {
            if let Some(status) = self.process.try_wait()? {
                let text = std::fs::read_to_string(&log)?;
                let last = text.lines().last().unwrap_or_default();
                return Err(format!("it ended with {status}: {last}").into());
            }
            let info = Command::new("docker")
                .env("DOCKER_HOST", host(self.folder.path()))
                .arg("info")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            Ok(info.success().then_some(()))
        })
    }

    fn stop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.process.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.process.wait();
        self.unmount();
    }

    /// dockerd leaves a network namespace mounted, and the folder could not be removed with it.
    fn unmount(&self) {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let ours = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .filter(|point| point.starts_with(&folder));
        for point in ours {
            let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

fn host(folder: &Path) -> String {
    format!("unix://{}", folder.join("docker.sock").display())
}

fn lock() -> MutexGuard<'static, State> {
    DAEMON.lock().unwrap_or_else(PoisonError::into_inner)
}
