//! The whole output, for each kind of host.

use std::io::{self, Write};

use super::{Format, PsArgs, cores, list};
use crate::Error;
use crate::host::proc::fixture::Fixture;

fn output(fixture: &Fixture, format: Format, all: bool, width: Option<usize>) -> (String, String) {
    let (mut data, mut talk) = (Vec::new(), Vec::new());
    let args = PsArgs { format, all };
    list(&args, &fixture.host, width, &mut data, &mut talk).unwrap();
    (
        String::from_utf8(data).unwrap(),
        String::from_utf8(talk).unwrap(),
    )
}

/// The table without its last column.
fn table(name: &str, all: bool) -> String {
    let fixture = Fixture::new(name);
    let (data, talk) = output(&fixture, Format::Text, all, None);
    assert_eq!(talk, "");
    let end = data.find("CGROUP").unwrap();
    data.lines()
        .map(|line| {
            let kept: String = line.chars().take(end).collect();
            format!("{}\n", kept.trim_end())
        })
        .collect()
}

#[test]
fn docker() {
    assert_eq!(
        table("docker-hybrid", false),
        "\
NAME           ID            RUNTIME  IMAGE                                                                    POD            THREADS  CPU QUOTA
77aa0c3e5b1d   77aa0c3e5b1d  docker   -                                                                        -                    1          -
shop-worker-1  c23991f652b4  docker   registry.example.com/shop/worker:2.3                                     -                    1          -
web            fe5215765b75  docker   nginx:1.27                                                               -                    4        0.5
api            0a4f6be1d2c9  docker   sha256:756bb4efbdf7771820131b33f53747c08383a8423204432f57ec6579f00c2464  prod/api-5c9f        1          -
/bench/a       -             cgroup   -                                                                        -                    1        1.5
"
    );
    let all = table("docker-hybrid", true);
    assert!(
        all.contains("\n/bench/empty   -             cgroup"),
        "{all}"
    );
}

#[test]
fn containerd() {
    assert_eq!(
        table("containerd-v2", false),
        "\
NAME                ID            RUNTIME     IMAGE                                    POD                                     THREADS  CPU QUOTA
cache?[31m          be4addd26f05  containerd  -                                        -                                             1          -
runcdev             5bed8c875756  containerd  -                                        -                                             2          -
crunch              11d7c1b4c7cc  containerd  docker.io/library/busybox:1.36           jobs/batch-1                                  1          -
POD                 446c65ab43d4  containerd  registry.k8s.io/pause:3.10               shop/hostname-lb-edge-64df67bd8b-xmzhv        1        1.5
hostname            6a825448c5ef  containerd  docker.io/example/serve_hostname:latest  shop/hostname-lb-edge-64df67bd8b-xmzhv        5        1.5
containerd.service  -             systemd     -                                        -                                             3          -
init.scope          -             systemd     -                                        -                                             1          -
session-3.scope     -             systemd     -                                        -                                             2          -
"
    );
    assert!(table("containerd-v2", true).contains("\ncron.service "));
}

#[test]
fn containers_inside_containers() {
    assert_eq!(
        table("nested-v2", false),
        "\
NAME                ID            RUNTIME     IMAGE                                    POD                                   THREADS  CPU QUOTA
kind-control-plane  9c1f0b2a3d4e  docker      kindest/node:v1.33.1                     -                                           4          -
coredns             a1b2c3d4e5f6  containerd  registry.k8s.io/coredns/coredns:v1.12.0  kube-system/coredns-674b8bbfcf-abcde        2          -
"
    );
}

#[test]
fn json() {
    let fixture = Fixture::new("docker-hybrid");
    let (data, _) = output(&fixture, Format::Json, false, Some(10));
    let json: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["ctprof_version"], env!("CARGO_PKG_VERSION"));
    let id = "fe5215765b75d118956d04673775e556590714c3bdaa76c21f888cb4a2cc4182";
    let api = "0a4f6be1d2c97c0b5d38c0e1f9a6a17c7e2f3bd94b5c6d7e8f90a1b2c3d4e5f6";
    assert_eq!(json["containers"].as_array().unwrap().len(), 5);
    assert_eq!(
        json["containers"][2],
        serde_json::json!({
            "id": id,
            "name": "web",
            "runtime": "docker",
            "image": "nginx:1.27",
            "pod": null,
            "cgroup": format!("/docker/{id}"),
            "cgroup_id": fixture.inode(&format!("/sys/fs/cgroup/cpu/docker/{id}")),
            "threads": 4,
            "cpu_quota_cores": 0.5,
        })
    );
    assert_eq!(
        json["containers"][3]["pod"],
        serde_json::json!({"namespace": "prod", "name": "api-5c9f"})
    );
    assert_eq!(json["containers"][3]["id"], api);
}

#[test]
fn fits_the_terminal() {
    let fixture = Fixture::new("containerd-v2");
    let (data, _) = output(&fixture, Format::Text, true, Some(80));
    for line in data.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn an_empty_host_says_so() {
    let fixture = Fixture::new("docker-hybrid");
    for cgroup in ["bench", "docker"] {
        fixture.remove(&format!("/sys/fs/cgroup/cpu/{cgroup}"));
    }
    let (data, talk) = output(&fixture, Format::Text, true, None);
    assert_eq!(data, "");
    assert_eq!(
        talk,
        "no containers, services or cgroups with threads on this host (cgroup V1, /sys/fs/cgroup/cpu)\n"
    );
    let (data, _) = output(&fixture, Format::Json, true, None);
    let json: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!(json["containers"], serde_json::json!([]));
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_is_not_a_failure() {
    let fixture = Fixture::new("docker-hybrid");
    for format in [Format::Text, Format::Json] {
        let args = PsArgs { format, all: false };
        let result = list(&args, &fixture.host, None, &mut Closed, &mut Vec::new());
        assert!(matches!(result, Err(Error::OutputClosed)), "{result:?}");
    }
}

#[test]
fn cores_have_the_digits_they_need() {
    assert_eq!(cores(0.5), "0.5");
    assert_eq!(cores(2.0), "2");
    assert_eq!(cores(1.0 / 3.0), "0.333");
    assert_eq!(cores(10.0), "10");
}
