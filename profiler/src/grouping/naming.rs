//! Which group a cgroup belongs to, by its labels.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::host::cgroup::Hierarchy;
use crate::host::containers::{Containers, pattern};
use crate::host::namespaces;
use crate::model::{ContainerIdentity, Fixed, GroupKey, Grouping, RESERVED};

/// A name is looked up again after this long: containers can be renamed.
const FRESH: Duration = Duration::from_secs(10);
/// How long a container may take to come into its namespaces.
const SETTLED: Duration = Duration::from_secs(1);
/// Most names that are looked up again at once: each takes some 50 us.
const AT_ONCE: usize = 20;

/// A cgroup as its labels have it.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// The group's labels.
    pub key: GroupKey,
    /// Who it is.
    pub identity: ContainerIdentity,
    /// The cgroup that holds all of the row that is in one place: the container, the pod, the cgroup itself. Its limits and
    /// counters are the row's. `None` for directories of the host.
    pub holder: Option<Arc<str>>,
    /// The cgroup that holds the whole container; empty for directories of the host.
    owner: String,
    /// The labels depend on a process that was not there yet, or not in its own namespaces.
    unsettled: bool,
    /// When it was first looked at.
    since: Option<Instant>,
    at: Option<Instant>,
}

impl Named {
    /// A row of this key, of which nothing else is known.
    #[cfg(test)]
    #[allow(clippy::unnecessary_wraps, reason = "as who looks names up has it")]
    pub(crate) fn by_key(key: &GroupKey) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            key: key.clone(),
            ..Self::default()
        }))
    }

    /// It is called by its id, for want of a name.
    fn is_anonymous(&self) -> bool {
        !self.identity.id.is_empty() && self.identity.id.starts_with(&self.identity.name)
    }
}

/// Names of all cgroups.
pub struct Naming {
    grouping: Grouping,
    hierarchy: Hierarchy,
    containers: Containers,
    known: HashMap<String, Arc<Named>>,
}

impl Naming {
    /// Nothing is looked up yet.
    #[must_use]
    pub fn new(grouping: Grouping, hierarchy: Hierarchy, containers: Containers) -> Self {
        Self {
            grouping,
            hierarchy,
            containers,
            known: HashMap::new(),
        }
    }

    /// By what rows are told apart.
    #[must_use]
    pub const fn grouping(&self) -> Grouping {
        self.grouping
    }

    /// The names behind it.
    pub const fn containers(&mut self) -> &mut Containers {
        &mut self.containers
    }

    /// A cgroup was born: who its owner is. Looked up now, because a short-lived container takes its runtime's files and its
    /// namespaces with it.
    pub fn born(&mut self, path: &str) -> ContainerIdentity {
        if self.grouping != Grouping::Container {
            self.of(path);
        }
        self.containers.identify(path)
    }

    /// Looks again at cgroups in which there was no process when they were looked at, and at containers that had no name; returns
    /// those that have one now.
    pub fn settle(&mut self) -> Vec<ContainerIdentity> {
        let found = self.containers.retry();
        if !found.is_empty() {
            let is_namespace = self.grouping.namespace().is_some();
            self.known.retain(|_, named| {
                let Some(identity) = found.iter().find(|it| it.cgroup == named.owner) else {
                    return true;
                };
                if is_namespace {
                    // A name says nothing of namespaces, and the processes that do may be gone.
                    Arc::make_mut(named).identity = identity.clone();
                }
                is_namespace
            });
        }
        let unsettled = self.known.iter().filter(|(_, named)| named.unsettled);
        let unsettled: Vec<String> = unsettled.map(|(path, _)| path.clone()).collect();
        for path in unsettled {
            self.of(&path);
        }
        found
    }

    /// Labels are made anew, in another way; false if it is the same one.
    pub fn regroup(&mut self, grouping: Grouping) -> bool {
        let is_another = std::mem::replace(&mut self.grouping, grouping) != grouping;
        if is_another {
            self.known.clear();
        }
        is_another
    }

    /// Who the cgroup is now.
    pub fn of(&mut self, path: &str) -> Arc<Named> {
        match self.known.get(path) {
            Some(named) if !named.unsettled => Arc::clone(named),
            before => {
                let since = before.and_then(|it| it.since).unwrap_or_else(Instant::now);
                let mut named = self.look_up(path);
                named.since = Some(since);
                named.unsettled |= self.may_be_on_its_way(&named) && since.elapsed() < SETTLED;
                let named = Arc::new(named);
                self.known.insert(path.to_owned(), Arc::clone(&named));
                named
            }
        }
    }

