//! What its line in the table gives a view: everything that reads, keeps, shows or tells what views measure.

mod slices;

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::Toy;
use crate::agent::metrics::{self, Format};
use crate::agent::self_figures::SelfFigures;
use crate::analysis::View;
use crate::host::cgroup::Hierarchy;
use crate::host::proc::fixture::Fixture;
use crate::model::{
    Container, Figures as _, Fixed, Group, GroupKey, Grouping, Ledger, Measured, Reading, Runtime,
    State, Unavailable, Window,
};
use crate::output::report;
use crate::views::{self, Recorder, Scope};
use crate::{output, store};

const WEB: &str = "/docker/fe5215765b75d118956d04673775e556590714c3bdaa76c21f888cb4a2cc4182";

fn toy(read_bytes: u64, reader: &str) -> Toy {
    Toy {
        read_bytes,
        reader: reader.to_owned(),
    }
}

fn row(figures: Option<Toy>) -> Container {
    let mut row = Container {
        ledger: Some(Ledger {
            thread_time_ns: 1_000,
            ..Ledger::default()
        }),
        ..Container::default()
    };
    row.identity.cgroup = WEB.to_owned();
    row.time_ns.insert(State::RunQueue, 1_000);
    if let Some(figures) = figures {
        row.measured.insert(figures);
    }
    row
}

fn window(figures: Toy) -> Window {
    Window {
        duration_ns: 1_000,
        rows: vec![row(Some(figures))],
        ..Window::default()
    }
}

fn write(fixture: &Fixture, text: &str) {
    let path = format!("/sys/fs/cgroup/unified{WEB}/toy.stat");
    fixture.write(&path, text);
}

fn prepare(hierarchy: &Hierarchy, is_part: bool) -> Recorder {
    Recorder::prepare(&Scope {
        hierarchy,
        grouping: Grouping::Container,
        stacks: false,
        is_part,
        owners: Vec::new(),
    })
}

/// What was measured of a container and of a process in it, where these were its files at the beginning and at the end.
fn recorded(before: Option<&str>, after: &str) -> [Option<Toy>; 2] {
    let fixture = Fixture::new("docker-hybrid");
    let hierarchy = Hierarchy::detect(&fixture.host).unwrap();
    let mut recorder = prepare(&hierarchy, false);
    if let Some(text) = before {
        write(&fixture, text);
    }
    recorder.start(&[WEB]);
    write(&fixture, after);
    recorder.stop();
    recorder.last_look(&[WEB]);
    let mut process = row(None);
    process.identity.runtime = Runtime::Process;
    let mut rows = [row(None), process];
    let unavailable = recorder.give(&mut rows);
    assert!(unavailable.iter().all(|it| it.view != Toy::VIEW));
    rows.map(|row| row.measured.get().cloned())
}

#[test]
fn it_is_measured_from_the_beginning_to_the_end() {
    assert_eq!(
        recorded(Some("100 ann"), "150 bob"),
        [Some(toy(50, "bob")), None]
    );
    // A cgroup that was born meanwhile.
    assert_eq!(recorded(None, "150 bob"), [Some(toy(150, "bob")), None]);
    assert_eq!(recorded(Some("100 ann"), "none"), [None, None]);
}

#[test]
fn where_it_cannot_be_measured_the_cause_is_told() {
    let fixture = Fixture::new("docker-hybrid");
    fixture.write("/sys/fs/cgroup/unified/toys-are-off/file", "");
    write(&fixture, "100 ann");
    let hierarchy = Hierarchy::detect(&fixture.host).unwrap();
    let mut recorder = prepare(&hierarchy, false);
    recorder.start(&[WEB]);
    recorder.last_look(&[WEB]);
    let mut rows = [row(None)];
    let unavailable = recorder.give(&mut rows);
    assert_eq!(rows[0].measured.get::<Toy>(), None);
    assert!(unavailable.contains(&Unavailable {
        view: Toy::VIEW,
        cause: "no toys: switch them on".to_owned(),
    }));

    let fixture = Fixture::new("docker-hybrid");
    let hierarchy = Hierarchy::detect(&fixture.host).unwrap();
    write(&fixture, "100 ann");
    let mut part = prepare(&hierarchy, true);
    part.start(&[WEB]);
    write(&fixture, "150 bob");
    part.last_look(&[WEB]);
    part.give(&mut rows);
    assert_eq!(rows[0].measured.get(), Some(&toy(50, "bob")));
}

