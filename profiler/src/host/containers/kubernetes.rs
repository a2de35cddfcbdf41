//! The labels that kubelet puts on every container (`pkg/kubelet/types/labels.go`), whatever the runtime.

use std::collections::HashMap;

use crate::model::Pod;

/// Name that kubelet gives the sandbox container of a pod, which holds its namespaces and sleeps.
pub(super) const SANDBOX: &str = "POD";

pub(super) type Labels = HashMap<String, String>;

/// The value of the first of these labels that is set and not empty.
pub(super) fn first<'a>(labels: &'a Labels, keys: &[&str]) -> Option<&'a str> {
    keys.iter()
        .filter_map(|key| labels.get(*key))
        .map(String::as_str)
        .find(|value| !value.is_empty())
}

/// The pod, if both labels that name it are there.
pub(super) fn pod(labels: &Labels, namespace_keys: &[&str], name_keys: &[&str]) -> Option<Pod> {
    Some(Pod {
        namespace: first(labels, namespace_keys)?.to_owned(),
        name: first(labels, name_keys)?.to_owned(),
    })
}

/// kubelet's own labels.
pub(super) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(super) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(super) const CONTAINER_NAME: &str = "io.kubernetes.container.name";

/// Pod and container in kubelet's long form `k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT`. Kubernetes' names
/// have no `_`, and none is empty.
pub(super) fn parse_long_name(name: &str) -> Option<(Pod, &str)> {
    let mut parts = name.strip_prefix("k8s_")?.split('_');
    let mut part = || parts.next().filter(|part| !part.is_empty());
    let container = part()?;
    let pod = part()?;
    let namespace = part()?;
    part()?;
    Some((
        Pod {
            namespace: namespace.to_owned(),
            name: pod.to_owned(),
        },
        container,
    ))
}

#[cfg(test)]
mod tests {
    use super::parse_long_name;

    #[test]
    fn a_long_name_has_four_parts_and_none_is_empty() {
        let (pod, container) = parse_long_name("k8s_web_web-7f9c_shop_1234-ab_0").unwrap();
        assert_eq!(container, "web");
        assert_eq!((&*pod.name, &*pod.namespace), ("web-7f9c", "shop"));
        for other in [
            "web_web-7f9c_shop_1234_0",
            "k8s_web_web-7f9c_shop",
            "k8s__web-7f9c_shop_1234_0",
            "k8s_web__shop_1234_0",
            "k8s_web_web-7f9c__1234_0",
            "k8s_web_web-7f9c_shop__0",
            "k8s_________",
            "k8s_",
        ] {
            assert_eq!(parse_long_name(other), None, "{other}");
        }
    }
}
