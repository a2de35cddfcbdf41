//! What the processes of a row are, and whom on the network they wait for.
//!
//! - `programs`, `go`: what they run on, how they were told to divide their work
//! - `addresses`: whose the other ends are
//! - `sockets`: whom their sockets lead to, and whether an answer is outstanding
//! - `network`: what their network namespace counts
//! - `watch`: the thread that looks

mod addresses;
mod go;
mod network;
mod programs;
mod sockets;
mod watch;

pub use network::Traffic;
pub use programs::{ARGUMENTS, Language, Program, count_cpus};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::watch::Watch;
use super::recorder::{NOT_IN_PARTS, Prepared, Running, Scope, cgroup_rows};
use super::{Clean, RowView};
use crate::host::cgroup::{Hierarchy, is_at_or_below};
use crate::model::{Container, Figures, Op, Sums, Unavailable, ViewId, units};

/// Most programs, and most peers, of a row.
const MAX_PROGRAMS: usize = 16;
const MAX_PEERS: usize = 16;

/// What was seen of the processes of a row, and of their sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Programs, those with most threads first.
    pub programs: Vec<Program>,
    /// Bytes that processes read from disks, and that they wrote, from the first look at each to the last: where the cgroup's
    /// own counters have no writing in the background (v1), these do.
    pub read: u64,
    /// See `read`.
    pub written: u64,
    /// How often their sockets were looked at.
    pub looks: u64,
    /// Whom they waited for, most looks first.
    pub peers: Vec<Peer>,
    /// Listeners whose queue was full, and in how many looks.
    pub full: Vec<(String, u64)>,
    /// What their network namespaces counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
}

/// What is outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// A connection that the peer has not taken.
    Connection,
    /// An answer: data was sent on a connection that was made from here, and none came back since.
    Answer,
    /// The address of a name.
    Name,
}

/// Somebody on the network from whom something was outstanding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Peer {
    /// Address and port.
    pub address: String,
    /// Name of the row that has this address, if one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// What was outstanding.
    pub waiting: Waiting,
    /// In how many looks.
    pub looks: u64,
    /// The longest that an answer had been outstanding when it was looked.
    pub longest_ms: u64,
}

impl Peer {
    /// As sentences have it: `db (10.0.0.7:5432)`, or the address alone.
    #[must_use]
    pub fn called(&self) -> String {
        match &self.container {
            Some(name) => format!("{name} ({})", self.address),
            None => self.address.clone(),
        }
    }
}

impl Sums for Workload {
    fn combine(&mut self, other: &Self, op: Op) {
        if op == Op::Add {
            self.programs.clone_from(&other.programs);
        }
        op.on(&mut self.read, other.read);
        op.on(&mut self.written, other.written);
        op.on(&mut self.looks, other.looks);
        for theirs in &other.peers {
            let is_same =
                |it: &&mut Peer| (&it.address, it.waiting) == (&theirs.address, theirs.waiting);
            match (self.peers.iter_mut().find(is_same), op) {
                (Some(own), op) => {
                    op.on(&mut own.looks, theirs.looks);
                    own.container = own.container.take().or_else(|| theirs.container.clone());
                }
                (None, Op::Add) => self.peers.push(theirs.clone()),
                (None, Op::Subtract) => {}
            }
        }
        for (address, looks) in &other.full {
            match (self.full.iter_mut().find(|(known, _)| known == address), op) {
                (Some((_, own)), op) => op.on(own, *looks),
                (None, Op::Add) => self.full.push((address.clone(), *looks)),
                (None, Op::Subtract) => {}
            }
        }
        self.traffic.combine(&other.traffic, op);
        self.order();
    }
}

impl Workload {
    fn order(&mut self) {
        self.programs
            .sort_by(|a, b| b.threads.cmp(&a.threads).then_with(|| a.cmp(b)));
        self.programs.truncate(MAX_PROGRAMS);
        self.peers.retain(|it| it.looks > 0);
        self.peers
            .sort_by(|a, b| b.looks.cmp(&a.looks).then_with(|| a.cmp(b)));
        self.peers.truncate(MAX_PEERS);
        self.full.retain(|(_, looks)| *looks > 0);
    }

    /// What another cgroup of the row has seen in the same looks.
    fn join(&mut self, other: &Self) {
        let looks = self.looks.max(other.looks);
        let programs = std::mem::take(&mut self.programs);
        self.combine(other, Op::Add);
        self.programs.extend(programs);
        self.looks = looks;
        self.order();
    }
}

impl Figures for Workload {
    const VIEW: ViewId = ViewId::new("workload");
}

