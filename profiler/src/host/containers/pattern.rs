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

use crate::host::cgroup::ancestors;
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

/// Id and runtime of the container with a cgroup of this name.
fn container_name<'a>(name: &'a str, parent: &str) -> Option<(&'a str, Option<Runtime>)> {
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
fn is_unit(name: &str) -> bool {
    let suffix = [".service", ".scope", ".socket", ".mount", ".swap"];
    suffix.iter().any(|suffix| name.ends_with(suffix)) && !is_user_manager(name)
}

fn is_user_manager(name: &str) -> bool {
    name.starts_with("user@") && name.ends_with(".service")
}

fn is_folder_name(name: &str) -> bool {
    name.ends_with(".slice")
        || FOLDERS.contains(&name)
        || is_user_manager(name)
        || name.starts_with("libpod_pod_")
        || is_pod_name(name)
}

/// `pod<uid>`: a UUID, or the 32 hex digits of a static pod.
fn is_pod_name(name: &str) -> bool {
    name.strip_prefix("pod").is_some_and(|uid| {
        uid.len() >= 32
            && uid
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'_'))
    })
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

#[cfg(test)]
mod tests {
    use super::{ContainerRef, Place, place, pod, subtree};
    use crate::model::Runtime;

    const ID: &str = "fe5215765b75d118956d04673775e556590714c3bdaa76c21f888cb4a2cc4182";
    const OTHER: &str = "c23991f652b4704e991ee146d3957d8fedf7c817f68f78b766a8e0ff1acf834c";
    const UID: &str = "0f3c1d2e-5b6a-4c7d-8e9f-a0b1c2d3e4f5";

    #[test]
    fn fuzz_cgroup_paths() {
        let uid = UID.replace('-', "_");
        let inputs = [
            format!("/docker/{ID}/init"),
            format!("/system.slice/docker-{ID}.scope/docker/{OTHER}"),
            format!("/kubepods.slice/kubepods-pod{uid}.slice/cri-containerd-{ID}.scope/worker"),
            format!("/kubepods/besteffort/pod{UID}/{ID}"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/kubepods/pod{UID}:cri-containerd:{ID}"),
            "/lxc.payload.web/system.slice/ssh.service".to_owned(),
            "/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope".to_owned(),
        ];
        crate::fuzz::fuzz(&inputs, |bytes| {
            let path = String::from_utf8_lossy(bytes);
            let within = |part: &str| path.starts_with(part);
            match place(&path) {
                Place::Folder => {}
                Place::Unit { path: unit, name } => assert!(within(unit) && unit.ends_with(name)),
                Place::Plain { path: plain } => assert!(within(plain)),
                Place::Container(containers) => {
                    assert!(!containers.is_empty());
                    let mut parent = "";
                    for container in containers {
                        assert!(within(container.path) && container.path.contains(container.id));
                        // Outermost first.
                        assert!(container.path.len() > parent.len());
                        parent = container.path;
                    }
                }
            }
        });
    }

    #[test]
    fn subtrees_end_where_the_host_delegates() {
        let docker = format!("/docker/{ID}");
        let below_plain = format!("/team/{ID}");
        let pod = format!(
            "/kubepods.slice/kubepods-pod{}.slice",
            UID.replace('-', "_")
        );
        let in_pod = format!("{pod}/cri-containerd-{ID}.scope");
        let user = "/user.slice/user-1000.slice/user@1000.service";
        for (path, expected) in [
            ("/".to_owned(), None),
            ("/docker".to_owned(), None),
            ("/system.slice".to_owned(), None),
            (pod, None),
            (docker.clone(), Some((docker.clone(), false))),
            (format!("{docker}/a/b"), Some((docker.clone(), false))),
            // Whatever a container calls its cgroups, they are its own.
            (
                format!("{docker}/docker/{OTHER}"),
                Some((docker.clone(), false)),
            ),
            (format!("{docker}/x.slice"), Some((docker, false))),
            (format!("{in_pod}/x"), Some((in_pod, false))),
            (format!("{below_plain}/a"), Some((below_plain, false))),
            ("/team/a/b".to_owned(), Some(("/team".to_owned(), true))),
            (
                "/a.slice/team".to_owned(),
                Some(("/a.slice/team".to_owned(), true)),
            ),
            (
                "/system.slice/db.service/x".to_owned(),
                Some(("/system.slice/db.service".to_owned(), false)),
            ),
            (user.to_owned(), Some((user.to_owned(), true))),
            (
                format!("{user}/app.slice/x.service"),
                Some((user.to_owned(), true)),
            ),
            (
                format!("{user}/user.slice/libpod-{ID}.scope"),
                Some((user.to_owned(), true)),
            ),
        ] {
            let found = subtree(&path).map(|it| (it.path.to_owned(), it.has_rows));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn the_cgroup_of_a_pod() {
        let slice = format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice",
            UID.replace('-', "_")
        );
        let plain = format!("/docker/{ID}/kubelet/kubepods/besteffort/pod{UID}");
        for above in [&slice, &plain] {
            let container = format!("{above}/cri-containerd-{ID}.scope");
            assert_eq!(pod(&container), Some(above.as_str()));
            assert_eq!(pod(&format!("{container}/init")), Some(above.as_str()));
            assert!(pod(above).is_none());
        }
        for path in [
            "/".to_owned(),
            format!("/docker/{ID}"),
            format!("/podium/{ID}"),
            format!(
                "/system.slice/containerd.service/{}:cri-containerd:{ID}",
                &slice[1..].rsplit('/').next().unwrap_or_default()
            ),
        ] {
            assert_eq!(pod(&path), None, "{path}");
        }
    }

    /// (path up to the outermost container, its runtime)
    fn outermost(path: &str) -> Option<(String, Option<Runtime>)> {
        match place(path) {
            Place::Container(containers) => {
                assert_eq!(containers[0].id, ID);
                Some((containers[0].path.to_owned(), containers[0].runtime))
            }
            _ => None,
        }
    }

    #[test]
    fn every_form_of_a_container() {
        let uid = UID.replace('-', "_");
        let slice = format!("kubepods-burstable-pod{uid}.slice");
        for (path, runtime) in [
            (format!("/docker/{ID}"), Some(Runtime::Docker)),
            (
                format!("/system.slice/docker-{ID}.scope"),
                Some(Runtime::Docker),
            ),
            (
                format!(
                    "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope"
                ),
                Some(Runtime::Docker),
            ),
            (format!("/kubepods/burstable/pod{UID}/{ID}"), None),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/{slice}/cri-containerd-{ID}.scope"
                ),
                Some(Runtime::Containerd),
            ),
            (
                format!("/system.slice/containerd.service/{slice}:cri-containerd:{ID}"),
                Some(Runtime::Containerd),
            ),
            (
                format!("/kubepods.slice/{slice}/crio-{ID}.scope"),
                Some(Runtime::CriO),
            ),
            (
                format!("/kubepods.slice/{slice}/crio-{ID}"),
                Some(Runtime::CriO),
            ),
            (format!("/default/{ID}"), None),
            (
                format!("/system.slice/nerdctl-{ID}.scope"),
                Some(Runtime::Containerd),
            ),
            (
                format!("/machine.slice/libpod-{ID}.scope"),
                Some(Runtime::Podman),
            ),
            (format!("/libpod_parent/libpod-{ID}"), Some(Runtime::Podman)),
            (
                format!("/system.slice/web.service/libpod-payload-{ID}"),
                Some(Runtime::Podman),
            ),
            (format!("/ecs/0123456789abcdef0123456789abcdef/{ID}"), None),
            (format!("/own/new-runtime-{ID}.scope"), None),
        ] {
            assert_eq!(outermost(&path), Some((path.clone(), runtime)), "{path}");
            let below = format!("{path}/init");
            assert_eq!(outermost(&below), Some((path.clone(), runtime)), "{below}");
        }
    }