    /// Runtimes put a container's first process into its cgroup before they give it namespaces of its own: that it is in
    /// the host's means something only later.
    fn may_be_on_its_way(&self, named: &Named) -> bool {
        let inode = &named.key.kernel_namespace;
        let is_hosts = |host: u64| host.to_string() == *inode;
        !named.owner.is_empty()
            && !inode.is_empty()
            && namespaces::of_host(self.namespace()).is_some_and(is_hosts)
    }

    /// Forgets a cgroup that is gone.
    pub fn forget(&mut self, path: &str) {
        self.known.remove(path);
        self.containers.forget(path);
    }

    /// Looks for names that runtimes have written since, and at some of those that may have changed. Returns the labels
    /// that a group had, and has now.
    pub fn refresh(&mut self) -> Vec<(GroupKey, GroupKey)> {
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
        if !found.is_empty() {
            let is_found = |named: &Named| found.iter().any(|it| it.cgroup == named.owner);
            let new = self.known.iter().filter(|(_, named)| is_found(named));
            paths.extend(new.map(|(path, _)| path.clone()));
        }
        let mut renamed = Vec::new();
        for path in paths {
            let named = self.look_up(&path);
            let before = self.known.entry(path).or_default();
            // The files of a container that is going may be gone already: it keeps the name that it had.
            if named.is_anonymous() && !before.is_anonymous() {
                Arc::make_mut(before).at = named.at;
                continue;
            }
            if before.key != named.key {
                renamed.push((before.key.clone(), named.key.clone()));
            }
            *before = Arc::new(named);
        }
        renamed.retain(|(before, _)| !self.known.values().any(|named| named.key == *before));
        renamed
    }

    fn look_up(&mut self, path: &str) -> Named {
        let Some(owner) = self.containers.owner(path) else {
            // Who runs in a directory of the host, such as `/`, is in no container.
            let (key, unsettled) = self.key_of_host(Fixed::Host, path);
            return Named {
                key,
                identity: fixed_identity(Fixed::Host),
                unsettled,
                at: Some(Instant::now()),
                ..Named::default()
            };
        };
        let identity = self.containers.identify(&owner);
        let (key, unsettled) = self.key(path, &owner, &identity);
        let pod = pattern::pod(&owner).filter(|_| self.is_pod(&key));
        let holder = match self.grouping {
            Grouping::Cgroup => path,
            _ => pod.unwrap_or(&owner),
        };
        Named {
            identity: if self.is_pod(&key) {
                pod_identity(identity, holder)
            } else {
                identity
            },
            key,
            holder: Some(Arc::from(holder)),
            owner,
            unsettled,
            since: None,
            at: Some(Instant::now()),
        }
    }

    /// Whether the row is a pod.
    fn is_pod(&self, key: &GroupKey) -> bool {
        self.grouping == Grouping::Pod && !key.pod.is_empty()
    }

    fn key(&self, path: &str, owner: &str, identity: &ContainerIdentity) -> (GroupKey, bool) {
        match self.grouping {
            Grouping::Container => (by_container(identity), false),
            Grouping::Cgroup => {
                let mut key = by_container(identity);
                path.clone_into(&mut key.cgroup);
                (key, false)
            }
            Grouping::Pod => {
                let mut key = by_container(identity);
                if !key.pod.is_empty() {
                    key.container.clear();
                }
                (key, false)
            }
            Grouping::NetworkNamespace
            | Grouping::PidNamespace
            | Grouping::MountNamespace
            | Grouping::UserNamespace => {
                let kind = self.namespace();
                let inode = namespaces::of_cgroup(&self.hierarchy, path, kind)
                    .or_else(|| namespaces::of_cgroup(&self.hierarchy, owner, kind));
                by_namespace(inode)
            }
        }
    }

