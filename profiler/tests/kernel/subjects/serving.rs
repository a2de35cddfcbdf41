//! What the agent answers over HTTP, to whoever behaves and to whoever does not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::agent::{Agent, Answer};
use crate::harness::needs::privileged;
use crate::harness::{Result, emulated, ensure};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("serving::pages_and_formats", pages),
        privileged("serving::bad_requests_get_one_line", bad_requests),
        privileged("serving::a_thousand_idle_connections", idle),
        privileged("serving::clients_that_do_not_read", slow),
        privileged("serving::foreign_names_are_refused", foreign),
    ]
}

fn pages() -> Result {
    let agent = Agent::start(&[])?;
    for (page, kind, part) in [
        ("/", "text/html; charset=utf-8", "<title>ctprof on "),
        ("/healthz", "text/plain; charset=utf-8", "alive\n"),
        ("/readyz", "text/plain; charset=utf-8", "ready\n"),
        (
            "/metrics",
            "text/plain; version=0.0.4; charset=utf-8",
            "\nprocess_start_time_seconds",
        ),
    ] {
        let answer = agent.ask(page, "")?;
        ensure!(answer.code == 200, "{page}: {}", answer.head);
        let kind = format!("content-type: {kind}");
        ensure!(
            answer.head.contains(&kind),
            "{page}: no {kind} in {}",
            answer.head
        );
        ensure!(
            answer.text().contains(part),
            "{page}: no {part} in {}",
            answer.text()
        );
    }
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let open = agent.ask("/metrics", accept)?;
    ensure!(
        open.head
            .contains("application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{}",
        open.head
    );
    ensure!(open.text().ends_with("# EOF\n"), "no end: {}", open.text());
    let packed = agent.ask("/metrics", "Accept-Encoding: gzip\r\n")?;
    ensure!(
        packed.head.contains("content-encoding: gzip"),
        "{}",
        packed.head
    );
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*packed.body).read_to_string(&mut text)?;
    ensure!(text.contains("\nprocess_start_time_seconds"), "{text}");
    ensure!(
        packed.body.len() * 3 < text.len(),
        "{} bytes for {}",
        packed.body.len(),
        text.len()
    );
    agent.end()?;
    Ok(())
}

fn bad_requests() -> Result {
    let agent = Agent::start(&["--max-profile-time", "2m"])?;
    for (path, code, text) in [
        ("/nope", 404, "no such page; there are / /healthz"),
        (
            "/debug/pprof/profile?seconds=1e9",
            400,
            "seconds: '1e9' is no number from 1 to 120",
        ),
        (
            "/debug/pprof/profile?seconds=0",
            400,
            "seconds: '0' is no number from 1 to 120",
        ),
        (
            "/debug/pprof/profile?seconds=121",
            400,
            "seconds: '121' is no number from 1 to 120",
        ),
        (
            "/flamegraph?contaner=web",
            400,
            "no key 'contaner' here; did you mean container?",
        ),
        ("/flamegraph?debug=1", 400, "no key 'debug' here"),
        (
            "/flamegraph?state=of-cpu",
            400,
            "state: 'of-cpu' is none of all, on-cpu, off-cpu",
        ),
        (
            "/flamegraph?container=no-such-container",
            404,
            "no running container no-such-container",
        ),
        (
            "/flamegraph?container=a%0ab%1b%5b31m",
            404,
            "no running container a?b?[31m",
        ),
        ("/flamegraph?pod=web", 400, "--pod takes NAMESPACE/NAME"),
        (
            "/flamegraph?cgroup=",
            400,
            "--cgroup takes a path, a unit or a pattern; got ''",
        ),
        (
            "/debug/pprof/profile?debug=0&gc=1&container=no-such-one",
            404,
            "no running container no-such-one",
        ),
    ] {
        agent.ask(path, "")?.refuses(code, text)?;
    }
    // 10 KB are a long name, 20 KB too long a request.
    let long = format!("/flamegraph?container={}", "x".repeat(10_000));
    agent
        .ask(&long, "")?
        .refuses(404, "no running container xxx")?;
    let request = |line: &str, rest: &str| {
        agent
            .send(
                format!("{line}\r\nHost: localhost\r\nConnection: close\r\n{rest}\r\n").as_bytes(),
            )
            .and_then(|bytes| Answer::parse(&bytes))
    };
    let headers = "X-A: 1\r\n".repeat(100);
    let huge = format!("X-A: {}\r\n", "x".repeat(40_000));
    let page = "GET /healthz HTTP/1.1";
    for (line, rest, code) in [
        (page, "", 200),
        (page, headers.as_str(), 431),
        (page, huge.as_str(), 431),
        ("POST /metrics HTTP/1.1", "", 405),
        ("HEAD /flamegraph HTTP/1.1", "", 405),
        ("GET /healthz HTTP/9.9", "", 400),
        ("nonsense", "", 400),
    ] {
        let answer = request(line, rest)?;
        ensure!(
            answer.code == code,
            "{line}: {} instead of {code}",
            answer.code
        );
    }
    // A body that nobody asked for, longer than it says.
    let body = [
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n".as_slice(),
        &[b'x'; 1 << 20],
    ]
    .concat();
    agent.send(&body)?;
    agent.send(&[0xff; 100_000])?;
    let scrape = agent.scrape()?;
    let count = |page: &str, code: &str| {
        scrape.sum(
            "ctprof_http_requests_total",
            &[&format!("page=\"{page}\""), &format!("code=\"{code}\"")],
        )
    };
    for (page, code, expected) in [
        ("other", "404", 1.0),
        ("/flamegraph", "400", 5.0),
        ("/flamegraph", "404", 3.0),
        ("/debug/pprof/profile", "400", 3.0),
        ("/metrics", "405", 1.0),
    ] {
        let counted = count(page, code);
        ensure!(
            (counted - expected).abs() < 0.5,
            "{page} {code}: {counted} instead of {expected}"
        );
    }
    let log = agent.end()?;
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}

