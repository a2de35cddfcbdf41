//! Who a cgroup is: the container, service or plain cgroup that its threads are charged to.
//!
//! - `pattern`: what a cgroup's path alone says
//! - `sources`: where the runtimes of this host keep their files
//! - `daemons`: what their processes say of that
//! - `docker`, `containerd`, `storage` (CRI-O and podman): what each of them writes there
//! - `kubernetes`: the labels that kubelet puts on containers, whatever the runtime
//!
//! Only files are read, no daemon is asked: it works with the daemon stopped, and needs no socket.

mod containerd;
mod daemons;
mod docker;
mod kubernetes;
pub mod pattern;
mod sources;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::host::cgroup::Hierarchy;
use crate::model::text::printable;
use crate::model::{ContainerIdentity, Runtime};
use pattern::{ContainerRef, Place, place};
use sources::Sources;

/// How often the processes of the host are looked through for runtimes, at most.
const RESCAN: Duration = Duration::from_secs(1);

/// How long [`Containers::retry`] goes on: any number of cgroups can have names like those of containers.
const FOR_RETRY: Duration = Duration::from_millis(20);

/// Longest name, image or pod name that is kept, in characters.
const NAME_CHARS: usize = 256;
/// Longest cgroup path that is kept, in characters.
const PATH_CHARS: usize = 4096;

/// What a look into a runtime's files gave.
enum Lookup {
    Found(ContainerIdentity),
    /// Not there, or not (yet) in the expected form.
    Missing,
    /// There may be something, but we may not read it.
    Denied,
}

struct Known {
    identity: ContainerIdentity,
    /// The name is from the runtime, not from the path alone.
    named: bool,
}

/// What stands for a chosen process where a cgroup's path stands: no path looks like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessPath(String);

impl ProcessPath {
    /// The process with this id.
    #[must_use]
    pub fn new(pid: u32) -> Self {
        Self(format!("pid:{pid}"))
    }

    /// Whether this is a process, and not the path of a cgroup.
    #[must_use]
    pub fn is(path: &str) -> bool {
        path.starts_with("pid:")
    }

    /// As it stands for a path.
    #[must_use]
    pub fn into_path(self) -> String {
        self.0
    }
}

/// Names cgroups, and remembers them.
pub struct Containers {
    host: Host,
    hierarchy_id: u32,
    sources: Option<(Sources, Instant)>,
    known: HashMap<String, Known>,
    /// Those without a name, which are asked for again in this order, and some that were forgotten.
    unnamed: VecDeque<String>,
    denied: bool,
}

impl Containers {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(host: &Host, hierarchy: &Hierarchy) -> Self {
        Self {
            host: host.clone(),
            hierarchy_id: hierarchy.id(),
            sources: None,
            known: HashMap::new(),
            unnamed: VecDeque::new(),
            denied: false,
        }
    }

    /// Says who the chosen process is that stands under this key where a cgroup's path stands.
    pub fn introduce(&mut self, process: ProcessPath, identity: ContainerIdentity) {
        let known = Known {
            identity,
            named: true,
        };
        self.known.insert(process.0, known);
    }

    /// The cgroup of the container, service or plain cgroup that the threads in `path` are charged to;
    /// `None` for the host's folders (`/`, `/docker`, `/system.slice`, a pod).
    ///
    /// Everything at or below a container is the container's, and below a service the service's. A container
    /// inside a container is one of its own only when its runtime's files, read through the outer one's
    /// root, name it.
    pub fn owner(&mut self, path: &str) -> Option<String> {
        if ProcessPath::is(path) {
            return Some(path.to_owned());
        }
        match place(path) {
            Place::Folder => None,
            Place::Unit { path, .. } | Place::Plain { path } => Some(path.to_owned()),
            Place::Container(containers) => self
                .innermost_named(&containers)
                .map(|container| container.path.to_owned()),
        }
    }

    /// A cgroup born directly below `path` may be a row of its own, instead of a part of what `path` is
    /// charged to. True for folders, and for plain cgroups, which are rows and folders at once.
    #[must_use]
    pub fn is_folder(path: &str) -> bool {
        matches!(place(path), Place::Folder | Place::Plain { .. })
    }

    /// Who the owner of `path` is; a folder is named by its path. Never fails: what no file names is named
    /// by its short id, and [`Containers::retry`] asks again.
    pub fn identify(&mut self, path: &str) -> ContainerIdentity {
        if ProcessPath::is(path) {
            let known = self.known.get(path);
            return known.map(|it| it.identity.clone()).unwrap_or_default();
        }
        match place(path) {
            Place::Unit { path, name } => identity(Runtime::Systemd, "", name, path),
            Place::Plain { path } => identity(Runtime::Cgroup, "", path, path),
            Place::Folder => identity(Runtime::Cgroup, "", path, path),
            Place::Container(containers) => match self.innermost_named(&containers) {
                Some(container) => self.known(&container, containers[0].path).identity.clone(),
                None => identity(Runtime::Cgroup, "", path, path),
            },
        }
    }