impl RowView for Workload {
    const TITLE: &'static str = "processes";

    type Record = (
        Vec<Program>,
        (u64, u64),
        u64,
        Vec<Peer>,
        Vec<(String, u64)>,
        Option<Traffic>,
    );

    fn record(&self) -> Self::Record {
        let Self {
            programs,
            read,
            written,
            looks,
            peers,
            full,
            traffic,
        } = self.clone();
        (programs, (read, written), looks, peers, full, traffic)
    }

    fn restore(record: Self::Record, clean: Clean) -> Option<Self> {
        let (mut programs, (read, written), looks, mut peers, mut full, traffic) = record;
        for program in &mut programs {
            program.name = clean(&program.name);
            program.version = clean(&program.version);
            for (name, value) in &mut program.settings {
                (*name, *value) = (clean(name), clean(value));
            }
        }
        for peer in &mut peers {
            peer.address = clean(&peer.address);
            peer.container = peer.container.as_deref().map(clean);
        }
        for (address, _) in &mut full {
            *address = clean(address);
        }
        Some(Self {
            programs,
            read,
            written,
            looks,
            peers,
            full,
            traffic,
        })
    }

    type Summary = Self;

    fn summary(&self, _: Option<u64>) -> Self {
        self.clone()
    }

    fn line(&self, _: Option<u64>) -> Option<String> {
        const MOST: usize = 3;
        let mut parts: Vec<String> = self
            .programs
            .iter()
            .filter(|it| it.language != Language::Native || !it.settings.is_empty())
            .take(MOST)
            .map(Program::words)
            .collect();
        let peers = self.peers.iter().filter(|it| it.looks * 20 >= self.looks);
        parts.extend(peers.take(MOST).map(|peer| {
            let what = match peer.waiting {
                Waiting::Connection => "a connection to",
                Waiting::Answer => "an answer of",
                Waiting::Name => "a name from",
            };
            let share = units::percent(peer.looks, self.looks);
            format!("{what} {} outstanding in {share} of looks", peer.called())
        }));
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn prepare(scope: &Scope<'_>) -> Prepared {
        if scope.is_part {
            return Err(NOT_IN_PARTS.to_owned());
        }
        if !scope.stacks {
            return Err("not looked at with --no-stacks: looks cost something".to_owned());
        }
        Ok(Box::new(Run {
            hierarchy: scope.hierarchy.clone(),
            owners: scope.owners.clone(),
            watch: None,
            seen: Some(BTreeMap::new()),
        }))
    }
}

/// Looks while a recording goes on.
struct Run {
    hierarchy: Hierarchy,
    /// Cgroups that have a row, with all below them: what is in no row is not looked at.
    owners: Vec<String>,
    watch: Option<Watch>,
    seen: Option<watch::Seen>,
}

impl Running for Run {
    fn start(&mut self, cgroups: &[&str]) {
        let has_row = |path: &&str| self.owners.iter().any(|owner| is_at_or_below(path, owner));
        let (own, others): (Vec<&str>, Vec<&str>) = cgroups.iter().copied().partition(has_row);
        self.watch = Some(Watch::start(&self.hierarchy, &own, &others));
    }

    fn stop(&mut self) {
        if let Some(watch) = self.watch.take() {
            self.seen = watch.end();
        }
    }

    fn give(&mut self, rows: &mut [Container]) -> Vec<Unavailable> {
        let Some(seen) = self.seen.take() else {
            return vec![Unavailable {
                view: Workload::VIEW,
                cause: "a look at processes does not come to its end".to_owned(),
            }];
        };
        let mut rows: Vec<&mut Container> = cgroup_rows(rows).collect();
        let named = rows.iter().map(|row| &row.identity);
        let named: Vec<_> = named
            .map(|it| (it.cgroup.clone(), it.name.clone()))
            .collect();
        for (path, mut processes) in seen {
            for peer in &mut processes.peers {
                peer.container = peer.container.take().and_then(|of| {
                    let rows = named.iter().filter(|(row, _)| is_at_or_below(&of, row));
                    let row = rows.max_by_key(|(row, _)| row.len())?;
                    Some(row.1.clone())
                });
            }
            let owner = rows
                .iter_mut()
                .filter(|row| is_at_or_below(&path, &row.identity.cgroup))
                .max_by_key(|row| row.identity.cgroup.len());
            let Some(row) = owner else {
                continue;
            };
            match row.measured.get_mut::<Workload>() {
                Some(known) => known.join(&processes),
                None => {
                    processes.order();
                    row.measured.insert(processes);
                }
            }
        }
        Vec::new()
    }
}
