//! What a network of its own costs a program that sends: on Docker's bridge, against the host's network.
//!
//! ```text
//! bridged ── veth ── docker0 ─┐
//!                             ├─ forwarding, Docker's rules ── wire ── peer
//! on the host's network ──────┘
//! ```
//!
//! Both talk to the same peer over the same device, as they would to another machine: `wire` stands for its network card. Only what the
//! sender's own thread does is compared, which has the whole way to the peer in it, since virtual devices hand packets over at
//! once; one datagram in so many is answered. The peer shares their CPU, so that nobody has to be woken on another one, and preempts
//! nobody.

use std::process::Command;

use libtest_mimic::Trial;

use super::costs::{Side, compare, compare_once};
use super::{FREE, Result, ensure};
use crate::containers::{IMAGE, WORKLOAD};
use crate::daemon::{Client, Container, Daemon};
use crate::harness::needs::skipping;
use crate::harness::this_workload;
use crate::image;
use crate::programs::needs;

pub(super) fn trials() -> Vec<Trial> {
    let missing = || needs(&["ip", "iptables", "nsenter", "unshare"]).or_else(accounted_apart);
    let trial = |name, test| skipping(name, test, missing);
    vec![
        trial("isolation::a_bridge_against_the_hosts_network", bridge),
        trial("isolation::rules_against_none", rules),
    ]
}

/// Why a program cannot tell what its packets cost it: on some kernels the time of soft interrupts is no thread's.
fn accounted_apart() -> Option<String> {
    let option = "CONFIG_IRQ_TIME_ACCOUNTING=y";
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let packed = Command::new("zcat").arg("/proc/config.gz").output().ok()?;
    let text = match packed.status.success() {
        true => String::from_utf8_lossy(&packed.stdout).into_owned(),
        false => std::fs::read_to_string(format!("/boot/config-{}", release.trim())).ok()?,
    };
    let is_apart = text.lines().any(|line| line == option);
    is_apart.then(|| format!("needs a kernel without {option}"))
}

const PEER: &str = "10.254.0.2";
const PORT: &str = "7000";

/// A daemon with a bridge, and who is at the other end of its wire.
struct Wired {
    _peer: Container,
    daemon: Daemon,
}

impl Wired {
    fn new() -> Result<Self> {
        let daemon = Daemon::with_bridge()?;
        let client = daemon.client();
        image::make_for(&client, IMAGE, &[(&this_workload()?, WORKLOAD)])?;
        let on = format!("0.0.0.0:{PORT}");
        let echo = ["workload", "echo", "--on", &on, "--policy", "batch"];
        let args = ["--network=none", "--cpuset-cpus=1", IMAGE, WORKLOAD];
        let args = [&args[..], &echo, &["--ms", "600000"]].concat();
        let peer = client.container("peer", &args)?;
        let (host, other) = (daemon.pid().to_string(), peer.pid()?);
        for (pid, command) in [
            (
                &host,
                format!("ip link add wire type veth peer name wire netns {other}"),
            ),
            (&host, "ip address add 10.254.0.1/30 dev wire".to_owned()),
            (&host, "ip link set wire up".to_owned()),
            (&other, format!("ip address add {PEER}/30 dev wire")),
            (&other, "ip link set wire up".to_owned()),
        ] {
            in_network_of(pid, &command)?;
        }
        Ok(Self {
            _peer: peer,
            daemon,
        })
    }

    fn client(&self) -> Client {
        self.daemon.client()
    }
}

/// Runs a command in the network namespace of a process.
fn in_network_of(pid: &str, command: &str) -> Result {
    let output = Command::new("nsenter")
        .arg(format!("--net=/proc/{pid}/ns/net"))
        .args(command.split(' '))
        .output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command}: {error}");
    Ok(())
}

/// One that sends 32 datagrams to the peer, and has the last one back.
fn sender(name: &'static str, network: &str) -> Side {
    let to = format!("{PEER}:{PORT}");
    let command = ["--what", "packets", "--to", &to, "--burst", "32"];
    Side::new(name, &[FREE, network], &command)
}

fn bridge() -> Result {
    let wired = Wired::new()?;
    let host = sender("on-the-host", "--network=host");
    let bridged = sender("on-a-bridge", "--network=bridge");
    let costs = compare(&wired.client(), &host, &bridged)?;
    costs.agree("32 datagrams to another machine from Docker's bridge")?;
    let text = costs.describe("layers");
    // Docker's rules are looked up on the host's network as well, and those about forwarding only for who is behind the bridge.
    for layer in ["network", "netfilter"] {
        let (a, b) = (costs.a.layer(layer), costs.b.layer(layer));
        ensure!(b > a && b > 0.05, "{text}");
    }
    Ok(())
}

/// Rules of a container's own, as sidecars and network policies have them.
fn rules() -> Result {
    let wired = Wired::new()?;
    let free = sender("without-rules", "--network=bridge");
    let ruled = sender("with-rules", "--network=bridge");
    let costs = compare_once(&wired.client(), &free, &ruled, |container| {
        let pid = container.pid()?;
        (1..=RULES).try_for_each(|host| {
            let rule = format!("-A OUTPUT -p udp -d 10.77.0.{host} --dport 9 -j DROP");
            in_network_of(&pid, &format!("iptables {rule}"))
        })
    })?;
    costs.agree("32 datagrams past 50 rules of the container's own")?;
    let text = costs.describe("layers");
    let (a, b) = (costs.a.layer("netfilter"), costs.b.layer("netfilter"));
    ensure!(b > a + 0.03, "{text}");
    Ok(())
}

const RULES: u8 = 50;
