//! Who made a row's cgroup, or what else the row is.

use std::fmt;

use serde::{Serialize, Serializer};

/// The container runtime of a row, or what it is if it is no container's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// A cgroup made by nobody that ctprof knows.
    #[default]
    Cgroup,
    /// Docker.
    Docker,
    /// containerd, under Kubernetes or by itself.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
    /// LXC.
    Lxc,
    /// A unit of systemd.
    Systemd,
    /// A process that was chosen by itself.
    Process,
    /// Processes in no container.
    Host,
    /// Kernel threads.
    Kernel,
    /// Rows beyond an agent's limit, together.
    Other,
    /// All of one network namespace.
    NetworkNamespace,
    /// All of one PID namespace.
    PidNamespace,
    /// All of one mount namespace.
    MountNamespace,
    /// All of one user namespace.
    UserNamespace,
}

impl Runtime {
    /// Every one with its name, in the order of the numbers.
    const NAMES: [(Self, &'static str); 15] = [
        (Self::Cgroup, "cgroup"),
        (Self::Docker, "docker"),
        (Self::Containerd, "containerd"),
        (Self::CriO, "cri-o"),
        (Self::Podman, "podman"),
        (Self::Lxc, "lxc"),
        (Self::Systemd, "systemd"),
        (Self::Process, "process"),
        (Self::Host, "host"),
        (Self::Kernel, "kernel"),
        (Self::Other, "other"),
        (Self::NetworkNamespace, "netns"),
        (Self::PidNamespace, "pidns"),
        (Self::MountNamespace, "mntns"),
        (Self::UserNamespace, "userns"),
    ];

    /// The value of `runtime` in documents, and of the label in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }

    /// The one with this [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::NAMES.into_iter();
        all.find(|(_, other)| *other == name)
            .map(|(runtime, _)| runtime)
    }

    /// It started the container's first process, and set up what that runs in.
    #[must_use]
    pub const fn starts_containers(self) -> bool {
        matches!(
            self,
            Self::Docker | Self::Containerd | Self::CriO | Self::Podman | Self::Lxc
        )
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Runtime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Runtime;

    #[test]
    fn names_are_in_order_and_find_what_they_name() {
        for (number, (runtime, name)) in Runtime::NAMES.into_iter().enumerate() {
            assert_eq!(runtime as usize, number);
            assert_eq!(runtime.name(), name);
            assert_eq!(Runtime::from_name(name), Some(runtime));
        }
        assert_eq!(Runtime::from_name("rkt"), None);
    }
}