    #[test]
    fn lxc_is_named_by_its_path() {
        for path in ["/lxc/web", "/lxc.payload.web", "/lxc.payload/web"] {
            let below = format!("{path}/system.slice/nginx.service");
            let expected = ContainerRef {
                path,
                id: "web",
                runtime: Some(Runtime::Lxc),
            };
            assert_eq!(place(&below), Place::Container(vec![expected]));
        }
    }

    #[test]
    fn containers_in_containers() {
        let path = format!(
            "/docker/{ID}/kubelet.slice/kubelet-kubepods.slice/cri-containerd-{OTHER}.scope/x"
        );
        let Place::Container(found) = place(&path) else {
            panic!("{path}");
        };
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].path, format!("/docker/{ID}"));
        assert_eq!(
            (found[1].id, found[1].runtime),
            (OTHER, Some(Runtime::Containerd))
        );
        assert_eq!(found[1].path, &path[..path.len() - 2]);
        // The runtime of the outer container says nothing about a bare id inside it.
        let path = format!("/docker/{ID}/kubepods/{OTHER}");
        let Place::Container(found) = place(&path) else {
            panic!("{path}");
        };
        assert_eq!(found[1].runtime, None);
    }

    #[test]
    fn units_and_what_looks_like_a_container() {
        let unit = |path| match place(path) {
            Place::Unit { path, name } => Some((path.to_owned(), name.to_owned())),
            _ => None,
        };
        let some = |path: &str, name: &str| Some((path.to_owned(), name.to_owned()));
        assert_eq!(
            unit("/system.slice/nginx.service/sub/x.service"),
            some("/system.slice/nginx.service", "nginx.service")
        );
        assert_eq!(unit("/init.scope"), some("/init.scope", "init.scope"));
        let app = "/user.slice/user-1000.slice/user@1000.service/app.slice/app.service";
        assert_eq!(unit(app), some(app, "app.service"));
        let session = "/user.slice/user-1000.slice/session-3.scope";
        assert_eq!(unit(session), some(session, "session-3.scope"));
        let monitor = format!("/machine.slice/libpod-conmon-{ID}.scope");
        assert_eq!(
            unit(&monitor),
            some(&monitor, &format!("libpod-conmon-{ID}.scope"))
        );
        let mount = format!("/system.slice/var-lib-docker-containers-{ID}-mounts-shm.mount");
        assert!(unit(&mount).is_some());
    }

    #[test]
    fn folders_and_plain_cgroups() {
        for folder in [
            "/",
            "/docker",
            "/system.slice",
            "/user.slice/user-1000.slice/user@1000.service",
            "/machine.slice",
            "/kubepods/besteffort",
            &format!("/kubepods/pod{UID}"),
            "/kubepods/burstable/pod6c1c5ae2e4b8f37f8d2f9f7f0e1d2c3b",
            "/kubepods.slice/kubepods-besteffort.slice",
            &format!("/machine.slice/machine-libpod_pod_{ID}.slice"),
            "/libpod_parent",
        ] {
            assert_eq!(place(folder), Place::Folder, "{folder}");
        }
        for plain in [
            "/bench",
            "/bench/a",
            "/system.slice/odd",
            "/podium",
            "/docker/buildkit",
            &ID[..63],
            &format!("/x{ID}"),
            &format!("/{}", ID.to_uppercase()),
            "/größe/ü",
        ] {
            assert_eq!(place(plain), Place::Plain { path: plain }, "{plain}");
        }
    }
}
