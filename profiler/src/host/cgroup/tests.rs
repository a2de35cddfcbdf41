//! Both cgroup versions against trees of files, and the running kernel.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use super::{Cgroup, FreshCgroup, Hierarchy, Version};
use crate::host::Host;
use crate::host::proc::fixture::Fixture;
use crate::model::CfsFigures;

const WEB: &str = "/docker/fe5215765b75d118956d04673775e556590714c3bdaa76c21f888cb4a2cc4182";
const WORKER: &str = "/docker/c23991f652b4704e991ee146d3957d8fedf7c817f68f78b766a8e0ff1acf834c";

#[test]
fn the_tree_of_a_hybrid_host() {
    let fixture = Fixture::new("docker-hybrid");
    let hierarchy = Hierarchy::detect(&fixture.host).unwrap();
    let walked = hierarchy.walk("/").unwrap();
    let paths: Vec<&str> = walked.iter().map(|cgroup| cgroup.path.as_str()).collect();
    assert_eq!(paths.len(), 10);
    assert_eq!(
        &paths[..6],
        [
            "/",
            "/bench",
            "/docker",
            "/bench/a",
            "/bench/empty",
            "/docker/0a4f6be1d2c97c0b5d38c0e1f9a6a17c7e2f3bd94b5c6d7e8f90a1b2c3d4e5f6",
        ]
    );
    for cgroup in &walked {
        let folder = format!("/sys/fs/cgroup/cpu{}", cgroup.path);
        assert_eq!(cgroup.id, fixture.inode(&folder), "{}", cgroup.path);
        assert_eq!(
            hierarchy.lookup_id(cgroup.id).unwrap().as_ref(),
            Some(cgroup)
        );
    }
    assert_eq!(
        hierarchy.lookup(&format!("{WEB}/")).unwrap(),
        Some(Cgroup {
            id: fixture.inode(&format!("/sys/fs/cgroup/cpu{WEB}")),
            path: WEB.to_owned(),
        })
    );
    assert_eq!(hierarchy.threads(WEB), Some(3));
    assert_eq!(hierarchy.threads_below(WEB), Some(4));
    assert_eq!(hierarchy.processes(WEB), [10918]);
    assert_eq!(hierarchy.threads_below("/"), Some(10));
    assert_eq!(hierarchy.lookup("/docker/none").unwrap(), None);
    assert_eq!(hierarchy.lookup("/docker/tasks").unwrap(), None);
    assert_eq!(hierarchy.lookup("/../../etc").unwrap(), None);
    assert_eq!(hierarchy.walk("/none").unwrap(), []);
    assert_eq!(hierarchy.threads_below("/none"), None);
    assert_eq!(hierarchy.cgroup_of(10918).unwrap().unwrap(), WEB);
    assert_eq!(hierarchy.cgroup_of(4242).unwrap(), None);
}

#[test]
fn v1_quota_and_figures() {
    let fixture = Fixture::new("docker-hybrid");
    let hierarchy = Hierarchy::detect(&fixture.host).unwrap();
    assert_eq!(hierarchy.own_quota_cores(WEB), Some(0.5));
    assert_eq!(hierarchy.quota_cores(&format!("{WEB}/init")), Some(0.5));
    assert_eq!(hierarchy.own_quota_cores("/bench/a"), None);
    assert_eq!(hierarchy.quota_cores("/bench/a"), Some(1.5));
    assert_eq!(hierarchy.quota_cores(WORKER), None);
    assert_eq!(
        hierarchy.cpu_figures(WEB),
        Some(CfsFigures {
            usage_ns: Some(2_500_000_123),
            periods: 40,
            throttled_periods: 12,
            throttled_ns: 987_654_321,
            throttled_local_ns: None,
            bursts: 0,
            burst_ns: 0,
        })
    );
    // Not in cpuacct: from the v2 hierarchy; in neither: 0.
    assert_eq!(
        hierarchy.cpu_figures(WORKER).unwrap().usage_ns,
        Some(77_000)
    );
    assert_eq!(hierarchy.cpu_figures("/bench/a").unwrap().usage_ns, None);
    assert_eq!(hierarchy.cpu_figures("/bench/none"), None);
}

