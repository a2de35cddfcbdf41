//! The name of a single cgroup: whose form it has.

use crate::model::Runtime;

/// Runtime by the prefix of a container's cgroup.
const PREFIXES: [(&str, Runtime); 6] = [
    ("docker", Runtime::Docker),
    ("cri-containerd", Runtime::Containerd),
    ("nerdctl", Runtime::Containerd),
    ("crio", Runtime::CriO),
    ("libpod", Runtime::Podman),
    // `podman run --cgroups=split`, as in units made from quadlets.
    ("libpod-payload", Runtime::Podman),
];

/// Folders that the runtimes make, wherever they are.
const FOLDERS: [&str; 14] = [
    "docker",
    "moby",
    "k8s.io",
    "kubelet",
    "kubepods",
    "besteffort",
    "burstable",
    "guaranteed",
    "libpod_parent",
    "lxc",
    "lxc.payload",
    "lxc.monitor",
    "machine",
    "ecs",
];

/// Id and runtime of the container with a cgroup of this name.
pub(super) fn container_name<'a>(
    name: &'a str,
    parent: &str,
) -> Option<(&'a str, Option<Runtime>)> {
    if let Some(lxc) = name.strip_prefix("lxc.payload.") {
        return Some((lxc, Some(Runtime::Lxc)));
    }
    if matches!(parent, "lxc" | "lxc.payload") {
        return Some((name, Some(Runtime::Lxc)));
    }
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let start = name.len().checked_sub(64)?;
    let (prefix, id) = (name.get(..start)?, name.get(start..)?);
    if !id
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return None;
    }
    if prefix.is_empty() {
        return Some((id, None));
    }
    let prefix = prefix.strip_suffix(['-', ':'])?;
    let prefix = prefix.rsplit(':').next().unwrap_or(prefix);
    // The monitor of a container is a process of the runtime, in a cgroup of its own.
    if prefix.ends_with("conmon") {
        return None;
    }
    let runtime = PREFIXES.iter().find(|(known, _)| *known == prefix);
    Some((id, runtime.map(|(_, runtime)| *runtime)))
}

/// Units that hold processes. A user's service manager holds units: it is a folder.
pub(super) fn is_unit(name: &str) -> bool {
    let suffix = [".service", ".scope", ".socket", ".mount", ".swap"];
    suffix.iter().any(|suffix| name.ends_with(suffix)) && !is_user_manager(name)
}

pub(super) fn is_user_manager(name: &str) -> bool {
    name.starts_with("user@") && name.ends_with(".service")
}

pub(super) fn is_folder_name(name: &str) -> bool {
    name.ends_with(".slice")
        || FOLDERS.contains(&name)
        || is_user_manager(name)
        || name.starts_with("libpod_pod_")
        || is_pod_name(name)
}

/// `pod<uid>`: a UUID, or the 32 hex digits of a static pod.
pub(super) fn is_pod_name(name: &str) -> bool {
    name.strip_prefix("pod").is_some_and(|uid| {
        uid.len() >= 32
            && uid
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'_'))
    })
}
