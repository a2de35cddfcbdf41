//! Docker: `<data root>/containers/<id>/config.v2.json`, written before a container starts.

use std::path::Path;

use serde::Deserialize;

use super::Lookup;
use super::kubernetes::{self, Labels, SANDBOX};
use super::sources::{Denied, read_json};
use crate::host::proc::ConfinedRoot;
use crate::model::{ContainerIdentity, Runtime};

/// Data roots without configuration: the packages of Docker and of distributions, the snap.
pub(super) const DATA_ROOTS: [&str; 2] =
    ["/var/lib/docker", "/var/snap/docker/common/var-lib-docker"];
/// Configuration file of the daemon.
pub(super) const DAEMON_JSON: &str = "/etc/docker/daemon.json";

#[derive(Deserialize)]
struct ConfigV2 {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "Config")]
    config: Option<Config>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "Image")]
    image: Option<String>,
    #[serde(rename = "Labels")]
    labels: Option<Labels>,
}

/// `data-root`, and `graph`, its name before Docker 17.05.
#[derive(Deserialize)]
struct DaemonJson {
    #[serde(rename = "data-root")]
    data_root: Option<String>,
    graph: Option<String>,
}

/// The data root that a daemon's configuration file sets.
pub(super) fn configured_data_root(root: &ConfinedRoot, path: &Path) -> Option<String> {
    let daemon: DaemonJson = read_json(root, path).ok()??;
    daemon.data_root.or(daemon.graph)
}

/// The container with this id, under this data root.
pub(super) fn read(root: &ConfinedRoot, data_root: &Path, id: &str) -> Lookup {
    let path = data_root.join("containers").join(id).join("config.v2.json");
    let found: ConfigV2 = match read_json(root, &path) {
        Ok(Some(found)) => found,
        Ok(None) => return Lookup::Missing,
        Err(Denied) => return Lookup::Denied,
    };
    if found.id != id {
        return Lookup::Missing;
    }
    let (image, labels) = match found.config {
        Some(config) => (
            config.image.unwrap_or_default(),
            config.labels.unwrap_or_default(),
        ),
        None => (String::new(), Labels::new()),
    };
    // Under Kubernetes (dockershim, cri-dockerd) the name is kubelet's long form.
    let pod = kubernetes::pod(
        &labels,
        &[kubernetes::POD_NAMESPACE],
        &[kubernetes::POD_NAME],
    );
    let name = if pod.is_some() {
        kubernetes::first(&labels, &[kubernetes::CONTAINER_NAME]).unwrap_or(SANDBOX)
    } else {
        found.name.trim_start_matches('/')
    };
    if name.is_empty() {
        return Lookup::Missing;
    }
    Lookup::Found(ContainerIdentity {
        id: id.to_owned(),
        name: name.to_owned(),
        runtime: Runtime::Docker,
        image,
        pod,
        cgroup: String::new(),
    })
}
