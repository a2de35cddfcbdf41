//! What a comparison leaves in a folder.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

use super::stacks::BothStacks;
use super::{json, words};
use crate::compare::outcome::Comparison;
use crate::model::Window;
use crate::output::flamegraph::Graph;
use crate::output::flamegraph::diff::{self, DiffOptions, Shape};
use crate::output::pprof;
use crate::{Error, Result};

/// The comparison itself.
const JSON: &str = "comparison.json";
/// A's shape, coloured by what B has more or less of.
const GRAPH_A: &str = "diff.svg";
/// B's shape.
const GRAPH_B: &str = "diff-b.svg";
/// Stacks with the times of both.
const FOLDED: &str = "diff.folded";
/// B less A.
const PPROF: &str = "profile.diff.pb.gz";

/// Every file that is written.
pub const FILES: [&str; 5] = [JSON, GRAPH_A, GRAPH_B, FOLDED, PPROF];

/// Makes the folder, which has to be new or empty, or with `force` one that has a comparison.
///
/// # Errors
/// It is something else, or cannot be made.
pub fn open(dir: &Path, force: bool) -> Result<()> {
    match std::fs::create_dir(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io("create folder", dir, &error)),
    }
    let mut entries =
        std::fs::read_dir(dir).map_err(|error| Error::io("read folder", dir, &error))?;
    let is_comparison = dir.join(JSON).is_file();
    match (entries.next().is_none(), is_comparison, force) {
        (true, _, _) | (_, true, true) => Ok(()),
        (_, true, false) => Err(Error::Failed(format!(
            "{} holds an earlier comparison; add --force to replace it or choose another --output",
            dir.display()
        ))),
        (_, false, _) => Err(Error::Failed(format!(
            "{} exists and is not a comparison of ctprof; choose another --output",
            dir.display()
        ))),
    }
}

/// Writes all files.
///
/// # Errors
/// A file cannot be written.
pub fn write(
    dir: &Path,
    (a, b): (&Window, &Window),
    comparison: &Comparison,
    graph: Graph,
) -> Result<()> {
    let stacks = BothStacks::of(a, b, comparison);
    let shown = stacks.of_graph(graph);
    let svg = |shape, out: &mut BufWriter<File>| {
        let options = DiffOptions {
            shape,
            title: format!(
                "{}: {} beside {}",
                graph.id(),
                comparison.b.name,
                comparison.a.name
            ),
            caption: vec![words::normalised(comparison)],
        };
        diff::write(shown.iter(), options, out)
    };
    file(dir, JSON, |out| json::write(comparison, out))?;
    file(dir, GRAPH_A, |out| svg(Shape::A, out))?;
    file(dir, GRAPH_B, |out| svg(Shape::B, out))?;
    file(dir, FOLDED, |out| stacks.write_folded(out))?;
    file(dir, PPROF, |out| pprof::write_difference(a, b, out))
}

/// Writes beside the name first: a file is there whole or not at all.
fn file(
    dir: &Path,
    name: &str,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<()> {
    let path = dir.join(name);
    let temporary = dir.join(format!(".{name}.{}.part", std::process::id()));
    let written = File::create(&temporary).and_then(|file| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.flush()?;
        std::fs::rename(&temporary, &path)
    });
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        Error::io("write", &path, &error)
    })
}
