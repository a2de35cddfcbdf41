//! What users type against trees of files: which cgroups are meant, or which line they read.

use super::{Resolved, Rule, TargetArgs, resolve};
use crate::host::cgroup::Hierarchy;
use crate::host::containers::Containers;
use crate::host::proc::fixture::Fixture;
use crate::model::Pod;
use crate::{Error, Result};

const WEB: &str = "/docker/fe5215765b75d118956d04673775e556590714c3bdaa76c21f888cb4a2cc4182";

fn run(fixture: &Fixture, args: &TargetArgs) -> Result<Resolved> {
    let hierarchy = Hierarchy::detect(&fixture.host).unwrap();
    let mut containers = Containers::new(&fixture.host, &hierarchy);
    resolve(args, &fixture.host, &hierarchy, &mut containers)
}

fn args(option: &str, values: &[&str]) -> TargetArgs {
    let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    let mut args = TargetArgs::default();
    match option {
        "cgroup" => args.cgroup = values,
        "container" => args.container = values,
        "pod" => args.pod = values,
        _ => args.pid = values.iter().map(|value| value.parse().unwrap()).collect(),
    }
    args
}

/// `cgroup (label)` of each target.
fn found(fixture: &Fixture, option: &str, values: &[&str]) -> Vec<String> {
    let resolved = run(fixture, &args(option, values)).unwrap();
    let roots = resolved.roots.iter();
    roots
        .map(|root| format!("{} ({})", root.cgroup, root.label))
        .collect()
}

fn not_found(fixture: &Fixture, option: &str, value: &str) -> String {
    match run(fixture, &args(option, &[value])) {
        Err(Error::NotFound(message)) => message,
        other => panic!("{option} {value}: {other:?}"),
    }
}

fn usage(fixture: &Fixture, option: &str, value: &str) -> String {
    match run(fixture, &args(option, &[value])) {
        Err(Error::Usage(message)) => message,
        other => panic!("{option} {value}: {other:?}"),
    }
}

#[test]
fn nothing_typed_is_everything() {
    let fixture = Fixture::new("docker-hybrid");
    let resolved = run(&fixture, &TargetArgs::default()).unwrap();
    assert_eq!(resolved, Resolved::default());
}

#[test]
fn cgroups_by_path_folder_and_pattern() {
    let fixture = Fixture::new("docker-hybrid");
    let web = format!("{WEB} (web)");
    for typed in [
        WEB.to_owned(),
        WEB[1..].to_owned(),
        format!("{WEB}/"),
        format!("/sys/fs/cgroup/cpu{WEB}"),
        format!("/sys/fs/cgroup/memory{WEB}"),
        format!("/sys/fs/cgroup/unified{WEB}/"),
    ] {
        assert_eq!(
            found(&fixture, "cgroup", &[&typed]),
            [web.as_str()],
            "{typed}"
        );
    }
    assert_eq!(found(&fixture, "cgroup", &["/"]), ["/ (/)"]);
    assert_eq!(
        found(&fixture, "cgroup", &["/sys/fs/cgroup/cpu"]),
        ["/ (/)"]
    );
    assert_eq!(
        found(&fixture, "cgroup", &["/bench/*"]),
        ["/bench/a (/bench/a)", "/bench/empty (/bench/empty)"]
    );
    assert_eq!(found(&fixture, "cgroup", &["ben*"]), ["/bench (/bench)"]);
    assert_eq!(
        found(&fixture, "cgroup", &["/sys/fs/cgroup/cpu/bench/[!e]*"]),
        ["/bench/a (/bench/a)"]
    );
    assert_eq!(
        found(&fixture, "cgroup", &["**/init"]),
        [format!("{WEB}/init ({WEB}/init)")]
    );
    // A name without a path, as of a unit.
    assert_eq!(
        found(&fixture, "cgroup", &["empty"]),
        ["/bench/empty (/bench/empty)"]
    );
}

#[test]
fn ids_are_those_of_the_watched_hierarchy() {
    let fixture = Fixture::new("docker-hybrid");
    let typed = format!("/sys/fs/cgroup/unified{WEB}");
    let resolved = run(&fixture, &args("cgroup", &[&typed])).unwrap();
    let expected = fixture.inode(&format!("/sys/fs/cgroup/cpu{WEB}"));
    assert_eq!(resolved.roots[0].id, expected);
}

