//! Which group a cgroup belongs to, by its labels.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::host::cgroup::Hierarchy;
use crate::host::containers::Containers;
use crate::host::namespaces;
use crate::model::{ContainerIdentity, GroupKey, Grouping};

/// A name is looked up again after this long: containers can be renamed.
const FRESH: Duration = Duration::from_secs(10);
/// Most names that are looked up again at once: each takes some 50 us.
const AT_ONCE: usize = 20;

/// A cgroup as its labels have it.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    /// The group's labels.
    pub(super) key: GroupKey,
    /// Who it is.
    pub(super) identity: ContainerIdentity,
    /// The cgroup that holds the whole container; empty for folders of the host.
    pub(super) owner: String,
    /// The labels depend on a process that was not there yet.
    unsettled: bool,
    at: Option<Instant>,
}

impl Named {
    /// It is called by its id, for want of a name.
    fn is_anonymous(&self) -> bool {
        !self.identity.id.is_empty() && self.identity.id.starts_with(&self.identity.name)
    }
}

/// Names of all cgroups.
pub(super) struct Naming<'a> {
    grouping: Grouping,
    hierarchy: &'a Hierarchy,
    containers: Containers,
    known: HashMap<String, Named>,
}

impl<'a> Naming<'a> {
    pub(super) fn new(
        grouping: Grouping,
        hierarchy: &'a Hierarchy,
        containers: Containers,
    ) -> Self {
        Self {
            grouping,
            hierarchy,
            containers,
            known: HashMap::new(),
        }
    }

    /// Labels are made anew, in another way.
    pub(super) fn regroup(&mut self, grouping: Grouping) {
        if std::mem::replace(&mut self.grouping, grouping) != grouping {
            self.known.clear();
        }
    }

    /// Who the cgroup is now.
    pub(super) fn of(&mut self, path: &str) -> &Named {
        let stale = self.known.get(path).is_none_or(|named| named.unsettled);
        if stale {
            let named = self.look_up(path);
            self.known.insert(path.to_owned(), named);
        }
        self.known.entry(path.to_owned()).or_default()
    }

    /// Forgets a cgroup that is gone.
    pub(super) fn forget(&mut self, path: &str) {
        self.known.remove(path);
        self.containers.forget(path);
    }

    /// Looks for names that runtimes have written since, and at some of those that may have changed. Returns the labels
    /// that a group had, and has now.
    pub(super) fn refresh(&mut self) -> Vec<(GroupKey, GroupKey)> {
        let found = self.containers.retry();
        let is_old = |named: &Named| {
            !named.identity.id.is_empty() && named.at.is_none_or(|at| at.elapsed() > FRESH)
        };
        let mut paths: Vec<String> = self
            .known
            .iter()
            .filter(|(_, named)| is_old(named))
            .take(AT_ONCE)
            .map(|(path, named)| {
                self.containers.forget(&named.owner);
                path.clone()
            })
            .collect();
        let is_found = |named: &Named| found.iter().any(|it| it.cgroup == named.owner);
        let new = self.known.iter().filter(|(_, named)| is_found(named));
        paths.extend(new.map(|(path, _)| path.clone()));
        let mut renamed = Vec::new();
        for path in paths {
            let named = self.look_up(&path);
            let before = self.known.entry(path).or_default();
            // The files of a container that is going may be gone already: it keeps the name that it had.
            if named.is_anonymous() && !before.is_anonymous() {
                before.at = named.at;
                continue;
            }
            let before = std::mem::replace(before, named.clone());
            if before.key != named.key {
                renamed.push((before.key, named.key));
            }
        }
        renamed.retain(|(before, _)| !self.known.values().any(|named| named.key == *before));
        renamed
    }

    fn look_up(&mut self, path: &str) -> Named {
        let (owner, identity) = match self.containers.owner(path) {
            Some(owner) => {
                let identity = self.containers.identify(&owner);
                (owner, identity)
            }
            // Who runs in a folder of the host, such as `/`, is in no container.
            None => (String::new(), of_host("host")),
        };
        let (key, unsettled) = self.key(path, &owner, &identity);
        Named {
            key,
            identity,
            owner,
            unsettled,
            at: Some(Instant::now()),
        }
    }

    fn key(&self, path: &str, owner: &str, identity: &ContainerIdentity) -> (GroupKey, bool) {
        let kind = match self.grouping {
            Grouping::Container => return (by_container(identity), false),
            Grouping::Cgroup => {
                let mut key = by_container(identity);
                path.clone_into(&mut key.cgroup);
                return (key, false);
            }
            Grouping::Pod => {
                let mut key = by_container(identity);
                if !key.pod.is_empty() {
                    key.container.clear();
                }
                return (key, false);
            }
            Grouping::NetworkNamespace => "net",
            Grouping::PidNamespace => "pid",
            Grouping::MountNamespace => "mnt",
        };
        // What is in no container is in the namespaces of the host's first process.
        let inode = if owner.is_empty() {
            namespaces::of_process(1, kind)
        } else {
            namespaces::of_cgroup(self.hierarchy, path, kind)
                .or_else(|| namespaces::of_cgroup(self.hierarchy, owner, kind))
        };
        let key = GroupKey {
            kernel_namespace: inode.map(|inode| inode.to_string()).unwrap_or_default(),
            ..GroupKey::default()
        };
        (key, inode.is_none())
    }

    /// The labels of `host` and `kernel`, which are no cgroups.
    pub(super) fn fixed(&self, name: &str) -> Named {
        let identity = of_host(name);
        let (key, _) = self.key("", "", &identity);
        Named {
            key,
            identity,
            ..Named::default()
        }
    }
}

fn of_host(name: &str) -> ContainerIdentity {
    ContainerIdentity {
        name: name.to_owned(),
        runtime: name.to_owned(),
        ..ContainerIdentity::default()
    }
}

fn by_container(identity: &ContainerIdentity) -> GroupKey {
    let pod = identity.pod.as_ref();
    GroupKey {
        container: identity.name.clone(),
        pod: pod.map(|pod| pod.name.clone()).unwrap_or_default(),
        namespace: pod.map(|pod| pod.namespace.clone()).unwrap_or_default(),
        ..GroupKey::default()
    }
}
