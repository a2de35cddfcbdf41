//! The thread that looks at processes and their sockets for as long as a recording goes on: a process decides how long reading
//! of it takes, and a look into another network namespace is a move into it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::AsFd as _;

use super::addresses::Addresses;
use super::network::{self, Traffic};
use super::programs::Program;
use super::sockets::{self, Kind, Socket};
use super::{Peer, Waiting, Workload};
use crate::host::Host;
use crate::host::cgroup::Hierarchy;
use crate::model::{Op, Sums as _};

/// Between two looks at sockets, at least.
const PAUSE: Duration = Duration::from_millis(100);

/// And this many times as long as a look took: what looks cost stays below one percent of a CPU.
const PAUSES: u32 = 100;

/// How often programs are looked for.
const PROGRAMS: Duration = Duration::from_secs(2);

/// For how long processes are looked at once more at the end, and how long the end waits for that.
const LAST: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_millis(300);

/// Most processes of a cgroup, of all cgroups, and most open files of a process that are looked at.
const MAX_OF_CGROUP: usize = 64;
const MAX_PROCESSES: usize = 2_048;
const MAX_FILES: usize = 1_024;

/// Most peers of a cgroup.
const MAX_PEERS: usize = 64;

/// What the thread has seen, by cgroup. Peers have cgroups for names yet.
pub(super) type Seen = BTreeMap<String, Workload>;

/// A thread that watches.
pub(super) struct Watch {
    is_over: Arc<AtomicBool>,
    seen: mpsc::Receiver<Seen>,
}