#[test]
fn the_same_cgroup_counts_once() {
    let fixture = Fixture::new("docker-hybrid");
    let typed = TargetArgs {
        cgroup: vec!["/docker".to_owned(), WEB.to_owned()],
        container: vec!["web".to_owned()],
        ..TargetArgs::default()
    };
    let resolved = run(&fixture, &typed).unwrap();
    let paths: Vec<&str> = resolved
        .roots
        .iter()
        .map(|root| root.cgroup.as_str())
        .collect();
    assert_eq!(paths, ["/docker", WEB]);
}

#[test]
fn cgroups_that_are_not_there() {
    let fixture = Fixture::new("docker-hybrid");
    assert_eq!(
        not_found(&fixture, "cgroup", "/bench/b"),
        "no cgroup /bench/b; did you mean /bench/a, /bench?"
    );
    assert_eq!(
        not_found(&fixture, "cgroup", "emtpy"),
        "no cgroup emtpy; did you mean empty?"
    );
    assert_eq!(
        not_found(&fixture, "cgroup", "/nothing/like/this\x1b]2J"),
        "no cgroup /nothing/like/this?]2J; see: ctprof ps --all"
    );
    assert_eq!(
        not_found(&fixture, "cgroup", "/docker/x*"),
        "no cgroup matches '/docker/x*'; '*' stays within one name, '**' crosses them; see: ctprof ps \
         --all"
    );
    assert_eq!(
        not_found(&fixture, "cgroup", "/sys/fs/cgroup/memory/only-memory"),
        "cgroup /sys/fs/cgroup/memory/only-memory has no counterpart in the hierarchy of the cpu \
         controller (/sys/fs/cgroup/cpu), which is the one that ctprof watches"
    );
    assert!(not_found(&fixture, "cgroup", "/../etc").starts_with("no cgroup /../etc"));
    assert_eq!(
        usage(&fixture, "cgroup", "/a[b"),
        "--cgroup '/a[b' is not a pattern: invalid range pattern"
    );
    assert_eq!(
        usage(&fixture, "cgroup", ""),
        "--cgroup takes a path, a unit or a pattern; got ''"
    );
}

#[test]
fn units() {
    let fixture = Fixture::new("crio-podman-v2");
    assert_eq!(
        found(&fixture, "cgroup", &["blog.service"]),
        ["/system.slice/blog.service (/system.slice/blog.service)"]
    );
    assert_eq!(
        not_found(&fixture, "cgroup", "blug.service"),
        "no cgroup blug.service; did you mean blog.service?"
    );
    // `container` is below every one of the CRI-O and podman containers.
    let message = not_found(&fixture, "cgroup", "container");
    assert!(
        message.starts_with("several cgroups are named container: "),
        "{message}"
    );
    assert!(
        message.ends_with("or the pattern '**/container' for all"),
        "{message}"
    );
    assert_eq!(found(&fixture, "cgroup", &["**/container"]).len(), 3);
}

#[test]
fn containers_by_name_id_and_prefix() {
    let fixture = Fixture::new("docker-hybrid");
    let web = format!("{WEB} (web)");
    for typed in ["web", &WEB[8..], "fe5215765b75", "fe"] {
        assert_eq!(
            found(&fixture, "container", &[typed]),
            [web.as_str()],
            "{typed}"
        );
    }
    assert_eq!(
        found(&fixture, "container", &["api", "web"])
            .iter()
            .map(|root| root.split(' ').nth(1).unwrap())
            .collect::<Vec<_>>(),
        ["(api)", "(web)"]
    );
    assert_eq!(
        not_found(&fixture, "container", "wbe"),
        "no running container wbe; did you mean web?"
    );
    assert_eq!(
        not_found(&fixture, "container", "worker"),
        "no running container worker; did you mean shop-worker-1?"
    );
    assert_eq!(
        not_found(&fixture, "container", "mysql\n"),
        "no running container mysql?; see: ctprof ps"
    );
    assert_eq!(
        not_found(&fixture, "container", "bench/a"),
        "no running container bench/a; it is a cgroup: --cgroup /bench/a"
    );
    assert_eq!(
        usage(&fixture, "container", ""),
        "--container takes a name or an id; got ''"
    );
}

