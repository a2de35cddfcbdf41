//! Programs that people run in containers, each with the function names that its author would look for.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{Container, docker, missing_docker};
use crate::harness::ctprof::Ctprof;
use crate::harness::needs::skipping;
use crate::harness::recording::Recording;
use crate::harness::unpacked;
use crate::harness::{Result, ensure};
use crate::image;
use crate::load::{Load, free_port};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        skipping("programs::redis_under_benchmark", redis, || {
            needs(&["redis-server", "redis-benchmark"])
        }),
        skipping("programs::nginx_under_load", nginx, || needs(&["nginx"])),
        skipping("programs::stripped_go_server", go, needs_go),
        skipping("programs::python", python, || needs(&["python3"])),
        skipping("programs::bash", bash, || needs(&["bash"])),
        skipping("programs::node_with_perf_map", node, || needs(&["node"])),
    ]
}

pub(crate) fn needs(programs: &[&str]) -> Option<String> {
    missing_docker().or_else(|| unpacked::missing(programs))
}

pub(crate) fn needs_go() -> Option<String> {
    missing_docker().or_else(|| {
        go_tool()
            .is_none()
            .then(|| "needs the Go toolchain".to_owned())
    })
}

pub(crate) fn go_tool() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join("go"))
        .find(|path| path.is_file())
}

pub(crate) fn path(program: &str) -> Result<PathBuf> {
    Ok(unpacked::find(program).ok_or("the program is gone")?)
}

/// Records the container for six seconds, at a rate at which a function with 1 % has 30 samples.
fn record(container: &str) -> Result<Recording> {
    let folder = TempDir::new()?;
    let dir = folder.path().join("recording");
    Ctprof::record(
        &dir,
        &[
            "--duration",
            "6s",
            "--frequency",
            "999",
            "--container",
            container,
        ],
    )
    .run()?
    .recording(&dir)
}

/// Fails unless each of the names is in some stack.
fn expect(recording: &Recording, names: &[&str]) -> Result {
    for name in names {
        ensure!(
            recording.folded.with(name) > 0,
            "no {name} in {} ns of stacks",
            recording.folded.total()
        );
    }
    Ok(())
}

/// Fails unless the stacks of the container's programs reach the root, but for those that were taken before there were tables,
/// which a build for debugging makes slowly; those may not be most of them.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn whole(recording: &Recording) -> Result {
    let stacks = &recording.summary["containers"][0]["stacks"];
    let count = |of: &Value| of.as_u64().unwrap_or(0);
    let complete = count(&stacks["complete"]);
    let early = ["no_table_yet", "frame_pointers"];
    let cut = stacks["cut"].as_object().ok_or("no stacks/cut")?;
    let cut = cut
        .iter()
        .filter(|(cause, _)| !early.contains(&cause.as_str()));
    let cut: u64 = cut.map(|(_, number)| count(number)).sum();
    let share = complete as f64 / (complete + cut).max(1) as f64;
    let settled = complete * 2 > count(&stacks["truncated"]);
    ensure!(
        share >= 0.98 && settled,
        "{:.1} % of stacks are whole: {stacks}",
        share * 100.0
    );
    Ok(())
}

/// Fails unless the stacks with the first and the last of these functions have all of them in this order, from the root on.
fn called(recording: &Recording, chain: &[&str]) -> Result {
    let (Some(first), Some(last)) = (chain.first(), chain.last()) else {
        return Ok(());
    };
    let (mut all, mut by_chain) = (0, 0);
    for (frames, ns) in recording.folded.each() {
        let has = |name: &str| frames.iter().any(|frame| frame == name);
        if has(first) && has(last) {
            all += ns;
            let mut frames = frames.iter();
            let is_chain = chain.iter().all(|it| frames.any(|frame| frame == it));
            by_chain += if is_chain { ns } else { 0 };
        }
    }
    ensure!(
        all > 0 && by_chain == all,
        "{by_chain} ns of {all} in {chain:?}"
    );
    Ok(())
}

/// Debian strips it, but its dynamic symbols name its functions.
fn redis() -> Result {
    let (server, benchmark) = (path("redis-server")?, path("redis-benchmark")?);
    image::make(
        "ctprof-test/redis:1",
        &[
            (&server, "/bin/redis-server"),
            (&benchmark, "/bin/redis-benchmark"),
        ],
    )?;
    let args = [
        "--network=none",
        "ctprof-test/redis:1",
        "/bin/redis-server",
        "--save",
        "",
    ];
    let _cache = Container::run("cache", &args)?;
    let load = [
        "exec",
        "--detach",
        "cache",
        "/bin/redis-benchmark",
        "-q",
        "-t",
        "get,set",
        "-n",
        "100000000",
    ];
    docker(&load)?;
    let recording = record("cache")?;
    let names = ["redis-server", "redis-benchmark", "readQueryFromClient"];
    expect(&recording, &names)?;
    let chain = [
        "main",
        "aeMain",
        "readQueryFromClient",
        "processCommand",
        "call",
    ];
    called(&recording, &chain)?;
    whole(&recording)
}

