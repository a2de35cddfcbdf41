//! What a cgroup's path alone says.
//!
//! Runtimes and systemd name cgroups in a few forms, the same for every cgroup version:
//!
//! | form of the name | what it is |
//! |---|---|
//! | `<64 hex>`, `PREFIX-<64 hex>`, `PREFIX-<64 hex>.scope`, `….slice:PREFIX:<64 hex>` | a container |
//! | `lxc.payload.NAME`, `lxc/NAME` | an LXC container |
//! | `NAME.service`, `NAME.scope` and other units | a unit of systemd |
//! | `NAME.slice`, `docker`, `kubepods`, `pod<uid>`, … | a folder of the above |
//! | anything else | a plain cgroup |
//!
//! The last form of containers comes from a runtime without `SystemdCgroup` under a kubelet with it.

mod names;
#[cfg(test)]
mod tests;

use crate::host::cgroup::ancestors;
use crate::model::Runtime;
use names::{container_name, is_folder_name, is_pod_name, is_unit, is_user_manager};

/// A container, as far as its cgroup's path tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerRef<'a> {
    /// Path of the container's cgroup.
    pub path: &'a str,
    /// The runtime's id; empty for LXC.
    pub id: &'a str,
    /// The runtime, where the path tells.
    pub runtime: Option<Runtime>,
}

/// What a path says about the threads in the cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A folder of the host: `/`, a slice, a pod.
    Folder,
    /// At or below a systemd unit.
    Unit {
        /// Path of the unit's cgroup.
        path: &'a str,
        /// Name of the unit.
        name: &'a str,
    },
    /// A cgroup that nobody we know made.
    Plain {
        /// Its path.
        path: &'a str,
    },
    /// At or below a container: the outermost first, then the ones inside. Never empty.
    Container(Vec<ContainerRef<'a>>),
}

/// Reads `path`, which is absolute from the root of the hierarchy.
#[must_use]
pub fn place(path: &str) -> Place<'_> {
    let mut containers = Vec::new();
    let mut unit = None;
    let mut plain = false;
    let mut runtime = None;
    let mut parent = "";
    let mut end = 0;
    for name in path.split('/') {
        end += name.len();
        let so_far = &path[..end];
        end += 1;
        if name.is_empty() {
            continue;
        }
        if let Some((id, from_name)) = container_name(name, parent) {
            containers.push(ContainerRef {
                path: so_far,
                id,
                runtime: from_name.or(runtime),
            });
            runtime = None;
        } else if name == "docker" {
            runtime = Some(Runtime::Docker);
        } else if unit.is_none() && is_unit(name) {
            unit = Some((so_far, name));
        } else if !is_folder_name(name) {
            plain = true;
        }
        parent = name;
    }
    if !containers.is_empty() {
        Place::Container(containers)
    } else if let Some((path, name)) = unit {
        Place::Unit { path, name }
    } else if plain {
        Place::Plain { path }
    } else {
        Place::Folder
    }
}

/// A part of the tree that somebody other than the host may fill with cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree<'a> {
    /// Path of its uppermost cgroup.
    pub path: &'a str,
    /// Cgroups below are rows of their own, not parts of one.
    pub has_rows: bool,
}

/// The subtree that `path` is at or below: the outermost container, else the unit, else the uppermost plain cgroup. All
/// that a user's service manager runs is one subtree, containers included: the user named them. `None` for directories
/// of the host, in which only the host creates cgroups.
#[must_use]
pub fn subtree(path: &str) -> Option<Subtree<'_>> {
    let mut end = 0;
    let mut uppermost = None;
    for name in path.split('/') {
        end += name.len();
        let so_far = &path[..end];
        end += 1;
        if is_user_manager(name) && uppermost.is_none() {
            return Some(Subtree {
                path: so_far,
                has_rows: true,
            });
        }
        if uppermost.is_none() && !name.is_empty() && !is_folder_name(name) {
            uppermost = Some(so_far);
        }
    }
    match place(path) {
        Place::Container(containers) => containers.first().map(|outermost| Subtree {
            path: outermost.path,
            has_rows: false,
        }),
        Place::Unit { path, .. } => Some(Subtree {
            path,
            has_rows: false,
        }),
        Place::Plain { .. } | Place::Folder => uppermost.map(|path| Subtree {
            path,
            has_rows: true,
        }),
    }
}

/// The cgroup of the Kubernetes pod that the container at `path` is in, which has the pod's limits; `None` where the path
/// does not tell: containerd without `SystemdCgroup` under a kubelet with it puts containers elsewhere.
#[must_use]
pub fn pod(path: &str) -> Option<&str> {
    ancestors(path).skip(1).find(|above| {
        let name = above.rsplit('/').next().unwrap_or_default();
        let slice = name.strip_suffix(".slice");
        let of_slice = slice.and_then(|name| name.rsplit('-').next());
        is_pod_name(of_slice.unwrap_or(name))
    })
}
