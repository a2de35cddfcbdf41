//! The script inside the graph, in a real browser: it starts, searches and zooms.

use std::path::Path;
use std::process::{Command, Stdio};

use ctprof::output;
use ctprof::store::RecordingDir;

use crate::synthetic;

/// The document after the browser has run its script, or `None` where there is no browser.
fn document(file: &Path, query: &str) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
            "--no-first-run",
            "--timeout=20000",
            "--virtual-time-budget=5000",
            "--window-size=1400,900",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", home.path().display()))
        .arg(format!("file://{}{query}", file.display()))
        .stderr(Stdio::null())
        .output()
        .ok()?;
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The element of the frame whose title starts like this.
fn frame<'a>(document: &'a str, title: &str) -> &'a str {
    document
        .split("<g")
        .find(|part| part.contains(&format!("<title>{title} (")))
        .unwrap()
}

/// The value of an attribute of the frame with this title.
fn attribute(document: &str, title: &str, name: &str) -> String {
    let target = frame(document, title);
    let start = target.split_once(&format!("{name}=\"")).unwrap().1;
    start.split('"').next().unwrap().to_owned()
}

#[test]
fn search_and_zoom_work() {
    let temp = tempfile::tempdir().unwrap();
    let dir = RecordingDir::open(&temp.path().join("rec"), false).unwrap();
    output::write_all(&dir, &synthetic::small()).unwrap();
    let graph = dir.path().join("on-cpu.svg");

    let Some(found) = document(&graph, "?s=tcp_sendmsg") else {
        eprintln!("skipped: no chromium to run the graph's script in");
        return;
    };
    // 200 of 1,019 samples.
    assert!(found.contains(">Matched: 19.6%</text>"), "{found}");
    let hit = frame(&found, "tcp_sendmsg");
    assert!(hit.contains("fill=\"rgb(230,0,230)\""), "{hit}");
    let miss = frame(&found, "render");
    assert!(!miss.contains("rgb(230,0,230)"), "{miss}");

    let drawn = std::fs::read_to_string(&graph).unwrap();
    let query = format!(
        "?x={}&y={}",
        attribute(&drawn, "cache", "fg:x"),
        attribute(&drawn, "cache", " y")
    );
    let zoomed = document(&graph, &query).unwrap();
    let cache = frame(&zoomed, "cache");
    assert!(cache.contains("width=\"100.0000%\""), "{cache}");
    let other = frame(&zoomed, "render");
    assert!(other.contains("class=\"hide\""), "{other}");
    assert!(!frame(&zoomed, "main").contains("hide"));
}

#[test]
fn the_graphs_of_a_ledger_search_and_zoom() {
    let temp = tempfile::tempdir().unwrap();
    let dir = RecordingDir::open(&temp.path().join("rec"), false).unwrap();
    output::write_all(&dir, &synthetic::rich()).unwrap();
    let graph = dir.path().join("flamegraph.svg");
    let Some(found) = document(&graph, "?s=%5Ethrottled") else {
        eprintln!("skipped: no chromium to run the graph's script in");
        return;
    };
    // 24,960 of the 79,702 ms that are drawn.
    assert!(found.contains(">Matched: 31.3%</text>"), "{found}");
    let state = frame(&found, "throttled");
    assert!(state.contains("fill=\"rgb(230,0,230)\""), "{state}");

    // Two graphs in one: what is searched for has its share of the half that it is in.
    let graph = dir.path().join("throttled.svg");
    let drawn = std::fs::read_to_string(&graph).unwrap();
    let burnt = "ran in periods that ended throttled: this burnt the quota";
    let query = format!(
        "?x={}&y={}&s=%5Eencode",
        attribute(&drawn, burnt, "fg:x"),
        attribute(&drawn, burnt, " y")
    );
    let zoomed = document(&graph, &query).unwrap();
    assert!(zoomed.contains(">Matched: 100%</text>"), "{zoomed}");
    let section = frame(&zoomed, burnt);
    assert!(section.contains("width=\"100.0000%\""), "{section}");
    assert!(section.contains("(1,465 ms, 100.00%)"), "{section}");
    let other = frame(&zoomed, "was stopped by a quota");
    assert!(other.contains("class=\"hide\""), "{other}");
}