#[test]
fn v2_tree_quota_and_figures() {
    let fixture = Fixture::new("containerd-v2");
    let hierarchy = Hierarchy::detect(&fixture.host).unwrap();
    assert_eq!(hierarchy.version(), Version::V2);
    let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-\
               pod6fae2a31_70a5_4d2e_9d0b_5b1a2f0c8e11.slice";
    let app = format!(
        "{pod}/cri-containerd-6a825448c5ef07ac0c3b99532b18bdec0e1d0bb1eb41b4672d570634a1409a85.scope"
    );
    assert_eq!(hierarchy.threads(&app), Some(4));
    assert_eq!(hierarchy.threads_below(&app), Some(5));
    assert_eq!(hierarchy.threads_below(pod), Some(6));
    assert_eq!(hierarchy.own_quota_cores(&app), Some(2.0));
    assert_eq!(
        hierarchy.quota_cores(&app),
        Some(1.5),
        "the pod's limit is lower"
    );
    assert_eq!(
        hierarchy.cpu_figures(&app),
        Some(CfsFigures {
            usage_ns: Some(2_500_000_000),
            periods: 40,
            throttled_periods: 12,
            throttled_ns: 987_654_000,
            throttled_local_ns: None,
            bursts: 0,
            burst_ns: 0,
        })
    );
}

#[test]
fn a_process_seen_from_another_namespace_is_looked_for() {
    let fixture = Fixture::new("containerd-v2");
    let hierarchy = Hierarchy::detect(&fixture.host).unwrap();
    fixture.write("/proc/901/cgroup", "0::/../../somewhere\n");
    assert_eq!(
        hierarchy.cgroup_of(901).unwrap().unwrap(),
        "/system.slice/nerdctl-5bed8c875756abdac43e664d2e7a1950a838675ca143ab71e3a4d8bd0ef9d59f.scope"
    );
    fixture.write("/proc/999/cgroup", "0::/../../somewhere\n");
    assert_eq!(
        hierarchy.cgroup_of(999).unwrap_err().to_string(),
        "process 999 is in cgroup /../../somewhere, which is not visible under /sys/fs/cgroup; run \
         ctprof in the host's cgroup namespace"
    );
}

/// The running kernel's hierarchy, if cgroups can be created in it; says why not.
fn real() -> Option<(Hierarchy, FreshCgroup)> {
    let made = Hierarchy::detect(&Host::default())
        .and_then(|hierarchy| FreshCgroup::create(&hierarchy).map(|fresh| (hierarchy, fresh)));
    match made {
        Ok(made) => Some(made),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

#[test]
fn a_command_is_in_its_cgroup_from_the_start() {
    let Some((hierarchy, fresh)) = real() else {
        return;
    };
    let cgroup = fresh.cgroup().clone();
    let dir = hierarchy.dir(&cgroup.path).unwrap();
    assert_eq!(cgroup.id, std::fs::metadata(&dir).unwrap().ino());

    let mut command = Command::new("cat");
    command
        .arg("/proc/self/cgroup")
        .stdout(std::process::Stdio::piped());
    let output = fresh
        .spawn(&mut command)
        .unwrap()
        .wait_with_output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let watched = format!("{}:", hierarchy.id());
    let line = text
        .lines()
        .find(|line| line.starts_with(&watched))
        .unwrap();
    assert!(line.ends_with(&format!(":{}", cgroup.path)), "{line}");

    let mut shell = Command::new("sh");
    shell.args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"]);
    assert!(fresh.spawn(&mut shell).unwrap().wait().unwrap().success());
    let used = hierarchy
        .cpu_figures(&cgroup.path)
        .unwrap()
        .usage_ns
        .unwrap();
    assert!((10_000_000..60_000_000_000).contains(&used), "{used}");

    fresh.remove().unwrap();
    assert_eq!(hierarchy.lookup(&cgroup.path).unwrap(), None);
    assert_eq!(hierarchy.cpu_figures(&cgroup.path), None);
}

#[test]
fn left_processes_keep_their_cgroup_and_left_cgroups_go() {
    let Some((hierarchy, fresh)) = real() else {
        return;
    };
    let path = fresh.cgroup().path.clone();
    let dir = hierarchy.dir(&path).unwrap();
    std::fs::create_dir_all(dir.join("a/b")).unwrap();
    let mut sleeper = fresh.spawn(Command::new("sleep").arg("1000")).unwrap();
    assert_eq!(hierarchy.threads_below(&path), Some(1));
    let error = fresh.remove().unwrap_err().to_string();
    assert!(
        error.contains("the command left processes in it"),
        "{error}"
    );
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();

    let second = FreshCgroup::create(&hierarchy).unwrap();
    assert_ne!(second.cgroup().path, path, "the name is taken");
    drop(second);
    for dir in [
        Some(dir),
        hierarchy.cpuacct_dir(&path),
        hierarchy.unified_dir(&path),
    ] {
        let _ = super::fresh::remove_tree(&dir.unwrap_or_default());
    }
    assert_eq!(hierarchy.lookup(&path).unwrap(), None);
}
