//! What the processes of runtimes say of where their files are. Whoever calls these may have to wait for them.

use std::path::{Path, PathBuf};

use super::docker;
use super::pattern::{Place, place, subtree};
use super::sources::{Kind, Source};
use crate::host::Host;
use crate::host::proc::mounts::fuse_points;
use crate::host::proc::{ConfinedRoot, is_gone};

/// A process of a runtime. Its root is opened for each look and not kept: that would keep the mounts of a
/// container alive that the host wants to remove.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) cgroup: String,
}

/// What a process says of the runtime that it is named after.
pub(super) enum Told {
    /// Where it keeps its files, and its mount namespace.
    Files(Source, Option<PathBuf>),
    Nothing,
    Hidden,
}

/// The part of the cgroup tree that whoever rules `path` rules: nobody can have more than one of them by making cgroups.
pub(super) fn part_of(path: &str) -> &str {
    subtree(path).map_or(path, |subtree| subtree.path)
}

/// `None` when the process has ended, and its id may be another's by now. Its own FUSE file systems are left alone: a
/// thread that waits for one that never answers cannot be ended, nor can ctprof.
pub(super) fn root_of(
    host: &Host,
    hierarchy_id: u32,
    process: &Process,
) -> std::io::Result<Option<ConfinedRoot>> {
    let pid = process.pid;
    let root = match ConfinedRoot::open(&host.at(format!("/proc/{pid}/root"))) {
        Err(error) if is_gone(&error) => return Ok(None),
        root => root?,
    };
    let mounts = host.read(format!("/proc/{pid}/mountinfo"))?;
    let served = fuse_points(&mounts.unwrap_or_default());
    let now = host.cgroup_of(pid, hierarchy_id)?;
    Ok((now.as_ref() == Some(&process.cgroup)).then(|| root.avoiding(served)))
}

/// What a process tells about the files of the runtime that it is named after.
pub(super) fn tell(host: &Host, hierarchy_id: u32, process: Process, comm: &str) -> Told {
    let pid = process.pid;
    let root = match root_of(host, hierarchy_id, &process) {
        Ok(Some(root)) => root,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Told::Hidden,
        Ok(None) | Err(_) => return Told::Nothing,
    };
    let Some(kind) = kind_of(host, pid, comm, &root) else {
        return Told::Nothing;
    };
    let scope = match place(&process.cgroup) {
        Place::Container(containers) => containers[0].path.to_owned(),
        _ => String::new(),
    };
    let link = |path: String| std::fs::read_link(host.at(path)).ok();
    let namespace = link(format!("/proc/{pid}/ns/mnt"));
    // The files of one that runs in no container and sees what we see are the host's, and nobody has to be asked for them.
    let is_hosts = scope.is_empty()
        && namespace.is_some()
        && namespace == link("/proc/self/ns/mnt".to_owned())
        && link(format!("/proc/{pid}/root")).as_deref() == Some(Path::new("/"));
    let source = Source {
        kind,
        process: (!is_hosts).then_some(process),
        scope,
    };
    Told::Files(source, namespace)
}

pub(super) fn is_runtime(comm: &str) -> bool {
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
