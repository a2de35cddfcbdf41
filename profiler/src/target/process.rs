//! Processes that were chosen by their ids.

use crate::host::Host;
use crate::host::cgroup::Hierarchy;
use crate::host::containers::{Containers, ProcessPath};
use crate::model::ContainerIdentity;
use crate::model::text::printable;
use crate::{Error, Result};

/// A process that is meant: its threads, and all that descends from it, wherever that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetProcess {
    /// Process id in the first PID namespace.
    pub pid: u32,
    /// The row that it becomes. The cgroup is the one of its container, or its own where it is in none: whose limits
    /// apply to it.
    pub identity: ContainerIdentity,
}

/// The process with this id, or the one that the thread with this id is of, and what the user should know of it. From here
/// on `containers` knows who it is.
pub(super) fn find(
    pid: u32,
    host: &Host,
    hierarchy: &Hierarchy,
    containers: &mut Containers,
) -> Result<(TargetProcess, Vec<String>)> {
    let gone = || Error::NotFound(format!("no process {pid}; it may have ended"));
    let process = host.process_of_thread(pid).ok_or_else(gone)?;
    let path = hierarchy.cgroup_of(process)?.ok_or_else(gone)?;
    let mut notes = Vec::new();
    let name = printable(&host.comm(process).unwrap_or_default(), 15);
    if process != pid {
        notes.push(format!(
            "{pid} is a thread of process {process} ({name}): all of that is meant"
        ));
    }
    let identity = match containers.owner(&path) {
        Some(owner) => containers.identify(&owner),
        None => ContainerIdentity {
            cgroup: path,
            ..ContainerIdentity::default()
        },
    };
    let identity = ContainerIdentity::of_process(process, &name, identity);
    containers.introduce(ProcessPath::new(process), identity.clone());
    Ok((
        TargetProcess {
            pid: process,
            identity,
        },
        notes,
    ))
}
