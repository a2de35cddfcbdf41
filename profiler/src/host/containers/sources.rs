//! Where the runtimes keep their files: the usual places, and those that running runtimes name.
//!
//! A daemon with a data root of its own, a rootless one, one in a mount namespace or inside a container: they
//! are found as processes, and their files are read through the root of that process.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::pattern::{ContainerRef, Place, place};
use super::{Lookup, containerd, docker, storage};
use crate::host::Host;
use crate::host::proc::{ConfinedRoot, is_gone};

/// Largest file of a runtime that is read. A `config.json` with all system calls listed has 100 kB, a
/// podman index 1 kB for each container.
const FILE_CAP: u64 = 16 << 20;

/// Most runtimes that are remembered.
const MAX_SOURCES: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Docker { data_root: PathBuf },
    Containerd { task_dir: PathBuf },
    Storage { containers: PathBuf },
}

/// A process of a runtime. Its root is opened for each look and not kept: that would keep the mounts of a
/// container alive that the host wants to remove.
struct Process {
    pid: u32,
    cgroup: String,
}

struct Source {
    kind: Kind,
    /// Through whose root the files are read; `None` for the host's.
    process: Option<Process>,
    /// cgroup of the container in which the runtime runs; empty for the host's.
    scope: String,
}

/// Every place that is known.
pub(super) struct Sources {
    host: Host,
    hierarchy_id: u32,
    found: Vec<Source>,
    /// A runtime runs whose files we may not see.
    hidden: bool,
}