impl Watch {
    /// Begins with these cgroups; `others` are not to be looked at. Those that are born meanwhile are.
    pub(super) fn start(hierarchy: &Hierarchy, cgroups: &[&str], others: &[&str]) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (sender, seen) = mpsc::channel();
        let mut looks = Looks::of(hierarchy, cgroups, others);
        let ends = Arc::clone(&is_over);
        let watch = move || {
            looks.go_on_until(&ends);
            let _ = sender.send(looks.end());
        };
        let builder = std::thread::Builder::new().name("ctprof-watch".to_owned());
        // Without the thread nothing is sent, which its caller says.
        let _ = builder.spawn(watch);
        Self { is_over, seen }
    }

    /// Ends, and returns what was seen; `None` if that does not come.
    pub(super) fn end(self) -> Option<Seen> {
        self.is_over.store(true, Ordering::Relaxed);
        self.seen.recv_timeout(PATIENCE).ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

struct Looks {
    hierarchy: Hierarchy,
    host: Host,
    cgroups: Vec<String>,
    /// Every cgroup that was heard of.
    known: HashSet<String>,
    own_network: Option<File>,
    hosts_network: Option<PathBuf>,
    /// Programs by process, with the cgroup.
    programs: HashMap<u32, (String, Program)>,
    /// First and last reading of what each process read from disks and wrote, with its cgroup.
    bytes: HashMap<u32, (String, Bytes, Bytes)>,
    /// First and last reading of the counters of each namespace.
    traffic: HashMap<PathBuf, (Traffic, Traffic)>,
    /// Namespaces that the processes of a cgroup are in.
    networks: BTreeMap<String, HashSet<PathBuf>>,
    addresses: Addresses,
    waits: BTreeMap<String, BTreeMap<(SocketAddr, Waiting), Peer>>,
    full: BTreeMap<String, BTreeMap<SocketAddr, u64>>,
    rounds: u64,
}

impl Looks {
    fn of(hierarchy: &Hierarchy, cgroups: &[&str], others: &[&str]) -> Self {
        let host = hierarchy.host().clone();
        let owned = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        Self {
            known: owned(cgroups).into_iter().chain(owned(others)).collect(),
            cgroups: owned(cgroups),
            own_network: File::open("/proc/thread-self/ns/net").ok(),
            hosts_network: std::fs::read_link(host.at("/proc/1/ns/net")).ok(),
            hierarchy: hierarchy.clone(),
            host,
            programs: HashMap::new(),
            bytes: HashMap::new(),
            traffic: HashMap::new(),
            networks: BTreeMap::new(),
            addresses: Addresses::default(),
            waits: BTreeMap::new(),
            full: BTreeMap::new(),
            rounds: 0,
        }
    }

    fn go_on_until(&mut self, is_over: &AtomicBool) {
        let mut next_programs = Instant::now();
        while !is_over.load(Ordering::Relaxed) {
            let began = Instant::now();
            if began >= next_programs {
                self.find_newborn();
            }
            let processes = self.processes();
            if began >= next_programs {
                self.look_at(&processes, || is_over.load(Ordering::Relaxed));
                next_programs = Instant::now() + PROGRAMS.max(began.elapsed() * PAUSES);
            }
            let began = Instant::now();
            self.look_at_sockets(&processes);
            let until = Instant::now() + PAUSE.max(began.elapsed() * PAUSES);
            while Instant::now() < until && !is_over.load(Ordering::Relaxed) {
                let left = until.saturating_duration_since(Instant::now());
                std::thread::sleep(left.min(Duration::from_millis(20)));
            }
        }
        let processes = self.processes();
        let until = Instant::now() + LAST;
        self.look_at(&processes, || Instant::now() >= until);
    }

    fn find_newborn(&mut self) {
        let all = self.hierarchy.walk("/").unwrap_or_default();
        for cgroup in all {
            if self.known.insert(cgroup.path.clone()) {
                self.cgroups.push(cgroup.path);
            }
        }
    }

    /// The processes of each cgroup.
    fn processes(&self) -> Vec<(String, Vec<u32>)> {
        let mut left = MAX_PROCESSES;
        let of = |path: &String| {
            let mut all = self.hierarchy.processes(path);
            all.truncate(MAX_OF_CGROUP.min(left));
            left -= all.len();
            (!all.is_empty()).then(|| (path.clone(), all))
        };
        self.cgroups.iter().filter_map(of).collect()
    }

    /// What processes are, what they have read and written, and what their networks count.
    fn look_at(&mut self, processes: &[(String, Vec<u32>)], is_over: impl Fn() -> bool) {
        for (path, pids) in processes {
            let mut has_network = false;
            for pid in pids {
                if is_over() {
                    return;
                }
                match self.programs.get_mut(pid) {
                    // Reading all of it anew would cost what it costs to read the process' mappings.
                    Some((_, known)) => known.look_again(&self.host, *pid),
                    None => {
                        if let Some(program) = Program::read(&self.host, *pid) {
                            self.programs.insert(*pid, (path.clone(), program));
                        }
                    }
                }
                if let Some(now) = Bytes::read(&self.host, *pid) {
                    let both = self.bytes.entry(*pid);
                    both.or_insert_with(|| (path.clone(), now, now)).2 = now;
                }
                let network = std::fs::read_link(self.host.at(format!("/proc/{pid}/ns/net")));
                if let (false, Ok(network)) = (has_network, network) {
                    has_network = true;
                    let is_hosts = self.hosts_network.as_ref() == Some(&network);
                    if let Some(now) = network::read(&self.host, *pid, is_hosts) {
                        let both = self.traffic.entry(network.clone()).or_insert((now, now));
                        both.1 = now;
                    }
                    let networks = self.networks.entry(path.clone()).or_default();
                    if !networks.contains(&network) {
                        self.addresses.learn(&self.host, *pid, &network);
                        networks.insert(network);
                    }
                }
            }
        }
    }

    fn look_at_sockets(&mut self, processes: &[(String, Vec<u32>)]) {
        let mut known: HashMap<PathBuf, HashMap<u64, Socket>> = HashMap::new();
        let mut listening: HashMap<PathBuf, HashSet<u16>> = HashMap::new();
        for (path, pids) in processes {
            let mut now: HashSet<(SocketAddr, Waiting)> = HashSet::new();
            let mut longest: HashMap<(SocketAddr, Waiting), u32> = HashMap::new();
            for pid in pids {
                let Ok(network) = std::fs::read_link(self.host.at(format!("/proc/{pid}/ns/net")))
                else {
                    continue;
                };
                if !known.contains_key(&network) {
                    let all = self.sockets_of(*pid).unwrap_or_default();
                    let listens = all
                        .iter()
                        .filter(|it| matches!(it.kind, Kind::Listens { .. }));
                    listening.insert(network.clone(), listens.map(|it| it.local.port()).collect());
                    let all = all.into_iter().map(|it| (it.inode, it));
                    known.insert(network.clone(), all.collect());
                }
                let (Some(all), Some(ports)) = (known.get(&network), listening.get(&network))
                else {
                    continue;
                };
                for socket in inodes(&self.host, *pid).filter_map(|inode| all.get(&inode)) {
                    if let Kind::Listens { queued, room } = socket.kind {
                        self.addresses.listens(&network, socket.local.port(), path);
                        if room > 0 && queued >= room {
                            let full = self.full.entry(path.clone()).or_default();
                            *full.entry(socket.local).or_default() += 1;
                        }
                        continue;
                    }
                    let (waiting, ms) = match socket.kind {
                        Kind::Connects => (Waiting::Connection, 0),
                        // Who connected to us is owed nothing by asking for more.
                        Kind::IsOwed { for_ms } if !ports.contains(&socket.local.port()) => {
                            (Waiting::Answer, for_ms)
                        }
                        Kind::Datagrams if socket.peer.port() == DNS => (Waiting::Name, 0),
                        _ => continue,
                    };
                    let key = (socket.peer, waiting);
                    now.insert(key);
                    let longest = longest.entry(key).or_default();
                    *longest = (*longest).max(ms);
                }
            }
            let peers = self.waits.entry(path.clone()).or_default();
            for key in now {
                if peers.len() >= MAX_PEERS && !peers.contains_key(&key) {
                    continue;
                }
                let peer = peers.entry(key).or_insert_with(|| Peer {
                    address: key.0.to_string(),
                    container: None,
                    waiting: key.1,
                    looks: 0,
                    longest_ms: 0,
                });
                peer.looks += 1;
                peer.longest_ms = peer
                    .longest_ms
                    .max(longest.get(&key).copied().unwrap_or(0).into());
            }
        }
        self.rounds += 1;
    }

    /// The sockets of the network namespace that a process is in.
    fn sockets_of(&self, pid: u32) -> Option<Vec<Socket>> {
        let theirs = File::open(self.host.at(format!("/proc/{pid}/ns/net"))).ok()?;
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(theirs.as_fd(), network).ok()?;
        let found = sockets::all();
        if let Some(own) = &self.own_network {
            let _ = move_into_link_name_space(own.as_fd(), network);
        }
        found
    }

    fn end(self) -> Seen {
        let mut seen = Seen::new();
        for (path, program) in self.programs.into_values() {
            let programs = &mut seen.entry(path).or_default().programs;
            match programs.iter_mut().find(|it| it.is_like(&program)) {
                Some(known) => {
                    known.processes += 1;
                    known.threads = known.threads.max(program.threads);
                    known.mapped = known.mapped.max(program.mapped);
                }
                None => programs.push(program),
            }
        }
        for (path, first, last) in self.bytes.into_values() {
            let of = seen.entry(path).or_default();
            of.read += last.read.saturating_sub(first.read);
            of.written += last.written.saturating_sub(first.written);
        }
        let own_networks = self.networks;
        for (path, networks) in &own_networks {
            let all = networks.iter().filter_map(|it| self.traffic.get(it));
            let rest = all.map(|(first, last)| {
                let mut rest = *last;
                rest.combine(first, Op::Subtract);
                rest
            });
            seen.entry(path.clone()).or_default().traffic = rest.reduce(|mut a, b| {
                a.combine(&b, Op::Add);
                a.is_hosts |= b.is_hosts;
                a
            });
        }
        for (path, peers) in self.waits {
            let from = own_networks.get(&path);
            let peers = peers.into_iter().map(|((address, _), peer)| {
                let owner = self.addresses.owner(address, from, &own_networks);
                Peer {
                    container: owner.map(str::to_owned),
                    ..peer
                }
            });
            let of = seen.entry(path.clone()).or_default();
            of.peers = peers.collect();
            of.peers
                .sort_by(|a, b| b.looks.cmp(&a.looks).then_with(|| a.cmp(b)));
        }
        for (path, full) in self.full {
            let full = full.into_iter().map(|(at, looks)| (at.to_string(), looks));
            seen.entry(path).or_default().full = full.collect();
        }
        for of in seen.values_mut() {
            of.looks = self.rounds;
        }
        seen
    }
}

/// What a process had read from disks and written to them so far (`proc_pid_io(5)`).
#[derive(Clone, Copy, Debug)]
struct Bytes {
    read: u64,
    written: u64,
}

impl Bytes {
    fn read(host: &Host, pid: u32) -> Option<Self> {
        let text = host.read(format!("/proc/{pid}/io")).ok()??;
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
            lines.next()?.trim().parse().ok()
        };
        Some(Self {
            read: value("read_bytes:")?,
            written: value("write_bytes:")?,
        })
    }
}

/// Where names are asked for.
const DNS: u16 = 53;

/// Inode numbers of the sockets that a process has open.
fn inodes(host: &Host, pid: u32) -> impl Iterator<Item = u64> {
    let entries = std::fs::read_dir(host.at(format!("/proc/{pid}/fd")));
    let entries = entries.into_iter().flatten().flatten().take(MAX_FILES);
    entries.filter_map(|entry| {
        let link = std::fs::read_link(entry.path()).ok()?;
        let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        inode.parse().ok()
    })
}
