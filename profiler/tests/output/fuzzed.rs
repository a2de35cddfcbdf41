//! Recordings that somebody else has had in hand: their bytes, mutated, are read, reported and drawn.

use ctprof::analysis::View;
use ctprof::output::flamegraph::{self, Graph};
use ctprof::output::report::{self, Options};
use ctprof::store;

use crate::fuzz::fuzz;
use crate::{report::text, synthetic};

fn stored() -> Vec<u8> {
    let mut bytes = Vec::new();
    store::write(&synthetic::rich(), &mut bytes).unwrap();
    bytes
}

/// What can be read can be shown, in one piece and without harm to a terminal; what cannot says why, in a line.
fn check(bytes: &[u8]) {
    let window = match store::decode(bytes) {
        Ok(window) => window,
        Err(said) => {
            assert!(!said.contains(char::is_control), "{said:?}");
            assert!(said.chars().count() < 2000, "{said:?}");
            return;
        }
    };
    let (view, order) = View::of(&window);
    let shown = text(&view, &Options::default());
    let strange = |c: char| c.is_control() && c != '\n';
    assert!(!shown.contains(strange), "{shown:?}");
    let mut json = Vec::new();
    report::print_json(&view, &Options::default(), &mut json).unwrap();
    let _: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let all: Vec<usize> = (0..order.len()).collect();
    let options = flamegraph::Options {
        containers: &all,
        with_idle: true,
    };
    flamegraph::write(Graph::WallClock, &view, options, &mut Vec::new()).unwrap();
    // Merged with itself it is still one that can be written.
    let mut twice = window.clone();
    twice.merge(window);
    store::write(&twice, &mut Vec::new()).unwrap();
}

#[test]
fn fuzz_recording() {
    fuzz(&[stored()], check);
}

/// The records behind the version of the writer, mutated before they are compressed: a checksum refuses nearly
/// everything else.
#[test]
fn fuzz_recorded_records() {
    let stored = stored();
    let (envelope, compressed) = stored.split_at(13 + usize::from(stored[12]));
    let mut records = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::ZlibDecoder::new(compressed),
        &mut records,
    )
    .unwrap();
    let envelope = envelope.to_vec();
    fuzz(&[records], move |records| {
        let mut bytes = envelope.clone();
        let mut out = flate2::write::ZlibEncoder::new(&mut bytes, flate2::Compression::fast());
        std::io::Write::write_all(&mut out, records).unwrap();
        out.finish().unwrap();
        check(&bytes);
    });
}
