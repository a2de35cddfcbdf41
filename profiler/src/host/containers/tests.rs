//! Every runtime against the files that it writes.

mod fuzz;

use super::Containers;
use crate::host::cgroup::Hierarchy;
use crate::host::proc::fixture::Fixture;
use crate::model::{ContainerIdentity, Pod, Runtime};

fn containers(fixture: &Fixture) -> Containers {
    let hierarchy = Hierarchy::detect(&fixture.host).unwrap();
    Containers::new(&fixture.host, &hierarchy)
}

/// name, runtime, image, `namespace/name` of the pod
fn facts(identity: &ContainerIdentity) -> (String, String, String, String) {
    let pod = identity.pod.as_ref();
    (
        identity.name.clone(),
        identity.runtime.name().to_owned(),
        identity.image.clone(),
        pod.map(|pod| format!("{}/{}", pod.namespace, pod.name))
            .unwrap_or_default(),
    )
}

fn expect(containers: &mut Containers, path: &str, expected: [&str; 4]) {
    let [name, runtime, image, pod] = expected.map(str::to_owned);
    let identity = containers.identify(path);
    assert_eq!(facts(&identity), (name, runtime, image, pod), "{path}");
    let owner = containers.owner(path).unwrap();
    assert_eq!(identity.cgroup, owner);
    if !identity.id.is_empty() {
        assert!(owner.contains(&identity.id), "{owner}");
        assert_eq!(identity.id.len(), 64);
    }
}

const WEB: &str = "fe5215765b75d118956d04673775e556590714c3bdaa76c21f888cb4a2cc4182";

#[test]
fn docker_with_a_data_root_from_the_command_line() {
    let fixture = Fixture::new("docker-hybrid");
    let mut found = containers(&fixture);
    let web = format!("/docker/{WEB}");
    expect(&mut found, &web, ["web", "docker", "nginx:1.27", ""]);
    expect(
        &mut found,
        &format!("{web}/init"),
        ["web", "docker", "nginx:1.27", ""],
    );
    expect(
        &mut found,
        "/docker/c23991f652b4704e991ee146d3957d8fedf7c817f68f78b766a8e0ff1acf834c",
        [
            "shop-worker-1",
            "docker",
            "registry.example.com/shop/worker:2.3",
            "",
        ],
    );
    expect(
        &mut found,
        "/docker/0a4f6be1d2c97c0b5d38c0e1f9a6a17c7e2f3bd94b5c6d7e8f90a1b2c3d4e5f6",
        [
            "api",
            "docker",
            "sha256:756bb4efbdf7771820131b33f53747c08383a8423204432f57ec6579f00c2464",
            "prod/api-5c9f",
        ],
    );
    // Docker knows nothing of it: named by its short id, the runtime by its path.
    let unknown = "/docker/77aa0c3e5b1d4f6a8c9e0b2d4f6a8c0e1b3d5f7a9c1e3b5d7f9a1c3e5b7d9f1a";
    expect(&mut found, unknown, ["77aa0c3e5b1d", "docker", "", ""]);
    expect(&mut found, "/bench/a", ["/bench/a", "cgroup", "", ""]);
    assert!(!found.is_denied());
}

