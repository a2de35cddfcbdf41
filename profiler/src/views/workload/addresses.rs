//! Whose the addresses of peers are: a network namespace has them, and in it a process of some cgroup listens.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::host::Host;

/// Most addresses of a network namespace.
const MAX_ADDRESSES: usize = 256;

/// What is known about addresses.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Network namespaces by an address of theirs.
    networks: HashMap<IpAddr, PathBuf>,
    /// Cgroups by what listens where.
    listeners: HashMap<(PathBuf, u16), String>,
}

impl Addresses {
    /// Takes in the addresses of the network namespace that a process is in.
    pub(super) fn learn(&mut self, host: &Host, pid: u32, network: &Path) {
        let read = |name| {
            let text = host.read(format!("/proc/{pid}/net/{name}"));
            text.ok().flatten().unwrap_or_default()
        };
        let (old, new) = (read("fib_trie"), read("if_inet6"));
        let all = of_version_4(&old).chain(of_version_6(&new));
        for address in all.take(MAX_ADDRESSES) {
            self.networks.insert(address, network.to_owned());
        }
    }

    /// A process of this cgroup listens at a port.
    pub(super) fn listens(&mut self, network: &Path, port: u16, cgroup: &str) {
        let known = self.listeners.entry((network.to_owned(), port));
        known.or_insert_with(|| cgroup.to_owned());
    }

    /// The cgroup behind an address that somebody of network namespaces `from` talks to: the one that listens there or, where no
    /// listener is known (UDP), the only one that has the address. `networks` has the namespaces of each cgroup.
    pub(super) fn owner<'a>(
        &'a self,
        peer: SocketAddr,
        from: Option<&HashSet<PathBuf>>,
        networks: &'a BTreeMap<String, HashSet<PathBuf>>,
    ) -> Option<&'a str> {
        let address = peer.ip().to_canonical();
        let network = if address.is_loopback() {
            // Its own, as long as that is one.
            let mut own = from?.iter();
            own.next().filter(|_| own.next().is_none())?
        } else {
            self.networks.get(&address)?
        };
        let listener = self.listeners.get(&(network.clone(), peer.port()));
        let mut all = networks.iter().filter(|(_, of)| of.contains(network));
        match (listener, all.next(), all.next()) {
            (Some(cgroup), ..) => Some(cgroup),
            (None, Some((cgroup, _)), None) => Some(cgroup),
            _ => None,
        }
    }
}

/// Addresses of its own in `/proc/PID/net/fib_trie`: a leaf of the trie, and below it that it is the host's own.
fn of_version_4(text: &str) -> impl Iterator<Item = IpAddr> + '_ {
    let mut leaf: Option<Ipv4Addr> = None;
    text.lines().filter_map(move |line| {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
            return None;
        }
        let address = leaf.filter(|_| line.starts_with("/32 host LOCAL"))?;
        (!address.is_loopback()).then_some(IpAddr::V4(address))
    })
}

/// Addresses in `/proc/PID/net/if_inet6` that others can reach: 32 digits, number of the interface, length of the prefix, scope,
/// flags, name (kernel: `if6_seq_show`).
fn of_version_6(text: &str) -> impl Iterator<Item = IpAddr> + '_ {
    const GLOBAL: &str = "00";
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let digits = words.next()?;
        if digits.len() != 32 || words.nth(2)? != GLOBAL {
            return None;
        }
        let bits = u128::from_str_radix(digits, 16).ok()?;
        Some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.213.47.0/24 2 0 2
        |-- 10.213.47.0
           /24 link UNICAST
        |-- 10.213.47.3
           /32 host LOCAL
        |-- 10.213.47.255
           /32 link BROADCAST
     |-- 127.0.0.1
           /32 host LOCAL
";

    const INET6: &str = "fe80000000000000004200fffead2f03 02 40 20 80 eth0
fd000000000000000000000000000007 02 40 00 80 eth0
00000000000000000000000000000001 01 80 10 80 lo
nonsense 01 80 00 80 lo
";

    #[test]
    fn addresses_that_others_reach() {
        let old: Vec<IpAddr> = of_version_4(TRIE).collect();
        assert_eq!(old, ["10.213.47.3".parse::<IpAddr>().unwrap()]);
        let new: Vec<IpAddr> = of_version_6(INET6).collect();
        assert_eq!(new, ["fd00::7".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn who_listens_is_whose_it_is() {
        let (pod, own) = (PathBuf::from("net:[1]"), PathBuf::from("net:[2]"));
        let mut known = Addresses::default();
        for address in ["10.0.0.7", "fd00::7"] {
            known.networks.insert(address.parse().unwrap(), pod.clone());
        }
        known.listens(&pod, 8080, "/pod/app");
        known.listens(&pod, 8080, "/pod/another");
        known.listens(&own, 5432, "/own/db");
        let networks = BTreeMap::from([
            ("/pod/app".to_owned(), HashSet::from([pod.clone()])),
            ("/pod/pause".to_owned(), HashSet::from([pod.clone()])),
            ("/own/db".to_owned(), HashSet::from([own.clone()])),
        ]);
        let from = HashSet::from([own.clone()]);
        let owner = |peer: &str| known.owner(peer.parse().unwrap(), Some(&from), &networks);
        assert_eq!(owner("10.0.0.7:8080"), Some("/pod/app"));
        assert_eq!(owner("[::ffff:10.0.0.7]:8080"), Some("/pod/app"));
        assert_eq!(owner("[fd00::7]:8080"), Some("/pod/app"));
        // Two share the address.
        assert_eq!(owner("10.0.0.7:53"), None);
        assert_eq!(owner("127.0.0.1:5432"), Some("/own/db"));
        // Nobody else has its own network.
        assert_eq!(owner("127.0.0.1:53"), Some("/own/db"));
        assert_eq!(owner("192.0.2.1:8080"), None);
        let both = HashSet::from([own, pod]);
        let at_home = "127.0.0.1:5432".parse().unwrap();
        assert_eq!(known.owner(at_home, Some(&both), &networks), None);
    }
}