#[test]
fn windows_with_it_are_merged_and_subtracted() {
    let mut all = window(toy(50, "ann"));
    all.merge(window(toy(7, "bob")));
    assert_eq!(all.rows[0].measured.get(), Some(&toy(57, "bob")));
    let rest = all.since(&window(toy(50, "ann")));
    assert_eq!(rest.rows[0].measured.get(), Some(&toy(7, "bob")));
}

#[test]
fn it_is_on_disk_and_nothing_there_is_taken_for_granted() {
    let stored = |figures: Toy| {
        let mut bytes = Vec::new();
        store::write(&window(figures), &mut bytes).unwrap();
        store::decode(&bytes)
    };
    let read = |figures: Toy| stored(figures).unwrap().rows[0].measured.get().cloned();
    assert_eq!(read(toy(50, "ann")), Some(toy(50, "ann")));
    assert_eq!(read(toy(50, "a\x1b[1m")), Some(toy(50, "a?[1m")));
    assert_eq!(
        stored(toy(50, "nobody")).unwrap_err(),
        "it is damaged",
        "the view says that this cannot be"
    );

    let mut measured = Measured::default();
    measured.insert(toy(50, "ann"));
    let decode = |records: &[_]| views::decode(records, str::to_owned, |_| panic!());
    let mut records = views::encode(&measured).unwrap();
    assert_eq!(decode(&records), Some(measured));
    records[0].1.push(0);
    assert_eq!(decode(&records), None, "a byte too many");
    records[0].1.truncate(2);
    assert_eq!(decode(&records), None, "too few");
}

/// The file of a ctprof that has a view more: all else of it is read.
#[test]
fn a_view_that_only_another_ctprof_has_is_told_of() {
    let mut bytes = Vec::new();
    store::write(&window(toy(50, "ann")), &mut bytes).unwrap();
    // Magic, version, and the writer's version with its length.
    let records = bytes.split_off(13 + usize::from(bytes[12]));
    let mut text = Vec::new();
    ZlibDecoder::new(&*records).read_to_end(&mut text).unwrap();
    let id = text.windows(4).position(|it| it == b"\x03toy").unwrap();
    text[id + 3] = b'\x1b';
    let mut out = ZlibEncoder::new(bytes, Compression::fast());
    out.write_all(&text).unwrap();
    let read = store::decode(&out.finish().unwrap()).unwrap();
    assert!(read.rows[0].measured.is_empty());
    assert_eq!(read.rows[0].time_ns, row(None).time_ns);
    let [missing] = &read.unavailable[..] else {
        panic!("{:?}", read.unavailable);
    };
    assert_eq!(missing.view.as_str(), "to?");
    assert!(missing.cause.starts_with("this ctprof does not know it"));
}

#[test]
fn it_is_in_the_summary_and_in_the_report() {
    let (view, _) = View::of(&window(toy(50, "ann")));
    let mut summary = Vec::new();
    output::summary::write(&view.summary, &mut summary).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
    assert_eq!(
        summary["containers"][0]["toy"],
        serde_json::json!({ "read_bytes": 50, "reader": "ann" })
    );
    let mut text = Vec::new();
    report::print(&view, &report::Options::default(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let line = |text: &str| text.lines().any(|line| line.starts_with("toy"));
    assert!(text.contains("\ntoy         ann read 50 B\n"), "{text}");

    let (view, _) = View::of(&window(toy(0, "")));
    let mut text = Vec::new();
    report::print(&view, &report::Options::default(), &mut text).unwrap();
    assert!(!line(&String::from_utf8(text).unwrap()));
}

#[test]
fn it_is_told_to_prometheus_where_it_is_measured() {
    let told = |unavailable: Vec<Unavailable>| {
        let reading = Reading {
            groups: vec![Group {
                key: GroupKey::fixed(Fixed::Host),
                figures: row(Some(toy(50, "ann"))),
                ..Group::default()
            }],
            unavailable,
            ..Reading::default()
        };
        let own = SelfFigures::default();
        let options = metrics::Options::default();
        let text = metrics::encode(&Arc::new(reading), &own, Format::OpenMetrics, &options);
        let mut lines = text.lines();
        lines
            .find(|line| line.starts_with("ctprof_toy_read_bytes_total{"))
            .map(str::to_owned)
    };
    assert_eq!(
        told(Vec::new()).unwrap(),
        "ctprof_toy_read_bytes_total{container=\"host\",pod=\"\",namespace=\"\",reader=\"ann\"} 50"
    );
    let unavailable = Unavailable {
        view: Toy::VIEW,
        cause: "no toys".to_owned(),
    };
    assert_eq!(told(vec![unavailable]), None);
}
