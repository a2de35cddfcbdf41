//! Debug information from a server, which is one: it listens on loopback.

mod server;
mod stripped;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctprof::symbolize::debuginfod::{Keep, Servers, Settings};
use ctprof::symbolize::{Options, Problem, Symbolizer};

use server::{Server, send};
use stripped::Stripped;

use crate::support::{Program, compile, has, needs, run, skip, symbolizer};

/// What is missing to run these tests.
fn missing() -> Option<&'static str> {
    if !has("objcopy") || !has("strip") {
        return Some("no binutils");
    }
    needs()
}
#[test]
fn names_and_lines_come_from_a_server_and_then_from_the_cache() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let it = Stripped::new();
    let server = Server::with(&it.build_id, it.debug.clone());
    it.named(it.settings(&[&server])).expect_all();
    assert_eq!(server.requests(), 1);
    let head = server.heads.lock().unwrap()[0].to_ascii_lowercase();
    assert!(head.contains("\nhost: 127.0.0.1:"), "{head}");
    assert!(head.contains("\nuser-agent: ctprof/"), "{head}");
    assert_eq!(std::fs::read(it.kept()).unwrap(), it.debug);
    let mode = it.kept().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    it.named(it.settings(&[&server])).expect_all();
    assert_eq!(server.requests(), 1, "it was in the cache");
    // What is damaged there is fetched again.
    std::fs::write(it.kept(), "garbage").unwrap();
    it.named(it.settings(&[&server])).expect_all();
    assert_eq!(server.requests(), 2);
    // So is what somebody removed since.
    let servers = Arc::new(Servers::new(it.settings(&[&server]), Keep::OnDisk));
    for requests in [2, 3] {
        let symbolizer = Symbolizer::new(Options {
            debuginfod: Some(Arc::clone(&servers)),
            ..Options::default()
        });
        it.named_by(symbolizer, Duration::from_secs(60))
            .expect_all();
        assert_eq!(server.requests(), requests);
        std::fs::remove_file(it.kept()).unwrap();
    }
}

#[test]
fn nobody_is_asked_without_a_server_or_a_need() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let it = Stripped::new();
    let off = it.named_by(symbolizer(), Duration::from_secs(60));
    assert_eq!(off.problems, []);
    assert!(off.names[1][0].0.starts_with("[program+0x"));

    let server = Server::new(|_, stream| send(stream, "404 Not Found", b""));
    let path = it.dir.path().join("whole");
    compile("cc", "program.c", &path, &["-O2", "-g"]);
    let whole = Stripped {
        program: Program::start(&path),
        build_id: String::new(),
        debug: Vec::new(),
        dir: tempfile::tempdir().unwrap(),
    };
    whole.named(whole.settings(&[&server])).expect_all();
    assert_eq!(server.requests(), 0);
}

#[test]
fn that_nobody_has_it_is_said_and_remembered() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let it = Stripped::new();
    let server = Server::new(|_, stream| send(stream, "404 Not Found", b"no"));
    for _ in 0..2 {
        let named = it.named(it.settings(&[&server]));
        named.expect_only_exported(Problem::ServersHaveNone);
        assert_eq!(server.requests(), 1);
    }
    assert_eq!(it.kept().metadata().unwrap().len(), 0);
}

#[test]
fn a_silent_server_holds_nobody_up_and_is_given_up() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let it = Stripped::new();
    let silent = || Server::new(|_, _| std::thread::sleep(Duration::from_secs(60)));
    let server = silent();
    let time = Duration::from_secs(3);
    let named = it.named_within(it.settings(&[&server]), time);
    named.expect_only_exported(Problem::ServersLate);
    assert!(named.took < time, "{:?}", named.took);
    assert_eq!(server.requests(), 1);
    // By its own timeout.
    let mut settings = it.settings(&[&server]);
    settings.timeout = Duration::from_millis(300);
    let named = it.named(settings);
    named.expect_only_exported(Problem::ServersFailed);
    assert!(named.took < Duration::from_secs(20), "{:?}", named.took);
    // Another is asked at the same time.
    let good = Server::with(&it.build_id, it.debug.clone());
    let named = it.named(it.settings(&[&server, &good]));
    named.expect_all();
    assert!(named.took < Duration::from_secs(20), "{:?}", named.took);
}

