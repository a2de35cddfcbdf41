//! Every container, service and plain cgroup of the host with its threads: what `ps` lists and targets
//! are chosen from.

use std::collections::HashMap;

use crate::Result;
use crate::host::cgroup::{Cgroup, Hierarchy};
use crate::host::containers::Containers;
use crate::model::{ContainerIdentity, Runtime};

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its cgroup.
    pub cgroup: Cgroup,
    /// Who it is.
    pub identity: ContainerIdentity,
    /// Threads in its cgroup and all below it that are charged to it.
    pub threads: u64,
}

impl Row {
    /// A container, not a service or a plain cgroup.
    #[must_use]
    pub fn is_container(&self) -> bool {
        self.identity.is_container()
    }
}

/// The host's cgroups, and whose they are.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Every cgroup, parents before children.
    pub cgroups: Vec<Cgroup>,
    /// Containers by pod and name, then units, then plain cgroups.
    pub rows: Vec<Row>,
}

impl Inventory {
    /// Reads the whole hierarchy once.
    ///
    /// # Errors
    /// When the root of the hierarchy cannot be read.
    pub fn read(hierarchy: &Hierarchy, containers: &mut Containers) -> Result<Self> {
        let cgroups = hierarchy.walk("/")?;
        let mut threads: HashMap<String, u64> = HashMap::new();
        let mut ids = HashMap::new();
        for cgroup in &cgroups {
            ids.insert(cgroup.path.as_str(), cgroup.id);
            if let Some(owner) = containers.owner(&cgroup.path) {
                *threads.entry(owner).or_default() += hierarchy.threads(&cgroup.path).unwrap_or(0);
            }
        }
        let mut rows: Vec<Row> = threads
            .into_iter()
            .filter_map(|(path, threads)| {
                Some(Row {
                    identity: containers.identify(&path),
                    cgroup: Cgroup {
                        id: *ids.get(path.as_str())?,
                        path,
                    },
                    threads,
                })
            })
            .collect();
        rows.sort_by_cached_key(|row| {
            let pod = row.identity.pod.as_ref();
            (
                !row.is_container(),
                !row.is_container() && row.identity.runtime == Runtime::Cgroup,
                pod.map(|pod| (pod.namespace.clone(), pod.name.clone())),
                row.identity.name.clone(),
                row.cgroup.path.clone(),
            )
        });
        Ok(Self { cgroups, rows })
    }
}