impl Sources {
    /// Looks at the usual places and through all processes.
    pub(super) fn scan(host: &Host, hierarchy_id: u32) -> Self {
        let mut sources = Self {
            host: host.clone(),
            hierarchy_id,
            found: Vec::new(),
            hidden: false,
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
        let mut seen = HashSet::new();
        for pid in self.host.pids() {
            if self.found.len() >= MAX_SOURCES {
                return;
            }
            let Some(comm) = self.host.comm(pid).filter(|comm| is_runtime(comm)) else {
                continue;
            };
            let Ok(Some(cgroup)) = self.host.cgroup_of(pid, self.hierarchy_id) else {
                continue;
            };
            let process = Process { pid, cgroup };
            let root = match self.root_of(&process) {
                Ok(Some(root)) => root,
                Ok(None) => continue,
                Err(error) => {
                    self.hidden |= error.kind() == std::io::ErrorKind::PermissionDenied;
                    continue;
                }
            };
            let Some(kind) = kind_of(&self.host, pid, &comm, &root) else {
                continue;
            };
            let scope = match place(&process.cgroup) {
                Place::Container(containers) => containers[0].path.to_owned(),
                _ => String::new(),
            };
            let namespace = std::fs::read_link(self.host.at(format!("/proc/{pid}/ns/mnt"))).ok();
            if seen.insert((kind.clone(), scope.clone(), namespace)) {
                self.found.push(Source {
                    kind,
                    process: Some(process),
                    scope,
                });
            }
        }
    }

    /// `None` when the process has ended, and its id may be another's by now.
    fn root_of(&self, process: &Process) -> std::io::Result<Option<ConfinedRoot>> {
        let pid = process.pid;
        let root = match ConfinedRoot::open(&self.host.at(format!("/proc/{pid}/root"))) {
            Err(error) if is_gone(&error) => return Ok(None),
            root => root?,
        };
        let now = self.host.cgroup_of(pid, self.hierarchy_id)?;
        Ok((now.as_ref() == Some(&process.cgroup)).then_some(root))
    }

    /// The container as its runtime names it, asking those that run in the container `scope` (empty: on
    /// the host).
    pub(super) fn look_up(&self, container: &ContainerRef<'_>, scope: &str) -> Lookup {
        let mut denied = self.hidden;
        let Ok(host_root) = self.host.confined() else {
            return Lookup::Missing;
        };
        for source in self.found.iter().filter(|source| source.scope == scope) {
            if !source.kind.may_hold(container.runtime) {
                continue;
            }
            let process_root = match &source.process {
                None => None,
                Some(process) => match self.root_of(process) {
                    Ok(Some(root)) => Some(root),
                    _ => continue,
                },
            };
            let root = process_root.as_ref().unwrap_or(&host_root);
            let looked = match &source.kind {
                Kind::Docker { data_root } => docker::read(root, data_root, container.id),
                Kind::Containerd { task_dir } => containerd::read(root, task_dir, container.id),
                Kind::Storage { containers } => storage::read(root, containers, container.id),
            };
            match looked {
                Lookup::Found(_) => return looked,
                Lookup::Denied => denied = true,
                Lookup::Missing => {}
            }
        }
        if denied {
            Lookup::Denied
        } else {
            Lookup::Missing
        }
    }
}

impl Kind {
    /// A container of this runtime (`None`: unknown) may be found here.
    fn may_hold(&self, runtime: Option<&str>) -> bool {
        let Some(runtime) = runtime else {
            return true;
        };
        match self {
            Self::Docker { .. } => runtime == "docker",
            Self::Containerd { .. } => runtime == "containerd",
            Self::Storage { .. } => matches!(runtime, "cri-o" | "podman"),
        }
    }
}

fn is_runtime(comm: &str) -> bool {
    matches!(comm, "dockerd" | "conmon") || comm.starts_with("containerd-shim")
}

/// What a runtime's process with this name tells about its files.
fn kind_of(host: &Host, pid: u32, comm: &str, root: &ConfinedRoot) -> Option<Kind> {
    match comm {
        "dockerd" => Some(Kind::Docker {
            data_root: dockerd_data_root(host, pid, root),
        }),
        "conmon" => {
            // `conmon … -b <storage root>/<driver>-containers/<id>/userdata`
            let bundle = argument(&host.cmdline(pid), &["-b", "--bundle"])?;
            Some(Kind::Storage {
                containers: Path::new(&bundle).parent()?.parent()?.to_owned(),
            })
        }
        // A shim runs in the folder of a bundle: `<state>/io.containerd.runtime.v2.task/<namespace>/<id>`.
        _ => {
            let bundle = std::fs::read_link(host.at(format!("/proc/{pid}/cwd"))).ok()?;
            let task_dir = bundle.parent()?.parent()?;
            let name = task_dir.file_name()?.to_str()?;
            name.starts_with("io.containerd.runtime.")
                .then(|| Kind::Containerd {
                    task_dir: task_dir.to_owned(),
                })
        }
    }
}

/// From the command line, else the configuration file that it names, else a rootless daemon's default.
fn dockerd_data_root(host: &Host, pid: u32, root: &ConfinedRoot) -> PathBuf {
    let arguments = host.cmdline(pid);
    if let Some(data_root) = argument(&arguments, &["--data-root", "-g", "--graph"]) {
        return data_root.into();
    }
    let home = host.uid(pid).filter(|uid| *uid != 0);
    let home = home.and_then(|uid| host.home(uid));
    let config = argument(&arguments, &["--config-file"]).map(PathBuf::from);
    let config = config.unwrap_or_else(|| match &home {
        Some(home) => home.join(".config/docker/daemon.json"),
        None => docker::DAEMON_JSON.into(),
    });
    if let Some(data_root) = docker::configured_data_root(root, &config) {
        return data_root.into();
    }
    match home {
        Some(home) => home.join(".local/share/docker"),
        None => docker::DATA_ROOTS[0].into(),
    }
}

/// The value of an option, as `--option value` or `--option=value`.
fn argument(arguments: &[String], options: &[&str]) -> Option<String> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        for option in options {
            if argument == option {
                return arguments.next().cloned();
            }
            if let Some(value) = argument
                .strip_prefix(option)
                .and_then(|rest| rest.strip_prefix('='))
            {
                return Some(value.to_owned());
            }
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use super::argument;

    #[test]
    fn options_in_both_forms() {
        let line = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let options = ["--data-root", "-g"];
        assert_eq!(
            argument(&line("dockerd --debug --data-root /a -g /b"), &options).unwrap(),
            "/a"
        );
        assert_eq!(
            argument(&line("dockerd --data-root=/a"), &options).unwrap(),
            "/a"
        );
        assert_eq!(argument(&line("dockerd -g /b"), &options).unwrap(), "/b");
        assert_eq!(
            argument(&line("dockerd --data-rootless=/x"), &options),
            None
        );
        assert_eq!(argument(&line("dockerd --data-root"), &options), None);
    }
}