#[test]
fn docker_with_a_data_root_from_its_configuration() {
    let fixture = Fixture::new("docker-hybrid");
    fixture.remove("/proc/900");
    let path = format!("/docker/{WEB}");
    assert_eq!(containers(&fixture).identify(&path).name, "fe5215765b75");
    fixture.write("/etc/docker/daemon.json", r#"{"data-root":"/srv/docker"}"#);
    assert_eq!(containers(&fixture).identify(&path).name, "web");
    fixture.write("/etc/docker/daemon.json", r#"{"graph":"/srv/docker"}"#);
    assert_eq!(containers(&fixture).identify(&path).name, "web");
}

#[test]
fn containerd_and_kubernetes() {
    let fixture = Fixture::new("containerd-v2");
    let mut found = containers(&fixture);
    let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-\
               pod6fae2a31_70a5_4d2e_9d0b_5b1a2f0c8e11.slice";
    let app = format!(
        "{pod}/cri-containerd-6a825448c5ef07ac0c3b99532b18bdec0e1d0bb1eb41b4672d570634a1409a85.scope"
    );
    let in_pod = [
        "hostname",
        "containerd",
        "docker.io/example/serve_hostname:latest",
        "shop/hostname-lb-edge-64df67bd8b-xmzhv",
    ];
    expect(&mut found, &app, in_pod);
    expect(&mut found, &format!("{app}/worker"), in_pod);
    expect(
        &mut found,
        &format!(
            "{pod}/cri-containerd-446c65ab43d490ab8d7f693a46050db88f66a2bf657eda0c3de8bc8bab516be4.scope"
        ),
        [
            "POD",
            "containerd",
            "registry.k8s.io/pause:3.10",
            "shop/hostname-lb-edge-64df67bd8b-xmzhv",
        ],
    );
    expect(
        &mut found,
        "/kubepods/besteffort/pod0f3c1d2e-5b6a-4c7d-8e9f-a0b1c2d3e4f5/\
         11d7c1b4c7cc4ad5ab83e2d6a2b5a6f8c0e1d2f3a4b5c6d7e8f9010203040506",
        [
            "crunch",
            "containerd",
            "docker.io/library/busybox:1.36",
            "jobs/batch-1",
        ],
    );
    expect(
        &mut found,
        "/system.slice/nerdctl-5bed8c875756abdac43e664d2e7a1950a838675ca143ab71e3a4d8bd0ef9d59f.scope",
        ["runcdev", "containerd", "", ""],
    );
    // An escape code in a label is not shown.
    expect(
        &mut found,
        "/default/be4addd26f056028b1b5144be20da489c0d356bc1517fe70dd388524df684b3e",
        ["cache?[31m", "containerd", "", ""],
    );
    expect(
        &mut found,
        "/system.slice/containerd.service/x",
        ["containerd.service", "systemd", "", ""],
    );
    for folder in ["/", "/kubepods.slice", pod, "/system.slice"] {
        assert_eq!(found.owner(folder), None, "{folder}");
        assert!(Containers::is_folder(folder));
    }
    assert!(!Containers::is_folder(&app));
    assert!(!Containers::is_folder("/system.slice/containerd.service"));
    assert!(Containers::is_folder("/bench/a"));
}

#[test]
fn crio() {
    let fixture = Fixture::new("crio-podman-v2");
    let mut found = containers(&fixture);
    let pod = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-\
               pod1d9f8c52_0a27_4a1c_8b7a_3e5d7f9a1b2c.slice";
    expect(
        &mut found,
        &format!(
            "{pod}/crio-49ecc282021562c567a8159ef424a06cdd8637efdca5953de9794eafe29adcad.scope/container"
        ),
        [
            "redis",
            "cri-o",
            "quay.io/crio/redis:alpine",
            "redhat.test.crio/podsandbox1",
        ],
    );
    expect(
        &mut found,
        &format!(
            "{pod}/crio-1f04600dc6949359da68eee5fe7c4069706a567c07d1ef89fe3bbfdeac7a6dca.scope"
        ),
        [
            "POD",
            "cri-o",
            "registry.k8s.io/pause:3.6",
            "redhat.test.crio/podsandbox1",
        ],
    );
    // Its bundle is not there: the index alone.
    expect(
        &mut found,
        &format!(
            "{pod}/crio-7f8e68b0361f10dabfce07f7bc11f7ccc8f0d5e6ca29b1b873da4cfcab5d2852.scope"
        ),
        [
            "con-jupyter",
            "cri-o",
            "registry.example.com/jupyter:3.7",
            "nps/jupyter-9679459ff-tf4k9",
        ],
    );
    let monitor =
        "crio-conmon-49ecc282021562c567a8159ef424a06cdd8637efdca5953de9794eafe29adcad.scope";
    expect(
        &mut found,
        &format!("{pod}/{monitor}"),
        [monitor, "systemd", "", ""],
    );
}

#[test]
fn podman_of_root_in_a_quadlet_and_rootless() {
    let fixture = Fixture::new("crio-podman-v2");
    let mut found = containers(&fixture);
    expect(
        &mut found,
        "/machine.slice/libpod-579635db3532e954d07927bdc32bd435bd082f03a0696ded072f04d762a18775.scope/\
         container",
        [
            "contenedor1",
            "podman",
            "quay.io/centos7/httpd-24-centos7:latest",
            "",
        ],
    );
    expect(
        &mut found,
        "/system.slice/blog.service/libpod-payload-\
         89daba6aced3a6ac731ca2934af759eb1b230b62e6c8d9742dbf0453a1435325",
        ["systemd-blog", "podman", "docker.io/library/ghost:5", ""],
    );
    expect(
        &mut found,
        "/system.slice/blog.service/runtime",
        ["blog.service", "systemd", "", ""],
    );
    let user = "/user.slice/user-1000.slice/user@1000.service";
    expect(
        &mut found,
        &format!(
            "{user}/user.slice/libpod-e603f8ebd438b8405b9b835b9d38cb913ea2479f5b29f8e4308b88e9a92e8c4b.scope"
        ),
        [
            "postgres-dev",
            "podman",
            "docker.io/library/postgres:14-alpine",
            "",
        ],
    );
    // Rootless Docker: its data root is the default in the home of the user that runs it.
    expect(
        &mut found,
        &format!(
            "{user}/user.slice/docker-22a611624245e35fee8a15126f23f2b226d8ea3800a213823605303f4988183b.scope"
        ),
        ["rootless-app", "docker", "alpine:3.20", ""],
    );
    assert_eq!(found.owner(user), None);
}

#[test]
fn containers_inside_containers() {
    let fixture = Fixture::new("nested-v2");
    let mut found = containers(&fixture);
    let node = "/system.slice/docker-9c1f0b2a3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8.scope";
    let outer = ["kind-control-plane", "docker", "kindest/node:v1.33.1", ""];
    expect(&mut found, node, outer);
    // What the node's own systemd made is the node's.
    expect(
        &mut found,
        &format!("{node}/system.slice/containerd.service"),
        outer,
    );
    let inner = format!(
        "{node}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod7e1a.slice/cri-containerd-\
         a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90.scope"
    );
    expect(
        &mut found,
        &format!("{inner}/x"),
        [
            "coredns",
            "containerd",
            "registry.k8s.io/coredns/coredns:v1.12.0",
            "kube-system/coredns-674b8bbfcf-abcde",
        ],
    );
    assert_eq!(found.owner(&format!("{inner}/x")).unwrap(), inner);
    // A container that no file names is a part of the one around it.
    let lost =
        format!("{node}/docker/0fedcba987654321fedcba987654321fedcba987654321fedcba987654321fed");
    assert_eq!(found.owner(&lost).unwrap(), node);
    assert_eq!(found.identify(&lost).name, "kind-control-plane");
}

/// A runtime inside a container may write anything there: it never names the host's containers.
#[test]
fn a_container_cannot_name_others() {
    let fixture = Fixture::new("nested-v2");
    let victim = "bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0";
    let merged = "/var/lib/docker/overlay2/node/merged";
    fixture.write(
        &format!(
            "{merged}/run/containerd/io.containerd.runtime.v2.task/k8s.io/{victim}/config.json"
        ),
        r#"{"annotations":{"io.kubernetes.cri.container-name":"forged"}}"#,
    );
    let identity = containers(&fixture).identify(&format!("/default/{victim}"));
    assert_eq!(identity.name, "bad0bad0bad0");
}

#[test]
fn a_name_that_comes_later() {
    let fixture = Fixture::new("docker-hybrid");
    let id = "77aa0c3e5b1d4f6a8c9e0b2d4f6a8c0e1b3d5f7a9c1e3b5d7f9a1c3e5b7d9f1a";
    let path = format!("/docker/{id}");
    let file = format!("/srv/docker/containers/{id}/config.v2.json");
    let mut found = containers(&fixture);
    assert_eq!(found.identify(&path).name, "77aa0c3e5b1d");
    assert_eq!(found.retry(), []);
    // Half written, then whole.
    fixture.write(&file, r#"{"ID":"77aa"#);
    assert_eq!(found.retry(), []);
    fixture.write(
        &file,
        &format!(r#"{{"ID":"{id}","Name":"/late","Config":{{"Image":"late:1"}}}}"#),
    );
    assert_eq!(
        found.retry(),
        [ContainerIdentity {
            id: id.to_owned(),
            name: "late".to_owned(),
            runtime: Runtime::Docker,
            image: "late:1".to_owned(),
            pod: None::<Pod>,
            cgroup: path.clone(),
        }]
    );
    assert_eq!(found.identify(&path).name, "late");
    assert_eq!(found.retry(), []);
}

#[test]
fn hostile_files_cost_nothing_but_the_name() {
    let fixture = Fixture::new("docker-hybrid");
    let file = format!("/srv/docker/containers/{WEB}/config.v2.json");
    let path = format!("/docker/{WEB}");
    let at = fixture.host.at(&file);

    for garbage in [
        "",
        "null",
        "[]",
        "{\"ID\":1}",
        "\u{1b}[2J",
        &"[".repeat(100_000),
    ] {
        fixture.write(&file, garbage);
        assert_eq!(containers(&fixture).identify(&path).name, "fe5215765b75");
    }
    std::fs::File::create(&at)
        .unwrap()
        .set_len(10 << 30)
        .unwrap();
    assert_eq!(containers(&fixture).identify(&path).name, "fe5215765b75");
    std::fs::remove_file(&at).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &at,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(containers(&fixture).identify(&path).name, "fe5215765b75");
    std::fs::remove_file(&at).unwrap();
    std::os::unix::fs::symlink("config.v2.json", &at).unwrap();
    assert_eq!(containers(&fixture).identify(&path).name, "fe5215765b75");
}
