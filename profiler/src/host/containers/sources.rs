//! Where the runtimes keep their files: the usual places, and those that running runtimes name.
//!
//! A daemon with a data root of its own, a rootless one, one in a mount namespace or inside a container: they
//! are found as processes, and their files are read through the root of that process.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::daemons::{Process, Told, is_runtime, part_of, root_of, tell};
use super::pattern::ContainerRef;
use super::{Lookup, containerd, docker, storage};
use crate::host::Host;
use crate::host::aside::ask;
use crate::host::proc::ConfinedRoot;
use crate::model::Runtime;

/// Largest file of a runtime that is read. A `config.json` with all system calls listed has 100 kB, a
/// podman index 1 kB for each container.
const FILE_CAP: u64 = 16 << 20;

/// Most runtimes that are remembered.
const MAX_SOURCES: usize = 1024;

/// How long all processes that have the name of a runtime may take together to say where its files are, and how long the
/// files of a container may take. Usual ones take some hundred microseconds, more where CPUs are short.
const PATIENCE: Duration = Duration::from_millis(100);

/// For how long a part of the cgroup tree is not asked after somebody there was late: twice as long each time.
const PAUSES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Docker { data_root: PathBuf },
    Containerd { task_dir: PathBuf },
    Storage { containers: PathBuf },
}

#[derive(Clone)]
pub(super) struct Source {
    pub(super) kind: Kind,
    /// Through whose root the files are read; `None` for the host's, which waits for nobody.
    pub(super) process: Option<Process>,
    /// cgroup of the container in which the runtime runs; empty for the host's.
    pub(super) scope: String,
}

/// Every place that is known.
pub(super) struct Sources {
    host: Host,
    hierarchy_id: u32,
    found: Vec<Source>,
    /// A runtime runs whose files we may not see.
    hidden: bool,
    /// Parts of the cgroup tree where somebody was late: until when nobody there is asked, and how long that is.
    avoided: HashMap<String, (Instant, Duration)>,
}

impl Sources {
    /// Looks at the usual places and through all processes. `before`: what was found the last time.
    pub(super) fn scan(host: &Host, hierarchy_id: u32, before: Option<Self>) -> Self {
        let mut sources = Self {
            host: host.clone(),
            hierarchy_id,
            found: Vec::new(),
            hidden: false,
            avoided: before.map(|before| before.avoided).unwrap_or_default(),
        };
        if let Ok(root) = host.confined() {
            sources.add_usual_places(&root);
        }
        sources.add_processes();
        sources
    }

    fn add_usual_places(&mut self, root: &ConfinedRoot) {
        let configured = docker::configured_data_root(root, Path::new(docker::DAEMON_JSON));
        let docker_roots = configured
            .into_iter()
            .chain(docker::DATA_ROOTS.map(str::to_owned))
            .map(|data_root| Kind::Docker {
                data_root: data_root.into(),
            });
        let containerd_dirs = containerd::TASK_DIRS.map(|dir| Kind::Containerd {
            task_dir: dir.into(),
        });
        let storage_dirs = storage::STORAGE_ROOTS
            .iter()
            .flat_map(|dir| storage_folders(root, Path::new(dir)));
        let kinds = docker_roots.chain(containerd_dirs).chain(storage_dirs);
        self.found.extend(kinds.map(|kind| Source {
            kind,
            process: None,
            scope: String::new(),
        }));
    }

    fn add_processes(&mut self) {
        let runtimes = self.host.pids().into_iter().filter_map(|pid| {
            let comm = self.host.comm(pid).filter(|comm| is_runtime(comm))?;
            let cgroup = self.host.cgroup_of(pid, self.hierarchy_id).ok()??;
            (!self.is_avoided(&cgroup)).then_some((Process { pid, cgroup }, comm))
        });
        let runtimes: Vec<(Process, String)> = runtimes.take(MAX_SOURCES).collect();
        if runtimes.is_empty() {
            return;
        }
        let parts: Vec<String> = runtimes
            .iter()
            .map(|(process, _)| part_of(&process.cgroup).to_owned())
            .collect();
        let (host, hierarchy_id) = (self.host.clone(), self.hierarchy_id);
        let asked = ask(Instant::now() + PATIENCE, move |answers| {
            for (process, comm) in runtimes {
                let _ = answers.send(tell(&host, hierarchy_id, process, &comm));
            }
        });
        if asked.is_late {
            self.avoid(&parts[asked.answers.len()..]);
        }
        let mut seen = HashSet::new();
        for told in asked.answers {
            match told {
                Told::Files(source, namespace) => {
                    if self.found.len() < MAX_SOURCES
                        && seen.insert((source.kind.clone(), source.scope.clone(), namespace))
                    {
                        self.found.push(source);
                    }
                }
                Told::Hidden => self.hidden = true,
                Told::Nothing => {}
            }
        }
    }

