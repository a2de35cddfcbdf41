//! Debian's and Ubuntu's package manager: the only one that setup drives.

use std::process::Command;

use anyhow::{Result, bail};

use crate::cmd;

/// How apt-get can be used here.
pub(crate) struct Apt {
    access: Access,
    updated: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// We are root.
    Root,
    /// `sudo` works without a password.
    Sudo,
    /// Installing needs a command that only the user can run.
    Denied,
    /// No apt-get: another distribution.
    Absent,
}

impl Apt {
    /// Looks at what is possible, without changing anything.
    pub(crate) fn new() -> Self {
        let access = if cmd::find("apt-get").is_none() {
            Access::Absent
        } else if is_root() {
            Access::Root
        } else if cmd::succeeds(Command::new("sudo").args(["-n", "true"])) {
            Access::Sudo
        } else {
            Access::Denied
        };
        Self {
            access,
            updated: false,
        }
    }

    /// Installs `packages`. The package lists are refreshed before: old ones name versions that are gone, or
    /// too old.
    ///
    /// # Errors
    /// Where we may not install; the message is the command to run.
    pub(crate) fn install(&mut self, packages: &[&str]) -> Result<()> {
        let names = packages.join(" ");
        match self.access {
            Access::Absent => bail!("install what Debian calls {names}"),
            Access::Denied => bail!("run `sudo apt-get install --no-install-recommends {names}`"),
            Access::Root | Access::Sudo => {}
        }
        self.update()?;
        println!("installing {names}");
        let mut command = self.command()?;
        command.args(["-q", "-y", "install", "--no-install-recommends"]);
        cmd::output(command.args(packages)).map(drop)
    }

    /// `apt-get update`, once.
    pub(crate) fn update(&mut self) -> Result<()> {
        if self.updated {
            return Ok(());
        }
        println!("refreshing the package lists");
        cmd::output(self.command()?.args(["-q", "update"]))?;
        self.updated = true;
        Ok(())
    }

    fn command(&self) -> Result<Command> {
        let mut command = match self.access {
            Access::Root => Command::new("apt-get"),
            Access::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
                sudo
            }
            Access::Denied => bail!("apt-get needs root"),
            Access::Absent => bail!("there is no apt-get"),
        };
        command.env("DEBIAN_FRONTEND", "noninteractive");
        Ok(command)
    }
}

/// The version of `package` that apt would install, where it knows the package.
pub(crate) fn candidate(package: &str) -> Option<String> {
    let text = cmd::output(Command::new("apt-cache").args(["policy", package])).ok()?;
    let version = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

/// True when we run as root.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}
