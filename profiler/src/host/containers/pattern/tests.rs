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
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope"),
            Some(Runtime::Docker),
        ),
        (format!("/kubepods/burstable/pod{UID}/{ID}"), None),
        (
            format!("/kubepods.slice/kubepods-burstable.slice/{slice}/cri-containerd-{ID}.scope"),
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
    let path =
        format!("/docker/{ID}/kubelet.slice/kubelet-kubepods.slice/cri-containerd-{OTHER}.scope/x");
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
