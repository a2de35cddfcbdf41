//! The agent beside real containers: profiles for `go tool pprof`, and the image with the documented capabilities only.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::containers::{burn, image as workload_image};
use crate::daemon::{Container, docker, missing_docker, with_docker};
use crate::harness::agent::Agent;
use crate::harness::needs::{missing_program, skipping};
use crate::harness::{Result, close, ensure, wait_for};
use crate::image;
use crate::load::{Load, free_port};
use crate::programs::{go_server, go_tool, needs_go};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        skipping("agent::go_tool_pprof_on_go_and_c", pprof, || {
            needs_go().or_else(|| missing_program("cc"))
        }),
        with_docker("agent::unknown_container_offers_the_nearest", unknown),
        skipping(
            "agent::the_image_runs_with_its_capabilities_only",
            in_docker,
            || missing_docker().or_else(missing_image),
        ),
    ]
}

const C: &str = "\
volatile unsigned long sum;
__attribute__((noinline)) void mix(long n) { for (long i = 0; i < n; i++) sum += i * i; }
__attribute__((noinline)) void serve(void) { for (;;) mix(1000000); }
int main(void) { serve(); return 0; }
";

/// A program in C, with frame pointers.
fn c_program(folder: &Path) -> Result<PathBuf> {
    let (source, program) = (folder.join("spin.c"), folder.join("spin"));
    std::fs::write(&source, C)?;
    let status = Command::new("cc")
        .args(["-O1", "-fno-omit-frame-pointer", "-static", "-o"])
        .args([&program, &source])
        .status()?;
    ensure!(status.success(), "cc failed");
    Ok(program)
}

