//! A Docker daemon of our own: with its own directories, socket and network, stopped in the end.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{cmd, paths};

/// The network that containers are on, and its addresses.
pub(super) const NETWORK: &str = "situations";
const SUBNET: &str = "10.213.47.0/24";

/// How long dockerd may take to listen.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Dropping it removes every container and stops the daemon.
pub(super) struct Docker {
    process: Child,
    /// Images and containers: on a disk, because some situations are about it.
    data: PathBuf,
    /// Its socket and what else has to have a short path.
    run: PathBuf,
}

impl Docker {
    /// Starts it. Its containers are in this cgroup, if there is one.
    ///
    /// # Errors
    /// There is none, or it ends at once; what it said last is in the error.
    pub(super) fn start(cgroup_parent: Option<&str>) -> Result<Self> {
        let data = paths::target().join("situations/docker");
        let run = PathBuf::from(format!("/run/ctprof-situations-{}", std::process::id()));
        for folder in [&data, &run] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let log = File::create(run.join("log"))?;
        let program =
            cmd::find("dockerd").context("there is no dockerd; see `cargo xtask setup`")?;
        let process = Command::new(program)
            .arg("--data-root")
            .arg(&data)
            .arg("--exec-root")
            .arg(run.join("exec"))
            .arg("--pidfile")
            .arg(run.join("pid"))
            .arg("--host")
            .arg(socket(&run))
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs"])
            .args(cgroup_parent.map(|it| format!("--cgroup-parent=/{it}")))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for us: the daemon is stopped when its containers are gone.
            .process_group(0)
            .spawn()
            .context("cannot start dockerd")?;
        let mut docker = Self { process, data, run };
        docker.wait_until_ready()?;
        // A run that was killed leaves what the next one would trip over.
        docker.remove_containers();
        docker.run(&["network", "create", "--subnet", SUBNET, NETWORK])?;
        Ok(docker)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let begin = Instant::now();
        while !cmd::succeeds(self.command().arg("info")) {
            if let Some(status) = self.process.try_wait()? {
                let text = fs::read_to_string(self.run.join("log")).unwrap_or_default();
                bail!(
                    "dockerd ended with {status}: {}",
                    text.lines().last().unwrap_or_default()
                );
            }
            if begin.elapsed() > START_LIMIT {
                bail!("dockerd does not answer; is this host able to run it?");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// The client, pointed at this daemon.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", socket(&self.run));
        command
    }

    /// `docker ARGS…`; its standard output.
    pub(super) fn run(&self, args: &[&str]) -> Result<String> {
        cmd::output(self.command().args(args))
    }

    /// Makes an image of a directory.
    pub(super) fn import(&self, folder: &Path, name: &str) -> Result<()> {
        let mut tar = Command::new("tar")
            .arg("--create")
            .arg("--directory")
            .arg(folder)
            .arg(".")
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run tar")?;
        let input = tar.stdout.take().context("tar has no output")?;
        let output = self
            .command()
            .args(["import", "-", name])
            .stdin(input)
            .output();
        let status = tar.wait()?;
        let output = output.context("cannot run docker import")?;
        if !status.success() || !output.status.success() {
            bail!(
                "cannot import an image: {}",
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(())
    }

    fn remove_containers(&self) {
        let ids = self.run(&["ps", "--all", "--quiet"]).unwrap_or_default();
        for id in ids.lines() {
            let _ = self.run(&["rm", "--force", "--volumes", id]);
        }
        let _ = self.run(&["network", "rm", NETWORK]);
    }

    /// dockerd leaves a network namespace mounted, and directories could not be removed with it.
    fn unmount(&self) {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|it| {
            Path::new(it).starts_with(&self.run) || Path::new(it).starts_with(&self.data)
        }) {
            let _ = cmd::output(Command::new("umount").args(["--lazy", point]));
        }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|it| it.is_none()) {
            self.remove_containers();
            if let Some(pid) = Pid::from_raw(self.process.id().cast_signed()) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        let _ = self.process.wait();
        self.unmount();
        for folder in [&self.run, &self.data] {
            if let Err(error) = fs::remove_dir_all(folder) {
                eprintln!("cannot remove {}: {error}", folder.display());
            }
        }
    }
}

fn socket(run: &Path) -> String {
    format!("unix://{}", run.join("docker.sock").display())
}
