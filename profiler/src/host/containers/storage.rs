//! CRI-O and podman, which share `containers/storage`: under its root, a folder `<driver>-containers` with
//!
//! - `containers.json` and `volatile-containers.json` (containers of `podman run --rm`): an index that has
//!   podman's names and images;
//! - `<id>/userdata/config.json`: the OCI bundle, in whose annotations CRI-O names pod and container.

use std::path::Path;

use serde::Deserialize;

use super::Lookup;
use super::kubernetes::{self, Labels, SANDBOX};
use super::sources::{Denied, read_json};
use crate::host::proc::ConfinedRoot;
use crate::model::{ContainerIdentity, Runtime};

/// Storage roots of root: the lasting one, and the one in memory where CRI-O keeps bundles.
pub(super) const STORAGE_ROOTS: [&str; 2] =
    ["/var/lib/containers/storage", "/run/containers/storage"];

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    annotations: Option<Labels>,
}

#[derive(Deserialize)]
struct IndexEntry {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    /// JSON in a string: [`Metadata`].
    #[serde(default)]
    metadata: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    #[serde(default)]
    image_name: Option<String>,
    #[serde(default)]
    name: Option<String>,
    /// Set by CRI-O alone.
    #[serde(default)]
    pod_name: Option<String>,
}

/// The container with this id, in this folder of containers (`<storage root>/<driver>-containers`).
pub(super) fn read(root: &ConfinedRoot, containers: &Path, id: &str) -> Lookup {
    let bundle = containers.join(id).join("userdata/config.json");
    match read_json::<Spec>(root, &bundle) {
        Ok(Some(spec)) => {
            let annotations = spec.annotations.unwrap_or_default();
            if let Some(found) = from_crio(&annotations, id) {
                return Lookup::Found(found);
            }
        }
        Ok(None) => {}
        Err(Denied) => return Lookup::Denied,
    }
    for index in ["containers.json", "volatile-containers.json"] {
        let entries = match read_json::<Vec<IndexEntry>>(root, &containers.join(index)) {
            Ok(entries) => entries.unwrap_or_default(),
            Err(Denied) => return Lookup::Denied,
        };
        if let Some(found) = entries
            .into_iter()
            .find(|entry| entry.id == id)
            .and_then(from_index)
        {
            return Lookup::Found(found);
        }
    }
    Lookup::Missing
}

fn from_crio(annotations: &Labels, id: &str) -> Option<ContainerIdentity> {
    let kind = annotations.get("io.kubernetes.cri-o.ContainerType")?;
    if annotations
        .get("io.container.manager")
        .is_some_and(|manager| manager != "cri-o")
    {
        return None;
    }
    // A container's own labels travel as JSON in one annotation; a sandbox has them as annotations too.
    let mut labels: Labels = annotations
        .get("io.kubernetes.cri-o.Labels")
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    for key in [
        kubernetes::POD_NAMESPACE,
        kubernetes::POD_NAME,
        kubernetes::CONTAINER_NAME,
        "io.kubernetes.cri-o.Namespace",
        "io.kubernetes.cri-o.KubeName",
    ] {
        if let Some(value) = annotations.get(key) {
            labels.insert(key.to_owned(), value.clone());
        }
    }
    let long = annotations
        .get("io.kubernetes.cri-o.Name")
        .and_then(|name| kubernetes::parse_long_name(name));
    let sandbox = kind == "sandbox";
    let pod = kubernetes::pod(
        &labels,
        &[kubernetes::POD_NAMESPACE, "io.kubernetes.cri-o.Namespace"],
        &[kubernetes::POD_NAME, "io.kubernetes.cri-o.KubeName"],
    )
    .or_else(|| Some(long.as_ref().filter(|_| !sandbox)?.0.clone()));
    let name = if sandbox {
        SANDBOX
    } else {
        kubernetes::first(&labels, &[kubernetes::CONTAINER_NAME])
            .or(long.as_ref().map(|(_, container)| *container))?
    };
    let image = kubernetes::first(
        annotations,
        &["io.kubernetes.cri-o.ImageName", "io.kubernetes.cri-o.Image"],
    );
    Some(ContainerIdentity {
        id: id.to_owned(),
        name: name.to_owned(),
        runtime: Runtime::CriO,
        image: image.unwrap_or_default().to_owned(),
        pod,
        cgroup: String::new(),
    })
}

fn from_index(entry: IndexEntry) -> Option<ContainerIdentity> {
    let metadata: Metadata = entry
        .metadata
        .and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_default();
    let full = metadata
        .name
        .or_else(|| entry.names?.into_iter().next())
        .filter(|name| !name.is_empty())?;
    let (runtime, pod, name) = match kubernetes::parse_long_name(&full) {
        Some((pod, container)) if metadata.pod_name.is_some() => {
            (Runtime::CriO, Some(pod), container.to_owned())
        }
        _ => (Runtime::Podman, None, full),
    };
    Some(ContainerIdentity {
        id: entry.id,
        name,
        runtime,
        image: metadata.image_name.unwrap_or_default(),
        pod,
        cgroup: String::new(),
    })
}
