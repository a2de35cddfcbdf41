//! Programs that people run in containers, each with the function names that its author would look for.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
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

/// Records the container for three seconds, at a rate at which a function with 1 % has 30 samples.
fn record(container: &str) -> Result<Recording> {
    let folder = TempDir::new()?;
    let dir = folder.path().join("recording");
    Ctprof::record(
        &dir,
        &[
            "--duration",
            "3s",
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
    expect(
        &record("cache")?,
        &[
            "redis-server",
            "redis-benchmark",
            "readQueryFromClient",
            "call",
        ],
    )
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
    // Debian builds it without frame pointers: only where the CPU is in its own code is that code seen, which is
    // a small part of a server that mostly calls the kernel.
    let own = recording.folded.matching(|frame| frame.starts_with("ngx_"));
    ensure!(
        own > 0,
        "none of nginx' own functions in {} ns",
        recording.folded.total()
    );
    Ok(())
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
    expect(&recording, &["main.digest_[i]"])
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
    expect(&record("python")?, &["_PyEval_EvalFrameDefault"])
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
