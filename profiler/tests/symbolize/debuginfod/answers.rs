//! Servers that send something else than the file that was asked for, or nothing.

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use ctprof::symbolize::Problem;
use ctprof::symbolize::debuginfod::Settings;

use super::missing;
use super::server::{Server, send};
use super::stripped::Stripped;
use crate::support::skip;

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