/// They get in nobody's way, and the last ones are no better than the first.
fn idle() -> Result {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )?;
    let agent = Agent::start(&[])?;
    let mut idle = Vec::new();
    for number in 0..1_000 {
        let mut stream = TcpStream::connect(agent.address())?;
        if number % 2 == 0 {
            // One that never comes to its end.
            stream.write_all(b"GET /metrics HTT")?;
        }
        idle.push(stream);
    }
    for _ in 0..5 {
        let asked = Instant::now();
        let scrape = agent.scrape()?;
        let took = asked.elapsed();
        let most = Duration::from_millis(if emulated() { 5_000 } else { 500 });
        ensure!(
            took < most,
            "a scrape beside idle connections took {took:?}"
        );
        let open = scrape.get("ctprof_http_connections", &[])?;
        ensure!(open <= 256.0, "{open} connections are open");
        let evicted = scrape.get("ctprof_http_connections_evicted_total", &[])?;
        ensure!(
            (745.0..=760.0).contains(&evicted),
            "{evicted} of 1000 were closed to make room for others"
        );
    }
    drop(idle);
    agent.end()?;
    Ok(())
}

/// Answers that nobody takes wait in the socket, not in the agent's way.
fn slow() -> Result {
    let agent = Agent::start(&[])?;
    let mut deaf = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(agent.address())?;
        let requests = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
        stream.set_write_timeout(Some(Duration::from_millis(200)))?;
        let _ = stream.write_all(requests.as_bytes());
        deaf.push(stream);
    }
    let first = agent.scrape()?;
    std::thread::sleep(Duration::from_secs(1));
    let asked = Instant::now();
    let second = agent.scrape()?;
    ensure!(
        asked.elapsed() < Duration::from_secs(2),
        "a scrape took {:?}",
        asked.elapsed()
    );
    let grown = second.get("process_resident_memory_bytes", &[])?
        - first.get("process_resident_memory_bytes", &[])?;
    ensure!(grown < 8e6, "grew by {grown} bytes while nobody read");
    // It does not wait for them for ever either.
    let asked = Instant::now();
    agent.end()?;
    ensure!(
        asked.elapsed() < Duration::from_secs(15),
        "its end took {:?}",
        asked.elapsed()
    );
    Ok(())
}

/// A page from elsewhere whose name points here cannot record, nor read what a browser would show.
fn foreign() -> Result {
    let ask = |agent: &Agent, path: &str, host: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        Answer::parse(&agent.send(request.as_bytes())?)
    };
    let agent = Agent::start(&[])?;
    for path in [
        "/",
        "/flamegraph?seconds=1",
        "/debug/pprof/profile?seconds=1",
    ] {
        ask(&agent, path, "evil.example:9464")?
            .refuses(403, "this host is not called 'evil.example:9464' here")?;
    }
    let absolute =
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    Answer::parse(&agent.send(absolute)?)?.refuses(403, "not called 'evil.example' here")?;
    for (path, host, code) in [
        ("/", "127.0.0.1:9464", 200),
        ("/", "[::1]", 200),
        ("/", "localhost", 200),
        // What Prometheus and kubelet call it, nobody here knows.
        ("/metrics", "ctprof.ctprof.svc:9464", 200),
        ("/healthz", "evil.example", 200),
        ("/readyz", "evil.example", 200),
    ] {
        let answer = ask(&agent, path, host)?;
        ensure!(answer.code == code, "{path} at {host}: {}", answer.code);
    }
    let made = agent.scrape()?.sum("ctprof_profiles_total", &[]);
    ensure!(made < 0.5, "{made} recordings were made");
    agent.end()?;
    let agent = Agent::start(&["--web-host", "ctprof.ctprof.svc,Node1.example."])?;
    for (path, host, code) in [
        ("/", "node1.example:80", 200),
        ("/metrics", "ctprof.ctprof.svc:9464", 200),
        ("/metrics", "evil.example", 403),
        ("/healthz", "evil.example", 200),
    ] {
        let answer = ask(&agent, path, host)?;
        ensure!(answer.code == code, "{path} at {host}: {}", answer.code);
    }
    agent.end()?;
    Ok(())
}