#[test]
fn several_containers_match() {
    let fixture = Fixture::new("crio-podman-v2");
    assert!(found(&fixture, "container", &["4"])[0].ends_with("(redis)"));
    let fixture = Fixture::new("containerd-v2");
    let second = "/sys/fs/cgroup/default/\
                  be11111111111111111111111111111111111111111111111111111111111111";
    fixture.write(&format!("{second}/cgroup.threads"), "9\n");
    assert_eq!(
        not_found(&fixture, "container", "be"),
        "several containers match be: be1111111111 (be1111111111), be4addd26f05 (cache?[31m); use more \
         of the id"
    );
}

#[test]
fn pods() {
    let fixture = Fixture::new("containerd-v2");
    let pod = "shop/hostname-lb-edge-64df67bd8b-xmzhv";
    let labels: Vec<String> = found(&fixture, "pod", &[pod])
        .iter()
        .map(|root| root.split_once(' ').unwrap().1.to_owned())
        .collect();
    assert_eq!(
        labels,
        [format!("({pod}/POD)"), format!("({pod}/hostname)")]
    );
    assert_eq!(
        not_found(&fixture, "pod", "shop/hostname"),
        "no pod shop/hostname on this host; did you mean shop/hostname-lb-edge-64df67bd8b-xmzhv?"
    );
    assert_eq!(
        not_found(&fixture, "pod", "jobs/bathc-1"),
        "no pod jobs/bathc-1 on this host; did you mean jobs/batch-1?"
    );
    for (typed, example) in [
        ("batch-1", "batch-1"),
        ("/batch-1", "batch-1"),
        ("jobs/", "jobs"),
    ] {
        assert_eq!(
            usage(&fixture, "pod", typed),
            format!("--pod takes NAMESPACE/NAME, as in --pod default/{example}; got '{typed}'")
        );
    }
}

#[test]
fn what_comes_later_is_meant_as_it_was_typed() {
    let fixture = Fixture::new("containerd-v2");
    let rules = |option, value: &str| run(&fixture, &args(option, &[value])).unwrap().rules;
    let pod = Pod {
        namespace: "shop".to_owned(),
        name: "hostname-lb-edge-64df67bd8b-xmzhv".to_owned(),
    };
    let named = |pod: Option<&Pod>| Rule::Name {
        name: "hostname".to_owned(),
        pod: pod.cloned(),
    };
    let typed = format!("{}/{}", pod.namespace, pod.name);
    assert_eq!(rules("pod", &typed), [Rule::Pod(pod.clone())]);
    assert_eq!(rules("container", "hostname"), [named(None)]);
    let both = format!("{typed}/hostname");
    assert_eq!(rules("container", &both), [named(Some(&pod))]);
    let mut one_of = args("pod", &[&typed]);
    one_of.container = vec!["hostname".to_owned()];
    let resolved = run(&fixture, &one_of).unwrap();
    assert_eq!(resolved.rules, [named(Some(&pod))]);
    let labels: Vec<&str> = resolved.roots.iter().map(|it| it.label.as_str()).collect();
    assert_eq!(labels, [both.as_str()]);
    let pattern = glob::Pattern::new("/default/*").unwrap();
    assert_eq!(rules("cgroup", "/default/*"), [Rule::Pattern(pattern)]);
    assert_eq!(
        not_found(&fixture, "container", "shop/none/hostname"),
        "no running container shop/none/hostname; see: ctprof ps"
    );
}

#[test]
fn processes() {
    let fixture = Fixture::new("docker-hybrid");
    fixture.write("/proc/10921/status", "Name:\tinit\nTgid:\t10921\n");
    fixture.write("/proc/10922/status", "Name:\tinit\nTgid:\t10921\n");
    fixture.write("/proc/55/status", "Name:\tsshd\nTgid:\t55\n");
    let typed = args("pid", &["10922", "10921", "55"]);
    let resolved = run(&fixture, &typed).unwrap();
    assert_eq!(resolved.roots, []);
    let rows: Vec<(u32, &str, &str)> = resolved
        .processes
        .iter()
        .map(|it| {
            (
                it.pid,
                it.identity.name.as_str(),
                it.identity.cgroup.as_str(),
            )
        })
        .collect();
    assert_eq!(rows, [(10921, "init[10921]", WEB), (55, "sshd[55]", "/")]);
    assert_eq!(
        resolved.notes,
        ["10922 is a thread of process 10921 (init): all of that is meant"]
    );
    assert_eq!(resolved.describe(), "init[10921], sshd[55]");
    assert_eq!(
        not_found(&fixture, "pid", "4242"),
        "no process 4242; it may have ended"
    );
}
