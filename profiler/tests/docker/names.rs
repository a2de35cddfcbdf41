//! Names that repeat, and names that are ours: rows and culprits of the agent are told apart.

use std::thread::sleep;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::containers::{image, workload};
use crate::daemon::{Container, with_docker};
use crate::harness::agent::{Agent, Scrape};
use crate::harness::cgroup::Cgroup;
use crate::harness::{Result, close, ensure};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        with_docker("names::a_container_named_host_is_not_the_host", ours),
        with_docker("names::containers_of_one_name_in_two_pods", repeated),
        with_docker("names::a_pod_has_what_its_own_cgroup_has", of_a_pod),
    ]
}

/// Two scrapes, seconds apart.
fn two_scrapes(agent: &Agent) -> Result<[Scrape; 2]> {
    sleep(Duration::from_millis(1_500));
    let first = agent.scrape()?;
    sleep(Duration::from_millis(2_500));
    let second = agent.scrape()?;
    second.grew_from(&first)?;
    Ok([first, second])
}

fn grown(scrapes: &[Scrape; 2], name: &str, labels: &[&str]) -> f64 {
    scrapes[1].sum(name, labels) - scrapes[0].sum(name, labels)
}

fn ours() -> Result {
    image()?;
    let burn = workload(&["burn", "--ms", "60000"]);
    let container = [&["--cpuset-cpus=1"], &burn[..]].concat();
    let _host = Container::run("host", &container)?;
    let _idle = Container::run("idle", &container)?;
    let agent = Agent::start(&[])?;
    let scrapes = two_scrapes(&agent)?;
    for (victim, culprit) in [
        ("docker:host", "docker:idle"),
        ("docker:idle", "docker:host"),
    ] {
        let victim = format!("container=\"{victim}\"");
        let ran = format!("container=\"{culprit}\"");
        let by = format!("culprit=\"{culprit}\"");
        let ran = grown(&scrapes, "ctprof_on_cpu_seconds_total", &[&ran]);
        let delayed = grown(&scrapes, "ctprof_delayed_by_seconds_total", &[&victim, &by]);
        close("delay by the other one", delayed, ran, 0.1)?;
    }
    let info = |name: &str| {
        let label = format!("container=\"{name}\"");
        scrapes[1].find("ctprof_container_info", &[&label]).count()
    };
    ensure!(info("host") == 1 && info("idle") == 0, "rows are mixed up");
    agent.end()?;
    Ok(())
}

/// A pod's cgroup in an arena of its own. Docker makes it in hierarchies that it is not in, and leaves it there.
struct Pod {
    cgroup: Option<Cgroup>,
    path: String,
    name: &'static str,
}

impl Pod {
    fn new(arena: &Cgroup, name: &'static str, uid: u32) -> Result<Self> {
        let cgroup = arena.child(&format!("pod0f3c1d2e-5b6a-4c7d-8e9f-{uid:012}"))?;
        Ok(Self {
            path: cgroup.path().to_owned(),
            cgroup: Some(cgroup),
            name,
        })
    }

    /// A container of it that is called `app` in Kubernetes.
    fn run(&self, name: &str, of_docker: &str, args: &[&str]) -> Result<Container> {
        let labels = [
            format!("--label=io.kubernetes.container.name={name}"),
            format!("--label=io.kubernetes.pod.name={}", self.name),
            "--label=io.kubernetes.pod.namespace=shop".to_owned(),
            format!("--cgroup-parent={}", self.path),
        ];
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        Container::run(of_docker, &[&labels, args].concat())
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        drop(self.cgroup.take());
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
        for hierarchy in hierarchies.flatten() {
            let folder = hierarchy.path().join(&self.path[1..]);
            // The last pod takes the arena with it.
            for folder in folder.ancestors().take(2) {
                let _ = std::fs::remove_dir(folder);
            }
        }
    }
}

/// Two containers called `app`, each in a pod of its own, and a third that waits for both.
fn repeated() -> Result {
    image()?;
    let arena = Cgroup::arena("names")?;
    let pods = [Pod::new(&arena, "web-a", 1)?, Pod::new(&arena, "web-b", 2)?];
    let burn = workload(&["burn", "--ms", "60000"]);
    let args = [&["--cpuset-cpus=1"], &burn[..]].concat();
    let containers = [
        pods[0].run("app", "k8s_app_web-a", &args)?,
        pods[1].run("app", "k8s_app_web-b", &args)?,
        pods[1].run("side", "k8s_side_web-b", &args)?,
    ];
    let agent = Agent::start(&[])?;
    let scrapes = two_scrapes(&agent)?;
    let victim = ["container=\"side\"", "pod=\"web-b\""];
    for pod in ["web-a", "web-b"] {
        let row = ["container=\"app\"".to_owned(), format!("pod=\"{pod}\"")];
        let ran = grown(&scrapes, "ctprof_on_cpu_seconds_total", &[&row[0], &row[1]]);
        let by = format!("culprit=\"shop/{pod}/app\"");
        let delayed = grown(
            &scrapes,
            "ctprof_delayed_by_seconds_total",
            &[victim[0], victim[1], &by],
        );
        close("delay by one of the two", delayed, ran, 0.1)?;
    }
    agent.end()?;
    drop(containers);
    drop(pods);
    Ok(())
}

/// The quota is the pod's, and so are the periods in which it ran out; its containers have none.
fn of_a_pod() -> Result {
    image()?;
    let arena = Cgroup::arena("pods")?;
    let pod = Pod::new(&arena, "web-a", 3)?;
    if let Some(cgroup) = &pod.cgroup {
        cgroup.limit(0.4)?;
    }
    let burn = workload(&["burn", "--ms", "60000"]);
    let sleep_long = workload(&["sleep", "--ms", "60000"]);
    let containers = [
        pod.run("app", "k8s_app_web-a", &burn)?,
        pod.run("POD", "k8s_POD_web-a", &sleep_long)?,
        pod.run("side", "k8s_side_web-a", &burn)?,
    ];
    let agent = Agent::start(&["--by", "pod"])?;
    let scrapes = two_scrapes(&agent)?;
    let row = ["pod=\"web-a\"", "namespace=\"shop\""];
    let quota = scrapes[1].get("ctprof_cpu_quota_cores", &row)?;
    ensure!((quota - 0.4).abs() < 0.001, "the quota is {quota}");
    let threads = scrapes[1].get("ctprof_threads", &row)?;
    ensure!(threads >= 3.0, "{threads} threads of three containers");
    let seconds = (scrapes[1].asked_ns - scrapes[0].asked_ns) as f64 / 1e9;
    let periods = grown(&scrapes, "ctprof_cfs_throttled_periods_total", &row);
    close("periods a second", periods, seconds * 10.0, 0.3)?;
    let cgroup = format!("cgroup=\"{}\"", pod.path);
    let info = ["pod=\"web-a\"", "id=\"\"", "image=\"\"", &cgroup];
    scrapes[1].get("ctprof_container_info", &info)?;
    agent.end()?;
    drop(containers);
    drop(pod);
    Ok(())
}
