//! What a network namespace counts of its own traffic (`/proc/PID/net/{snmp,netstat}`; kernel:
//! `Documentation/networking/snmp_counter.rst`).

use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::model::{Op, Sums};

/// Counters of a network namespace over the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// It is the host's: these are everybody's.
    pub is_hosts: bool,
    /// TCP segments sent.
    pub sent: u64,
    /// TCP segments sent again.
    pub retransmitted: u64,
    /// Times that a connection waited in vain for an acknowledgement.
    pub timeouts: u64,
    /// Attempts to connect that were sent again.
    pub syn_retransmitted: u64,
    /// Connections that were refused or given up.
    pub failed: u64,
    /// Connections that came while the queue of a listener was full.
    pub overflows: u64,
}

impl Sums for Traffic {
    fn combine(&mut self, other: &Self, op: Op) {
        op.on(&mut self.sent, other.sent);
        op.on(&mut self.retransmitted, other.retransmitted);
        op.on(&mut self.timeouts, other.timeouts);
        op.on(&mut self.syn_retransmitted, other.syn_retransmitted);
        op.on(&mut self.failed, other.failed);
        op.on(&mut self.overflows, other.overflows);
    }
}

/// What the network namespace of a process has counted since it was created; `None` when the process is gone.
pub(super) fn read(host: &Host, pid: u32, is_hosts: bool) -> Option<Traffic> {
    let snmp = host.read(format!("/proc/{pid}/net/snmp")).ok()??;
    let netstat = host.read(format!("/proc/{pid}/net/netstat")).ok()??;
    Some(Traffic {
        is_hosts,
        sent: value(&snmp, "Tcp:", "OutSegs"),
        retransmitted: value(&snmp, "Tcp:", "RetransSegs"),
        failed: value(&snmp, "Tcp:", "AttemptFails"),
        timeouts: value(&netstat, "TcpExt:", "TCPTimeouts"),
        syn_retransmitted: value(&netstat, "TcpExt:", "TCPSynRetrans"),
        overflows: value(&netstat, "TcpExt:", "ListenOverflows"),
    })
}

/// The files have pairs of lines: names, then values. 0 for what is not there.
fn value(text: &str, group: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return 0;
    };
    let mut pairs = names.split(' ').zip(values.split(' '));
    let found = pairs.find(|(known, _)| *known == name);
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn names_stand_above_their_values() {
        let text = "Ip: A B\nIp: 1 2\nTcp: OutSegs RetransSegs MaxConn\nTcp: 7 9 -1\n";
        assert_eq!(value(text, "Tcp:", "RetransSegs"), 9);
        assert_eq!(value(text, "Tcp:", "MaxConn"), 0, "negative");
        assert_eq!(
            (value(text, "Udp:", "A"), value("Tcp: A\n", "Tcp:", "A")),
            (0, 0)
        );
    }
}