#[test]
fn what_a_server_sends_is_not_believed() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let it = Stripped::new();
    let foreign = {
        // As if it were of another build.
        let id = it.build_id.as_bytes().chunks(2);
        let id: Vec<u8> = id
            .map(|hex| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap())
            .collect();
        let at = it.debug.windows(id.len()).position(|part| part == id);
        let mut bytes = it.debug.clone();
        bytes[at.unwrap()] ^= 1;
        bytes
    };
    let half = it.debug[..it.debug.len() / 2].to_vec();
    let (short, cut) = (half.clone(), half.clone());
    let size = it.debug.len();
    let bad: Vec<(&str, Server, Problem)> = vec![
        (
            "garbage",
            Server::with(&it.build_id, b"<html>not here</html>".to_vec()),
            Problem::ServersForeign,
        ),
        (
            "nothing",
            Server::with(&it.build_id, Vec::new()),
            Problem::ServersForeign,
        ),
        (
            "another build",
            Server::with(&it.build_id, foreign),
            Problem::ServersForeign,
        ),
        (
            "half",
            Server::with(&it.build_id, half),
            Problem::ServersForeign,
        ),
        (
            "less than announced",
            Server::new(move |_, stream| {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&short);
            }),
            Problem::ServersFailed,
        ),
        (
            "less than announced otherwise",
            Server::new(move |_, stream| {
                let head = format!("HTTP/1.0 200 OK\r\nX-DEBUGINFOD-SIZE: {size}\r\n\r\n");
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&cut);
            }),
            Problem::ServersFailed,
        ),
        (
            "more than the limit",
            Server::new(|_, stream| {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40);
                let _ = stream.write_all(head.as_bytes());
            }),
            Problem::ServersTooLarge,
        ),
        (
            "without end",
            Server::new(|_, stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while stream.write_all(&[0x7f; 1 << 16]).is_ok() {}
            }),
            Problem::ServersTooLarge,
        ),
        (
            "a trickle",
            Server::new(|_, stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while stream.write_all(b"\x7fELF").is_ok() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }),
            Problem::ServersFailed,
        ),
        (
            "no HTTP",
            Server::new(|_, stream| drop(stream.write_all(b"SSH-2.0-server\r\n"))),
            Problem::ServersFailed,
        ),
        (
            "packed",
            Server::new(|_, stream| {
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
                );
            }),
            Problem::ServersFailed,
        ),
        (
            "an error",
            Server::new(|_, stream| send(stream, "500 Internal Server Error", b"")),
            Problem::ServersFailed,
        ),
    ];
    let good = Server::with(&it.build_id, it.debug.clone());
    let late = {
        let (id, debug) = (it.build_id.clone(), it.debug.clone());
        let wanted = format!("/buildid/{id}/debuginfo");
        Server::new(move |path, stream| {
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(path, wanted);
            send(stream, "200 OK", &debug);
        })
    };
    for (what, server, problem) in &bad {
        let settings = |servers: &[&Server]| Settings {
            timeout: Duration::from_secs(1),
            max_bytes: 4 << 20,
            ..it.settings(servers)
        };
        let named = it.named(settings(&[server]));
        assert_eq!(named.problems, [(*problem, 1)], "{what}");
        named.expect_only_exported(*problem);
        assert!(!it.kept().exists(), "{what} was kept");
        // The next that has it is as good.
        it.named(settings(&[server, &late])).expect_all();
        std::fs::remove_file(it.kept()).unwrap();
    }
    it.named(it.settings(&[&good])).expect_all();
    let folder = it.kept().parent().unwrap().to_owned();
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
}

#[test]
fn nobody_listens() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let it = Stripped::new();
    let mut settings = it.settings(&[]);
    // The port of a listener that is gone.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    settings.servers = vec![format!("http://{}", port.unwrap()).parse().unwrap()];
    let named = it.named(settings);
    named.expect_only_exported(Problem::ServersFailed);
}

#[test]
fn redirections_are_followed_a_few_times() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let it = Stripped::new();
    let good = Server::with(&it.build_id, it.debug.clone());
    let to = |location: String| {
        Server::new(move |_, stream| {
            let head =
                format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
        })
    };
    let right = to(format!("{}/buildid/{}/debuginfo", good.url, it.build_id));
    it.named(it.settings(&[&right])).expect_all();
    assert_eq!((right.requests(), good.requests()), (1, 1));
    std::fs::remove_file(it.kept()).unwrap();
    let circle = to("/again".to_owned());
    let named = it.named(it.settings(&[&circle]));
    named.expect_only_exported(Problem::ServersFailed);
    assert_eq!(circle.requests(), 6);
    let elsewhere = to("file:///etc/passwd".to_owned());
    let named = it.named(it.settings(&[&elsewhere]));
    named.expect_only_exported(Problem::ServersFailed);
}

#[test]
fn a_folder_can_stand_for_a_server() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let it = Stripped::new();
    let folder = it.dir.path().join("exported");
    let settings = || Settings {
        folders: vec![folder.clone()],
        ..it.settings(&[])
    };
    let named = it.named(settings());
    named.expect_only_exported(Problem::ServersHaveNone);
    let of_build = folder.join("buildid").join(&it.build_id);
    std::fs::create_dir_all(&of_build).unwrap();
    std::fs::write(of_build.join("debuginfo"), &it.debug).unwrap();
    it.named(settings()).expect_all();
}

