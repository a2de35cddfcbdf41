//! Debug information from a server, which is one: it listens on loopback.

mod answers;
mod server;
mod stripped;
mod tls;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctprof::symbolize::debuginfod::{Keep, Servers, Settings};
use ctprof::symbolize::{Options, Problem, Symbolizer};

use server::{Server, send};
use stripped::Stripped;

use crate::support::{Program, compile, has, needs, skip, symbolizer};

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