    fn key_of_host(&self, fixed: Fixed, path: &str) -> (GroupKey, bool) {
        match self.grouping {
            Grouping::Container | Grouping::Pod => (GroupKey::fixed(fixed), false),
            Grouping::Cgroup => {
                let mut key = GroupKey::fixed(fixed);
                path.clone_into(&mut key.cgroup);
                (key, false)
            }
            // What is in no container is in the namespaces of the host's first process.
            Grouping::NetworkNamespace
            | Grouping::PidNamespace
            | Grouping::MountNamespace
            | Grouping::UserNamespace => by_namespace(namespaces::of_host(self.namespace())),
        }
    }

    /// The kind of namespace that rows are told apart by, as in `/proc/PID/ns`.
    const fn namespace(&self) -> &'static str {
        match self.grouping {
            Grouping::PidNamespace => "pid",
            Grouping::MountNamespace => "mnt",
            Grouping::UserNamespace => "user",
            _ => "net",
        }
    }

    /// The row of processes in no cgroup of their own, or of kernel threads.
    pub fn fixed(&self, fixed: Fixed) -> Arc<Named> {
        let (key, _) = self.key_of_host(fixed, "");
        Arc::new(Named {
            key,
            identity: fixed_identity(fixed),
            ..Named::default()
        })
    }
}

/// Who a row is that is no container.
pub fn fixed_identity(fixed: Fixed) -> ContainerIdentity {
    ContainerIdentity {
        name: fixed.name().to_owned(),
        runtime: fixed.runtime(),
        ..ContainerIdentity::default()
    }
}

/// Who a pod is, by one of its containers: not that container, which may be the one that only holds its namespaces.
fn pod_identity(container: ContainerIdentity, cgroup: &str) -> ContainerIdentity {
    let name = container.pod.as_ref().map(|pod| pod.name.clone());
    ContainerIdentity {
        id: String::new(),
        name: name.unwrap_or_default(),
        image: String::new(),
        cgroup: cgroup.to_owned(),
        ..container
    }
}

fn by_namespace(inode: Option<u64>) -> (GroupKey, bool) {
    let key = GroupKey {
        kernel_namespace: inode.map(|inode| inode.to_string()).unwrap_or_default(),
        ..GroupKey::default()
    };
    (key, inode.is_none())
}

fn by_container(identity: &ContainerIdentity) -> GroupKey {
    let pod = identity.pod.as_ref();
    let container = match identity.name.as_str() {
        // Whoever starts a container may name it as a row of ours is named.
        name if RESERVED.contains(&name) => format!("{}:{name}", identity.runtime),
        "" => identity.cgroup.clone(),
        name => name.to_owned(),
    };
    GroupKey {
        container,
        pod: pod.map(|pod| pod.name.clone()).unwrap_or_default(),
        namespace: pod.map(|pod| pod.namespace.clone()).unwrap_or_default(),
        ..GroupKey::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{by_container, pod_identity};
    use crate::model::{ContainerIdentity, Fixed, GroupKey, Pod, RESERVED, Runtime};

    fn identity(name: &str, runtime: Runtime, pod: Option<&str>) -> ContainerIdentity {
        ContainerIdentity {
            id: "4f1c".into(),
            name: name.into(),
            runtime,
            image: "shop:1".into(),
            pod: pod.map(|pod| Pod {
                namespace: "shop".into(),
                name: pod.into(),
            }),
            cgroup: "/kubepods/pod1/4f1c".into(),
        }
    }

    #[test]
    fn no_container_has_a_name_of_ours() {
        for name in RESERVED {
            for pod in [None, Some("web-1")] {
                let key = by_container(&identity(name, Runtime::Docker, pod));
                assert_eq!(key.container_label(), format!("docker:{name}"));
                assert_ne!(key.full_name(), name);
            }
        }
        let ours = GroupKey::fixed(Fixed::Host);
        assert_eq!(ours.container_label(), "host");
        assert_ne!(by_container(&identity("host", Runtime::Host, None)), ours);
        let web = by_container(&identity("web", Runtime::Docker, None));
        assert_eq!(web.container_label(), "web");
    }

    #[test]
    fn a_pod_is_none_of_its_containers() {
        let pause = identity("POD", Runtime::Containerd, Some("web-1"));
        let pod = pod_identity(pause, "/kubepods/pod1");
        assert_eq!((pod.id.as_str(), pod.image.as_str()), ("", ""));
        assert_eq!(
            (pod.name.as_str(), pod.runtime),
            ("web-1", Runtime::Containerd)
        );
        assert_eq!(pod.cgroup, "/kubepods/pod1");
    }
}
