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

/// A daemon with its own folders and socket; its containers are removed, and it ends, when dropped.
pub(crate) struct Daemon {
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
        *state = match Daemon::without_network() {
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
    client()?.run(args)
}

/// The client of one daemon.
#[derive(Clone)]
pub(crate) struct Client {
    host: String,
}

impl Client {
    /// `docker`, pointed at the daemon.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", &self.host);
        command
    }

    /// `docker ARGS…`; its standard output. Fails with what it says if it fails.
    pub(crate) fn run(&self, args: &[&str]) -> Result<String> {
        let output = self.command().args(args).stdin(Stdio::null()).output()?;
        ensure!(
            output.status.success(),
            "docker {} failed: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// `docker run --detach --name NAME ARGS…`.
    pub(crate) fn container(&self, name: &str, args: &[&str]) -> Result<Container> {
        self.run(&[&["run", "--detach", "--name", name], args].concat())?;
        Ok(Container {
            name: name.to_owned(),
            client: self.clone(),
        })
    }
}

/// The client of the daemon that trials share.
pub(crate) fn client() -> Result<Client> {
    match &*lock() {
        State::Running(daemon) => Ok(daemon.client()),
        State::NotStarted | State::Failed(_) => Err("the Docker daemon does not run".into()),
    }
}

/// Removes every container and stops the daemon that trials share, if it was started.
pub(crate) fn stop() {
    *lock() = State::NotStarted;
}

/// A running container; removed when dropped.
pub(crate) struct Container {
    name: String,
    client: Client,
}

impl Container {
    /// `docker run --detach --name NAME ARGS…`, of the daemon that trials share.
    pub(crate) fn run(name: &str, args: &[&str]) -> Result<Self> {
        client()?.container(name, args)
    }

    /// Its full id.
    pub(crate) fn id(&self) -> Result<String> {
        self.inspect("{{.Id}}")
    }

    /// The process id of its first process.
    pub(crate) fn pid(&self) -> Result<String> {
        self.inspect("{{.State.Pid}}")
    }

    /// What it has written.
    pub(crate) fn log(&self) -> Result<String> {
        self.client.run(&["logs", &self.name])
    }

    fn inspect(&self, format: &str) -> Result<String> {
        self.client
            .run(&["inspect", "--format", format, &self.name])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.client.run(&["rm", "--force", &self.name]);
    }
}

impl Daemon {
    fn without_network() -> Result<Self> {
        let options = ["--bridge=none", "--iptables=false", "--ip6tables=false"];
        Self::start(Command::new("dockerd").args(options))
    }

    /// One with Docker's own bridge and rules, in a network of its own, so that the machine's stays as it is. What calls itself the
    /// host's network there is this one.
    pub(crate) fn with_bridge() -> Result<Self> {
        Self::start(Command::new("unshare").args(["--net", "dockerd"]))
    }

    fn start(command: &mut Command) -> Result<Self> {
        // Not under a folder that is itself an overlay, such as a container's /tmp.
        let folder = TempDir::new()?;
        let path = |name: &str| folder.path().join(name);
        let log = File::create(path("log"))?;
        let process = command
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .arg("--host")
            .arg(host(folder.path()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("cannot start it: {error}; see `cargo xtask setup`"))?;
        let mut daemon = Self { process, folder };
        daemon.wait_until_ready()?;
        Ok(daemon)
    }

    /// Its client.
    pub(crate) fn client(&self) -> Client {
        Client {
            host: host(self.folder.path()),
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    fn wait_until_ready(&mut self) -> Result {
        let log: PathBuf = self.folder.path().join("log");
        wait_for("dockerd to listen", || {
            if let Some(status) = self.process.try_wait()? {
                let text = std::fs::read_to_string(&log)?;
                let last = text.lines().last().unwrap_or_default();
                return Err(format!("it ended with {status}: {last}").into());
            }
            let mut info = self.client().command();
            let status = info
                .arg("info")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            Ok(status.success().then_some(()))
        })
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

impl Drop for Daemon {
    fn drop(&mut self) {
        let client = self.client();
        if let Ok(ids) = client.run(&["ps", "--all", "--quiet"]) {
            for id in ids.lines() {
                let _ = client.run(&["rm", "--force", id]);
            }
        }
        if let Some(pid) = Pid::from_raw(self.process.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.process.wait();
        self.unmount();
    }
}

fn host(folder: &Path) -> String {
    format!("unix://{}", folder.join("docker.sock").display())
}

fn lock() -> MutexGuard<'static, State> {
    DAEMON.lock().unwrap_or_else(PoisonError::into_inner)
}
