//! containerd: the OCI bundle `<state>/io.containerd.runtime.v2.task/<namespace>/<id>/config.json`, whose
//! annotations name the container when Kubernetes (CRI) or nerdctl made it.

use std::path::Path;

use serde::Deserialize;

use super::Lookup;
use super::kubernetes::{self, Labels, SANDBOX};
use super::sources::{Denied, read_json};
use crate::host::proc::ConfinedRoot;
use crate::model::{ContainerIdentity, Runtime};

/// Where bundles are: containerd itself, the one that dockerd starts, k3s and RKE2, k0s, MicroK8s, and
/// containerd before 1.4.
pub(super) const TASK_DIRS: [&str; 6] = [
    "/run/containerd/io.containerd.runtime.v2.task",
    "/run/docker/containerd/daemon/io.containerd.runtime.v2.task",
    "/run/k3s/containerd/io.containerd.runtime.v2.task",
    "/run/k0s/containerd/io.containerd.runtime.v2.task",
    "/var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task",
    "/run/containerd/io.containerd.runtime.v1.linux",
];

/// containerd's namespace of the containers that Docker runs through it.
const DOCKER_NAMESPACE: &str = "moby";

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    annotations: Option<Labels>,
}

/// The container with this id, in any namespace under this folder of bundles.
pub(super) fn read(root: &ConfinedRoot, task_dir: &Path, id: &str) -> Lookup {
    let namespaces = match root.list(task_dir) {
        Ok(namespaces) => namespaces,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Lookup::Denied;
        }
        Err(_) => return Lookup::Missing,
    };
    for namespace in namespaces {
        // Docker's names are in Docker's own files.
        if namespace == DOCKER_NAMESPACE {
            continue;
        }
        let path = task_dir.join(&namespace).join(id).join("config.json");
        match read_json::<Spec>(root, &path) {
            Ok(Some(spec)) => return from_annotations(&spec.annotations.unwrap_or_default(), id),
            Ok(None) => {}
            Err(Denied) => return Lookup::Denied,
        }
    }
    Lookup::Missing
}

fn from_annotations(annotations: &Labels, id: &str) -> Lookup {
    let pod = kubernetes::pod(
        annotations,
        &[
            "io.kubernetes.cri.sandbox-namespace",
            kubernetes::POD_NAMESPACE,
        ],
        &["io.kubernetes.cri.sandbox-name", kubernetes::POD_NAME],
    );
    let name = if annotations
        .get("io.kubernetes.cri.container-type")
        .is_some_and(|kind| kind == "sandbox")
    {
        Some(SANDBOX)
    } else {
        kubernetes::first(
            annotations,
            &[
                "io.kubernetes.cri.container-name",
                kubernetes::CONTAINER_NAME,
                "nerdctl/name",
            ],
        )
    };
    let image = kubernetes::first(
        annotations,
        &[
            "io.kubernetes.cri.image-name",
            "io.kubernetes.cri.podsandbox.image-name",
        ],
    );
    Lookup::Found(ContainerIdentity {
        id: id.to_owned(),
        // `ctr run` names a container by its id alone.
        name: name.map_or_else(|| id.get(..12).unwrap_or(id).to_owned(), str::to_owned),
        runtime: Runtime::Containerd,
        image: image.unwrap_or_default().to_owned(),
        pod,
        cgroup: String::new(),
    })
}
