//! What runtimes write, mutated.

use std::path::Path;

use super::WEB;
use crate::host::containers::{Lookup, containerd, docker, storage};
use crate::host::proc::ConfinedRoot;
use crate::host::proc::fixture::Fixture;
use crate::model::text::printable;

/// The file of one container, read as the runtime's.
fn fuzz_file(
    tree: &str,
    file: &str,
    read: impl Fn(&ConfinedRoot, &str) -> Lookup + Send + 'static,
) {
    let fixture = Fixture::new(tree);
    let path = fixture.host.at(file);
    let original = std::fs::read(&path).unwrap();
    let id = "0123456789abcdef".repeat(4);
    // The mutations keep to one id, so that the readers get past it.
    let ids = file.split('/').find(|name| name.len() == 64);
    let text = String::from_utf8(original).unwrap();
    let text = ids.map_or(text.clone(), |own| text.replace(own, &id));
    let target = fixture.host.at(file.replace(ids.unwrap_or("none"), &id));
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::write(&target, &text).unwrap();
    let root = fixture.host.confined().unwrap();
    assert!(
        matches!(read(&root, &id), Lookup::Found(_)) || ids.is_none(),
        "{file}"
    );
    crate::fuzz::fuzz(&[text], move |bytes| {
        std::fs::write(&target, bytes).unwrap();
        if let Lookup::Found(found) = read(&root, &id) {
            assert_eq!(found.id, id);
            assert!(!found.name.is_empty());
            let shown = printable(&found.name, 100);
            assert!(!shown.contains(char::is_control) && shown.chars().count() <= 101);
        }
        let _ = &fixture;
    });
}

#[test]
fn fuzz_docker() {
    let file = format!("/srv/docker/containers/{WEB}/config.v2.json");
    fuzz_file("docker-hybrid", &file, |root, id| {
        docker::read(root, Path::new("/srv/docker"), id)
    });
}

#[test]
fn fuzz_docker_daemon() {
    let fixture = Fixture::new("docker-hybrid");
    let file = Path::new("/etc/docker/daemon.json");
    fixture.write("/etc/docker/daemon.json", "");
    let root = fixture.host.confined().unwrap();
    let text = r#"{"data-root": "/srv/docker", "graph": null, "log-opts": {"max-size": "10m"}}"#;
    crate::fuzz::fuzz(&[text], move |bytes| {
        std::fs::write(fixture.host.at(file), bytes).unwrap();
        let _ = docker::configured_data_root(&root, file);
    });
}

const TASKS: &str = "/run/containerd/io.containerd.runtime.v2.task";

#[test]
fn fuzz_containerd() {
    let id = "6a825448c5ef07ac0c3b99532b18bdec0e1d0bb1eb41b4672d570634a1409a85";
    let file = format!("{TASKS}/k8s.io/{id}/config.json");
    fuzz_file("containerd-v2", &file, |root, id| {
        containerd::read(root, Path::new(TASKS), id)
    });
}

#[test]
fn fuzz_crio() {
    let containers = "/run/containers/storage/overlay-containers";
    let id = "49ecc282021562c567a8159ef424a06cdd8637efdca5953de9794eafe29adcad";
    let file = format!("{containers}/{id}/userdata/config.json");
    fuzz_file("crio-podman-v2", &file, move |root, id| {
        storage::read(root, Path::new(containers), id)
    });
}

#[test]
fn fuzz_podman() {
    let fixture = Fixture::new("crio-podman-v2");
    let containers = Path::new("/var/lib/containers/storage/overlay-containers");
    let file = fixture.host.at(containers.join("containers.json"));
    let text = std::fs::read_to_string(&file).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let id = value[0]["id"].as_str().unwrap().to_owned();
    let root = fixture.host.confined().unwrap();
    crate::fuzz::fuzz(&[text], move |bytes| {
        std::fs::write(&file, bytes).unwrap();
        if let Lookup::Found(found) = storage::read(&root, containers, &id) {
            assert!(found.id == id && !found.name.is_empty());
        }
        let _ = &fixture;
    });
}
