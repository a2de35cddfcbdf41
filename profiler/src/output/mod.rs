//! What a recording becomes: one file per format, and the report on the terminal.
//!
//! A profile is first put in the terms of its files ([`View`]: the summary and the stacks by name). The
//! graphs and the report are made from that alone, so that `ctprof report` shows a recording exactly as
//! `ctprof record` did.

pub mod blame;
pub mod causes;
pub mod directory;
pub mod flamegraph;
pub mod folded;
pub mod functions;
pub mod names;
pub mod notes;
pub mod pprof;
pub mod reader;
pub mod report;
pub mod stacks;
pub mod states;
pub mod summary;
pub mod syscalls;
pub mod table;
pub mod threads;
pub mod units;

use std::io::Write;
use std::path::PathBuf;

use crate::model::Profile;
use crate::{Error, Result};
pub use directory::RecordingDir;
use directory::{BURNT_QUOTA, CALLS, FOLDED, NewFile, PPROF, SUMMARY};
use flamegraph::Graph;
use stacks::Stacks;
use summary::Summary;

/// A recording as the report and the graphs see it.
#[derive(Clone, Debug)]
pub struct View {
    /// Everything but the stacks.
    pub summary: Summary,
    /// The stacks by name.
    pub stacks: Stacks,
    /// Those on-CPU stacks among them that burnt a quota.
    pub burnt_quota: Stacks,
    /// Those stacks of threads in a system call, whose outermost frame is the call.
    pub calls: Stacks,
}

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

impl View {
    /// The view of a profile, and the containers' order in it as positions in the profile.
    #[must_use]
    pub fn of(profile: &Profile) -> (Self, Vec<usize>) {
        let (summary, order) = Summary::of(profile);
        let view = Self {
            stacks: Stacks::of(profile, &order),
            burnt_quota: Stacks::of_burnt_quota(profile, &order),
            calls: Stacks::of_calls(profile, &order),
            summary,
        };
        (view, order)
    }

    /// The containers' labels, in order.
    #[must_use]
    pub fn labels(&self) -> Vec<&str> {
        self.summary
            .containers
            .iter()
            .map(|container| container.label.as_str())
            .collect()
    }
}

/// Writes every file of the recording.
///
/// A file that cannot be written leaves no part of itself behind; the others are kept, and the error names
/// both.
pub fn write_all(dir: &RecordingDir, profile: &Profile) -> Result<Written> {
    let (view, order) = View::of(profile);
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
    // First, while there is room: what it says is worth more than any other file.
    let summary = write_file(dir, SUMMARY, |out| view.summary.write(out));
    // The largest two beside the graphs, which take most memory: one after the other.
    let results = std::thread::scope(|scope| {
        let pprof = scope.spawn(|| {
            write_file(dir, PPROF, |out| {
                pprof::write(profile, &view.summary, &order, out)
            })
        });
        let folded = scope.spawn(|| {
            write_file(dir, FOLDED, |out| {
                folded::write(&view.stacks, &view.labels(), out)
            })
        });
        let graphs: Vec<_> = Graph::ALL.into_iter().map(graph).collect();
        let mut results = vec![summary, joined(folded, dir, FOLDED)];
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