    /// Looks again for the containers that had no name when they were asked for (their runtime had not
    /// written its files yet), and returns those that have one now.
    ///
    /// A container inside a container that gets its name this way was charged to the outer one before. No more are asked
    /// for than there is time, and the others first the next time.
    pub fn retry(&mut self) -> Vec<ContainerIdentity> {
        let end = Instant::now() + FOR_RETRY;
        let mut found = Vec::new();
        for _ in 0..self.unnamed.len() {
            if Instant::now() >= end {
                break;
            }
            let Some(path) = self.unnamed.pop_front() else {
                break;
            };
            // Otherwise it was forgotten.
            if self.known.get(&path).is_none_or(|known| known.named) {
                continue;
            }
            self.known.remove(&path);
            let Place::Container(containers) = place(&path) else {
                continue;
            };
            let Some(container) = containers.last() else {
                continue;
            };
            let known = self.known(container, containers[0].path);
            if known.named {
                found.push(known.identity.clone());
            }
        }
        found
    }

    /// Forgets a cgroup that is gone, so that a long-running caller does not grow.
    pub fn forget(&mut self, path: &str) {
        self.known.remove(path);
    }

    /// Some name is missing because a runtime's files may only be read by root.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        self.denied
    }

    /// Of containers inside one another, the innermost that has a name, else the outermost.
    fn innermost_named<'a>(&mut self, containers: &[ContainerRef<'a>]) -> Option<ContainerRef<'a>> {
        let outermost = *containers.first()?;
        containers
            .iter()
            .skip(1)
            .rev()
            .find(|inner| self.known(inner, outermost.path).named)
            .copied()
            .or(Some(outermost))
    }

    fn known(&mut self, container: &ContainerRef<'_>, outermost: &str) -> &Known {
        if !self.known.contains_key(container.path) {
            let known = self.look_up(container, outermost);
            if !known.named {
                self.unnamed.push_back(container.path.to_owned());
            }
            self.known.insert(container.path.to_owned(), known);
        }
        &self.known[container.path]
    }

    fn look_up(&mut self, container: &ContainerRef<'_>, outermost: &str) -> Known {
        // A container in no other is known to runtimes of the host, an inner one to runtimes that run in
        // the outermost.
        let scope = if container.path == outermost {
            ""
        } else {
            outermost
        };
        for attempt in 0..2 {
            let rescan = match &self.sources {
                None => true,
                Some((_, at)) => attempt > 0 && at.elapsed() >= RESCAN,
            };
            if rescan {
                let before = self.sources.take().map(|(sources, _)| sources);
                let sources = Sources::scan(&self.host, self.hierarchy_id, before);
                self.sources = Some((sources, Instant::now()));
            } else if attempt > 0 {
                break;
            }
            let Some((sources, _)) = &mut self.sources else {
                break;
            };
            match sources.look_up(container, scope) {
                Lookup::Found(found) => {
                    return Known {
                        identity: ContainerIdentity {
                            cgroup: printable(container.path, PATH_CHARS),
                            ..clean(found)
                        },
                        named: true,
                    };
                }
                Lookup::Denied => self.denied = true,
                Lookup::Missing => {}
            }
        }
        let short = container.id.get(..12).unwrap_or(container.id);
        Known {
            identity: identity(
                container.runtime.unwrap_or_default(),
                container.id,
                short,
                container.path,
            ),
            // LXC keeps no other name than the one in the path.
            named: container.runtime == Some(Runtime::Lxc),
        }
    }
}

fn identity(runtime: Runtime, id: &str, name: &str, cgroup: &str) -> ContainerIdentity {
    ContainerIdentity {
        id: id.to_owned(),
        name: printable(name, NAME_CHARS),
        runtime,
        cgroup: printable(cgroup, PATH_CHARS),
        ..ContainerIdentity::default()
    }
}

/// Labels and annotations can be set by whoever starts a container.
fn clean(mut found: ContainerIdentity) -> ContainerIdentity {
    found.name = printable(&found.name, NAME_CHARS);
    found.image = printable(&found.image, NAME_CHARS);
    if let Some(pod) = &mut found.pod {
        pod.namespace = printable(&pod.namespace, NAME_CHARS);
        pod.name = printable(&pod.name, NAME_CHARS);
    }
    found
}
