//! What a window becomes: one file per format, and the report on the terminal. Nothing here is read back.

pub mod compare;
pub mod doctor;
pub mod flamegraph;
pub mod folded;
pub mod notes;
pub mod pprof;
pub mod report;
pub mod summary;

use std::io::Write;
use std::path::PathBuf;

use crate::analysis::View;
use crate::model::Window;
use crate::store::directory::{BURNT_QUOTA, CALLS, FOLDED, NewFile, PPROF, STORE, SUMMARY};
use crate::store::{self, RecordingDir};
use crate::{Error, Result};
use flamegraph::Graph;

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenFile {
    /// Name within the recording's folder.
    pub name: &'static str,
    /// Size.
    pub bytes: u64,
}

/// A recording that was written.
#[derive(Debug)]
pub struct Written {
    /// The folder.
    pub dir: PathBuf,
    /// Its files.
    pub files: Vec<WrittenFile>,
    /// What they hold, for the report.
    pub view: View,
}

/// Writes every file of the recording.
///
/// A file that cannot be written leaves no part of itself behind; the others are kept, and the error names
/// both.
///
/// # Errors
/// A file cannot be written.
pub fn write_all(dir: &RecordingDir, window: &Window) -> Result<Written> {
    // First, while there is room: what they hold is worth more than any other file.
    let (stored, (view, order)) = std::thread::scope(|scope| {
        let stored = scope.spawn(|| write_file(dir, STORE, |out| store::write(window, out)));
        let view = View::of(window);
        (joined(stored, dir, STORE), view)
    });
    let summary = write_file(dir, SUMMARY, |out| summary::write(&view.summary, out));
    let all: Vec<usize> = (0..order.len()).collect();
    let graph = |graph: Graph| {
        let options = flamegraph::Options {
            containers: &all,
            with_idle: false,
        };
        write_file(dir, graph.file_name(), |out| {
            flamegraph::write(graph, &view, options, out)
        })
    };
    // The largest two beside the graphs, which take most memory: one after the other.
    let results = std::thread::scope(|scope| {
        let pprof = scope.spawn(|| {
            write_file(dir, PPROF, |out| {
                pprof::write(window, &view.summary, &order, out)
            })
        });
        let folded = scope.spawn(|| {
            write_file(dir, FOLDED, |out| {
                folded::write(&view.stacks, &view.labels(), out)
            })
        });
        let graphs: Vec<_> = Graph::ALL.into_iter().map(graph).collect();
        let mut results = vec![summary, stored, joined(folded, dir, FOLDED)];
        for (name, part) in [(BURNT_QUOTA, &view.burnt_quota), (CALLS, &view.calls)] {
            if !part.is_empty() {
                results.push(write_file(dir, name, |out| {
                    folded::write(part, &view.labels(), out)
                }));
            }
        }
        results.push(joined(pprof, dir, PPROF));
        results.extend(graphs);
        results
    });
    let files = publish(dir, results)?;
    Ok(Written {
        dir: dir.path().to_owned(),
        files,
        view,
    })
}

fn joined<'a>(
    writer: std::thread::ScopedJoinHandle<'_, Result<NewFile<'a>>>,
    dir: &RecordingDir,
    name: &str,
) -> Result<NewFile<'a>> {
    writer.join().unwrap_or_else(|_| {
        Err(Error::Failed(format!(
            "cannot write {}: its writer panicked",
            dir.path().join(name).display()
        )))
    })
}

fn write_file<'a>(
    dir: &'a RecordingDir,
    name: &'static str,
    write: impl FnOnce(&mut NewFile<'a>) -> std::io::Result<()>,
) -> Result<NewFile<'a>> {
    let mut file = dir.create(name)?;
    write(&mut file)
        .and_then(|()| file.flush())
        .map_err(|error| dir.write_error(name, &error))?;
    Ok(file)
}

/// Gives the complete files their names, and tells of the first that is not.
fn publish(dir: &RecordingDir, results: Vec<Result<NewFile<'_>>>) -> Result<Vec<WrittenFile>> {
    let mut files: Vec<WrittenFile> = Vec::new();
    let mut failure = None;
    for result in results {
        let published = result.and_then(|file| {
            let name = file.name();
            Ok(WrittenFile {
                name,
                bytes: file.publish()?,
            })
        });
        match published {
            Ok(file) => files.push(file),
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    let names: Vec<&str> = files.iter().map(|file| file.name).collect();
    // Files of two recordings side by side would be worse than none.
    dir.remove_all_but(&names);
    match failure {
        None => Ok(files),
        Some(error) if names.is_empty() => Err(error),
        Some(error) => Err(Error::Failed(format!(
            "{error}; complete are {}",
            names.join(", ")
        ))),
    }
}