/// What `go tool pprof -top URL` prints.
fn top(url: &str, folder: &Path) -> Result<String> {
    let output = Command::new(go_tool().ok_or("the Go toolchain is gone")?)
        // It gives up half as long after the end as the profile is long: too soon for a debug build on a busy machine.
        .args(["tool", "pprof", "-timeout=60", "-top", url])
        .env("PPROF_TMPDIR", folder)
        .output()?;
    ensure!(
        output.status.success(),
        "go tool pprof {url} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Per cent of the time that was spent in the function and what it called.
fn cumulative(top: &str, function: &str) -> Result<f64> {
    let line = top
        .lines()
        .find(|line| line.trim_end().ends_with(&format!(" {function}")))
        .ok_or_else(|| format!("no {function} in {top}"))?;
    let share = line.split_whitespace().nth(4).unwrap_or_default();
    Ok(share.trim_end_matches('%').parse()?)
}

/// Both at once: each profile has its own container's functions, and nothing of the other's.
fn pprof() -> Result {
    let folder = TempDir::new()?;
    let program = c_program(folder.path())?;
    image::make("ctprof-test/spin:1", &[(&program, "/bin/spin")])?;
    let _spin = Container::run(
        "spin",
        &["--network=none", "ctprof-test/spin:1", "/bin/spin"],
    )?;
    let (_go, port) = go_server("pages")?;
    let _load = Load::on(port)?;
    let agent = Agent::start(&[])?;
    let url = |container: &str| {
        let address = agent.address();
        format!("http://{address}/debug/pprof/profile?container={container}&seconds=3")
    };
    let of = |container: &str| {
        top(&url(container), folder.path())
            .map_err(|error| error.message().unwrap_or("no reason").to_owned())
    };
    let (of_go, of_c) = std::thread::scope(|scope| {
        let (go, c) = (scope.spawn(|| of("pages")), scope.spawn(|| of("spin")));
        let panicked = |_| "a client panicked";
        Ok::<_, libtest_mimic::Failed>((
            go.join().map_err(panicked)??,
            c.join().map_err(panicked)??,
        ))
    })?;
    // The rest of a Go server is the network and the runtime.
    let rendering = cumulative(&of_go, "main.renderPage")?;
    ensure!(
        rendering > 30.0,
        "main.renderPage has {rendering} %: {of_go}"
    );
    ensure!(
        cumulative(&of_go, "net/http.(*conn).serve")? > rendering,
        "{of_go}"
    );
    let mixing = cumulative(&of_c, "mix")?;
    ensure!(mixing > 90.0, "mix has {mixing} %: {of_c}");
    // Of functions that call nothing gcc keeps no frame pointer: their callers are missing, not the callers of these.
    ensure!(cumulative(&of_c, "main")? >= mixing, "{of_c}");
    ensure!(!of_c.contains("main.renderPage"), "{of_c}");
    ensure!(
        of_c.contains("Duration: 3") && of_go.contains("Type: on_cpu"),
        "{of_c}{of_go}"
    );
    agent.end()?;
    Ok(())
}

fn unknown() -> Result {
    workload_image()?;
    let _shop = Container::run("shop", &burn("60000"))?;
    let agent = Agent::start(&[])?;
    agent
        .ask("/flamegraph?container=shpo", "")?
        .refuses(404, "no running container shpo; did you mean shop?")?;
    agent.end()?;
    Ok(())
}

/// Where `cargo xtask image` puts what goes into the image.
fn folder_of_image() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/image")
}

fn missing_image() -> Option<String> {
    let is_there = folder_of_image().join("ctprof").is_file();
    (!is_there).then(|| "needs the image's content; run `cargo xtask image --no-docker`".to_owned())
}

/// As docs/agent.md has it: five capabilities, the host's processes and cgroups, nothing else.
fn in_docker() -> Result {
    workload_image()?;
    let folder = folder_of_image();
    docker(&[
        "build",
        "--tag",
        "ctprof-test/ctprof:1",
        &folder.display().to_string(),
    ])?;
    let bytes: u64 = docker(&[
        "image",
        "inspect",
        "--format",
        "{{.Size}}",
        "ctprof-test/ctprof:1",
    ])?
    .parse()?;
    ensure!(bytes < 20_000_000, "the image has {bytes} bytes");
    let _shop = Container::run("shop", &[&["--cpus=0.5"], &burn("120000")[..]].concat())?;
    let listen = format!("127.0.0.1:{}", free_port()?);
    let variable = format!("CTPROF_LISTEN={listen}");
    // A Docker that does not know the first two has what they were split off from.
    let known = Container::run(
        "probe",
        &[&["--cap-add=BPF", "--cap-add=PERFMON"], &burn("1")[..]].concat(),
    );
    let split_off: &[&str] = match &known {
        Ok(_) => &["--cap-add=BPF", "--cap-add=PERFMON"],
        Err(error)
            if error
                .message()
                .is_some_and(|it| it.contains("unknown capability")) =>
        {
            println!("this Docker knows no CAP_BPF: with CAP_SYS_ADMIN instead");
            &["--cap-add=SYS_ADMIN"]
        }
        Err(error) => return Err(error.clone()),
    };
    let _agent = Container::run(
        "ctprof",
        &[
            split_off,
            &[
                "--network=host",
                "--pid=host",
                "--read-only",
                "--volume=/sys/fs/cgroup:/sys/fs/cgroup:ro",
                "--security-opt=no-new-privileges",
                "--security-opt=apparmor=unconfined",
                "--cap-drop=ALL",
                "--cap-add=SYS_PTRACE",
                "--cap-add=DAC_READ_SEARCH",
                "--cap-add=SYSLOG",
                "--env",
                &variable,
                "ctprof-test/ctprof:1",
            ],
        ]
        .concat(),
    )?;
    let agent = wait_for("the agent in its container", || {
        let agent = Agent::at(&listen);
        let is_ready = agent
            .ask("/readyz", "")
            .is_ok_and(|answer| answer.code == 200);
        if !is_ready && docker(&["ps", "--quiet", "--filter", "name=^ctprof$"])?.is_empty() {
            let log = docker(&["logs", "ctprof"]).unwrap_or_default();
            return Err(format!("it ended: {log}").into());
        }
        Ok(is_ready.then_some(agent))
    })?;
    let first = agent.scrape()?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    let second = agent.scrape()?;
    let label = ["container=\"shop\""];
    let grown = |name: &str| second.sum(name, &label) - first.sum(name, &label);
    let (ran, stopped) = (
        grown("ctprof_on_cpu_seconds_total"),
        grown("ctprof_throttled_seconds_total"),
    );
    // Two threads that could always run: what they did not get is in one of two states, whatever else the machine does.
    // A wait counts when it is over: one of each thread may be in progress at either end.
    #[allow(clippy::cast_precision_loss, reason = "2^52 ns are 52 days")]
    let window = (second.asked_ns - first.asked_ns) as f64 / 1e9;
    let waited = grown("ctprof_run_queue_seconds_total");
    close("states", ran + waited + stopped, 2.0 * window, 0.15)?;
    ensure!(
        ran < 0.6 * window,
        "shop ran for {ran} s of {window} s with half a CPU"
    );
    // Where others leave it less than its limit, nothing has to stop it.
    ensure!(
        stopped > 0.1 * window || ran < 0.45 * window,
        "shop ran for {ran} s and was stopped for {stopped} s of {window} s"
    );
    let graph = agent.ask("/flamegraph?container=shop&seconds=2", "")?;
    ensure!(graph.code == 200, "{}", graph.text());
    ensure!(graph.text().contains("alpha"), "no alpha in the graph");
    Ok(())
}