    /// The first of them was late.
    fn avoid(&mut self, parts: &[String]) {
        let Some(part) = parts.first() else {
            return;
        };
        let last = self.avoided.get(part).map(|(_, pause)| *pause);
        if last.is_none() && self.avoided.len() >= MAX_SOURCES {
            return;
        }
        let pause = last.map_or(*PAUSES.start(), |last| (last * 2).min(*PAUSES.end()));
        tracing::warn!(
            "{part}: a process named like a container runtime keeps us waiting; not asked for {pause:?}"
        );
        self.avoided
            .insert(part.clone(), (Instant::now() + pause, pause));
    }

    fn is_avoided(&self, cgroup: &str) -> bool {
        let until = self.avoided.get(part_of(cgroup));
        until.is_some_and(|(until, _)| Instant::now() < *until)
    }

    /// The container as its runtime names it, asking those that run in the container `scope` (empty: on
    /// the host).
    pub(super) fn look_up(&mut self, container: &ContainerRef<'_>, scope: &str) -> Lookup {
        let mut denied = self.hidden;
        let Ok(host_root) = self.host.confined() else {
            return Lookup::Missing;
        };
        let in_scope = self.found.iter().filter(|source| {
            source.scope == scope
                && source.kind.may_hold(container.runtime)
                && !source
                    .process
                    .as_ref()
                    .is_some_and(|it| self.is_avoided(&it.cgroup))
        });
        let (processes, places): (Vec<&Source>, Vec<&Source>) =
            in_scope.partition(|source| source.process.is_some());
        for source in places {
            match source.kind.read(&host_root, container.id) {
                Lookup::Missing => {}
                Lookup::Denied => denied = true,
                found @ Lookup::Found(_) => return found,
            }
        }
        let processes: Vec<Source> = processes.into_iter().cloned().collect();
        match self.ask_processes(processes, container.id) {
            Lookup::Missing if denied => Lookup::Denied,
            looked => looked,
        }
    }

    /// Reads the files through the roots of these.
    fn ask_processes(&mut self, sources: Vec<Source>, id: &str) -> Lookup {
        if sources.is_empty() {
            return Lookup::Missing;
        }
        let parts = sources.iter().filter_map(|it| it.process.as_ref());
        let parts: Vec<String> = parts.map(|it| part_of(&it.cgroup).to_owned()).collect();
        let (host, hierarchy_id, id) = (self.host.clone(), self.hierarchy_id, id.to_owned());
        let asked = ask(Instant::now() + PATIENCE, move |answers| {
            for source in sources {
                let process = source.process.as_ref();
                let root = process.map(|process| root_of(&host, hierarchy_id, process));
                let looked = match root {
                    Some(Ok(Some(root))) => source.kind.read(&root, &id),
                    _ => Lookup::Missing,
                };
                let is_found = matches!(looked, Lookup::Found(_));
                let _ = answers.send(looked);
                if is_found {
                    return;
                }
            }
        });
        if asked.is_late {
            self.avoid(&parts[asked.answers.len().min(parts.len())..]);
        }
        let mut all = Lookup::Missing;
        for looked in asked.answers {
            match looked {
                Lookup::Missing => {}
                Lookup::Denied => all = Lookup::Denied,
                found @ Lookup::Found(_) => return found,
            }
        }
        all
    }
}

impl Kind {
    fn read(&self, root: &ConfinedRoot, id: &str) -> Lookup {
        match self {
            Self::Docker { data_root } => docker::read(root, data_root, id),
            Self::Containerd { task_dir } => containerd::read(root, task_dir, id),
            Self::Storage { containers } => storage::read(root, containers, id),
        }
    }

    /// A container of this runtime (`None`: unknown) may be found here.
    fn may_hold(&self, runtime: Option<Runtime>) -> bool {
        let Some(runtime) = runtime else {
            return true;
        };
        match self {
            Self::Docker { .. } => runtime == Runtime::Docker,
            Self::Containerd { .. } => runtime == Runtime::Containerd,
            Self::Storage { .. } => matches!(runtime, Runtime::CriO | Runtime::Podman),
        }
    }
}

/// `overlay-containers`, `vfs-containers`, … in a root of containers/storage.
fn storage_folders(root: &ConfinedRoot, storage_root: &Path) -> Vec<Kind> {
    let names = root.list(storage_root).unwrap_or_default();
    names
        .iter()
        .filter(|name| name.ends_with("-containers"))
        .map(|name| Kind::Storage {
            containers: storage_root.join(name),
        })
        .collect()
}

/// There may be a file, but we may not read it.
pub(super) struct Denied;

/// A JSON file of a runtime; `None` when it is not there, too large, or not (yet) in the expected form.
pub(super) fn read_json<T: DeserializeOwned>(
    root: &ConfinedRoot,
    path: &Path,
) -> Result<Option<T>, Denied> {
    match root.read(path, FILE_CAP) {
        Ok(bytes) => Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok())),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(Denied),
        Err(_) => Ok(None),
    }
}