fn nginx() -> Result {
    let server = path("nginx")?;
    let port = free_port()?;
    let folder = TempDir::new()?;
    let config = folder.path().join("nginx.conf");
    std::fs::write(
        &config,
        format!(
            "daemon off; user root root; error_log stderr; pid /tmp/pid; worker_processes 1; events {{}}
             http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path /tmp/a;
             proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 hello; }} }} }}"
        ),
    )?;
    image::make(
        "ctprof-test/nginx:1",
        &[(&server, "/bin/nginx"), (&config, "/nginx.conf")],
    )?;
    let args = [
        "--network=host",
        "ctprof-test/nginx:1",
        "/bin/nginx",
        "-c",
        "/nginx.conf",
    ];
    let _web = Container::run("web", &args)?;
    let _load = Load::on(port)?;
    let recording = record("web")?;
    // Debian builds it without frame pointers.
    let chain = [
        "main",
        "ngx_master_process_cycle",
        "ngx_spawn_process",
        "ngx_process_events_and_timers",
        "ngx_http_core_run_phases",
    ];
    called(&recording, &chain)?;
    whole(&recording)
}

/// A server in Go, stripped, in a container of this name, and the port it listens on.
pub(crate) fn go_server(name: &str) -> Result<(Container, u16)> {
    let tool = go_tool().ok_or("the Go toolchain is gone")?;
    let folder = TempDir::new()?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docker/server.go");
    std::fs::copy(source, folder.path().join("main.go"))?;
    let server = folder.path().join("server");
    let status = Command::new(tool)
        .current_dir(folder.path())
        .env("CGO_ENABLED", "0")
        .env("GO111MODULE", "off")
        .args(["build", "-ldflags=-s -w", "-o"])
        .args([&server, Path::new("main.go")])
        .status()?;
    ensure!(status.success(), "go build failed");
    image::make("ctprof-test/go:1", &[(&server, "/bin/server")])?;
    let port = free_port()?;
    let listen = format!("127.0.0.1:{port}");
    let args = ["--network=host", "ctprof-test/go:1", "/bin/server", &listen];
    Ok((Container::run(name, &args)?, port))
}

/// No symbols, no DWARF: names and inlined functions come from the tables of Go's own runtime.
fn go() -> Result {
    let (_go, port) = go_server("go")?;
    let _load = Load::on(port)?;
    let recording = record("go")?;
    expect(
        &recording,
        &[
            "main.renderPage",
            "main.handler",
            "net/http.(*conn).serve",
            "runtime.goexit",
        ],
    )?;
    expect(&recording, &["main.digest_[i]"])?;
    let chain = ["runtime.goexit", "net/http.(*conn).serve", "main.handler"];
    called(&recording, &chain)?;
    whole(&recording)
}

fn python() -> Result {
    let interpreter = path("python3")?.canonicalize()?;
    let name = interpreter
        .file_name()
        .ok_or("no file name")?
        .to_string_lossy()
        .into_owned();
    let library = PathBuf::from(format!("/usr/lib/{name}"));
    let script = "\
def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nwhile True:\n    fib(20)\n";
    let to = library.to_string_lossy().into_owned();
    image::make(
        "ctprof-test/python:1",
        &[(&interpreter, "/usr/bin/python"), (&library, &to)],
    )?;
    let args = [
        "--network=none",
        "ctprof-test/python:1",
        "/usr/bin/python",
        "-c",
        script,
    ];
    let _python = Container::run("python", &args)?;
    let recording = record("python")?;
    expect(&recording, &["_PyEval_EvalFrameDefault"])?;
    whole(&recording)
}

/// A shell that starts processes, each of which is a fork of it before it is something else.
fn bash() -> Result {
    let (shell, sleep) = (path("bash")?, path("true")?);
    image::make(
        "ctprof-test/bash:1",
        &[(&shell, "/bin/bash"), (&sleep, "/bin/true")],
    )?;
    let script = "f() { local i; for i in {1..300}; do :; done; /bin/true; }; while :; do f; done";
    let args = [
        "--network=none",
        "ctprof-test/bash:1",
        "/bin/bash",
        "-c",
        script,
    ];
    let _bash = Container::run("bash", &args)?;
    let recording = record("bash")?;
    called(&recording, &["main", "execute_command_internal"])?;
    whole(&recording)
}

/// The functions exist in memory only; node writes their names to a file inside the container.
fn node() -> Result {
    let node = path("node")?;
    let folder = TempDir::new()?;
    let script = folder.path().join("app.js");
    std::fs::write(
        &script,
        "function hotLoop(n) { let s = 0; for (let i = 0; i < n; i++) s += (i * i) % 7; return s; }\n\
         function serve() { const end = Date.now() + 50; while (Date.now() < end) hotLoop(1e6); setTimeout(serve, 0); }\n\
         serve();\n",
    )?;
    image::make(
        "ctprof-test/node:1",
        &[(&node, "/bin/node"), (&script, "/app.js")],
    )?;
    let args = [
        "--network=none",
        "ctprof-test/node:1",
        "/bin/node",
        "--perf-basic-prof",
        "--interpreted-frames-native-stack",
        "/app.js",
    ];
    let _node = Container::run("node", &args)?;
    // The JIT compiler takes a moment until the loop is a function of its own.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let recording = record("node")?;
    expect(&recording, &["node::Start"])?;
    let on_cpu = recording.folded.state("on_cpu");
    let jit = on_cpu.matching(|frame| frame.starts_with("JS:") && frame.contains("/app.js"));
    ensure!(
        jit * 2 > on_cpu.total(),
        "JavaScript has {jit} ns of {}",
        on_cpu.total()
    );
    Ok(())
}