/// Without a cache, or with one that others can write to, it is there for this process.
#[test]
fn what_cannot_be_kept_is_in_memory() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let it = Stripped::new();
    let server = Server::with(&it.build_id, it.debug.clone());
    let foreign = it.dir.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    let everybody = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&foreign, everybody).unwrap();
    let own = it.dir.path().join("own");
    for (cache, keep, requests) in [
        (None, Keep::OnDisk, 1),
        (Some(foreign.clone()), Keep::OnDisk, 2),
        (Some(own.clone()), Keep::InMemory, 3),
    ] {
        let settings = Settings {
            cache,
            ..it.settings(&[&server])
        };
        let servers = Arc::new(Servers::new(settings, keep));
        for _ in 0..2 {
            let symbolizer = Symbolizer::new(Options {
                debuginfod: Some(Arc::clone(&servers)),
                ..Options::default()
            });
            let named = it.named_by(symbolizer, Duration::from_secs(60));
            named.expect_all();
            assert_eq!(server.requests(), requests);
        }
    }
    assert_eq!(std::fs::read_dir(&foreign).unwrap().count(), 0);
    assert!(!own.exists());
}

/// What is asked for while recording is there at the end, in less time than it takes to come.
#[test]
fn what_was_fetched_ahead_is_there_at_the_end() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    let it = Stripped::new();
    let debug = it.debug.clone();
    let delay = Duration::from_secs(3);
    let server = Server::new(move |_, stream| {
        std::thread::sleep(delay);
        send(stream, "200 OK", &debug);
    });
    let mut symbolizer = Symbolizer::new(Options {
        debuginfod: Some(Arc::new(Servers::new(
            it.settings(&[&server]),
            Keep::OnDisk,
        ))),
        ..Options::default()
    });
    symbolizer.observe(it.program.key());
    let addresses = vec![it.program.value("alpha")];
    let wanted = BTreeMap::from([(it.program.key(), addresses)]);
    let began = Instant::now();
    symbolizer.fetch_ahead(&wanted);
    symbolizer.fetch_ahead(&wanted);
    assert!(began.elapsed() < delay / 2, "{:?}", began.elapsed());
    let until = Instant::now() + Duration::from_secs(60);
    while !it.kept().exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let named = it.named_by(symbolizer, Duration::from_secs(60));
    named.expect_all();
    assert!(named.took < delay, "{:?}", named.took);
    assert_eq!(server.requests(), 1);
}

/// The part of [`servers_are_known_by_certificates_that_the_host_trusts`] that runs with an environment of its own.
#[test]
#[ignore = "run by another test, with an environment of its own"]
fn by_tls() {
    let (Some(settings), Ok(folder)) = (Settings::from_env(), std::env::var("EXPORTED")) else {
        skip!("not run by the test that sets its environment");
    };
    let it = Stripped::new();
    let of_build = Path::new(&folder).join("buildid").join(&it.build_id);
    std::fs::create_dir_all(&of_build).unwrap();
    std::fs::write(of_build.join("debuginfo"), &it.debug).unwrap();
    let named = it.named(settings);
    match std::env::var("TRUSTED").unwrap().as_str() {
        "yes" => named.expect_all(),
        _ => named.expect_only_exported(Problem::ServersFailed),
    }
}

#[test]
fn servers_are_known_by_certificates_that_the_host_trusts() {
    if let Some(reason) = missing() {
        skip!("{reason}");
    }
    if !has("openssl") && Command::new("openssl").arg("version").output().is_err() {
        skip!("no openssl");
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["good", "other"] {
        run(Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            ])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
            ])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(at(&format!("{name}.key")))
            .arg("-out")
            .arg(at(&format!("{name}.pem"))));
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let port = free.unwrap().port();
    std::fs::create_dir(at("exported")).unwrap();
    let mut server = Command::new("openssl")
        .args([
            "s_server",
            "-WWW",
            "-quiet",
            "-accept",
            &format!("127.0.0.1:{port}"),
        ])
        .arg("-cert")
        .arg(at("good.pem"))
        .arg("-key")
        .arg(at("good.key"))
        .current_dir(at("exported"))
        .stdin(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let results = [("good", "yes"), ("other", "no")].map(|(certificate, trusted)| {
        let test = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "debuginfod::by_tls", "--ignored"])
            .env("DEBUGINFOD_URLS", format!("https://localhost:{port}/"))
            .env("DEBUGINFOD_CACHE_PATH", at(certificate))
            .env("SSL_CERT_FILE", at(&format!("{certificate}.pem")))
            .env("EXPORTED", at("exported"))
            .env("TRUSTED", trusted)
            .output();
        (trusted, test.unwrap())
    });
    server.kill().unwrap();
    server.wait().unwrap();
    for (trusted, output) in results {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "trusted: {trusted}: {text}");
        assert!(text.contains("1 passed"), "trusted: {trusted}: {text}");
    }
}
