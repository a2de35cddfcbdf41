//! The TCP and UDP sockets of a network namespace, as the kernel tells them (`sock_diag(7)`): whom they lead to, whether an
//! answer is outstanding, how long the queues of listeners are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
    sockopt,
};
use std::time::Duration;

/// `SOCK_DIAG_BY_FAMILY` in the kernel's `sock_diag.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP` in the kernel's `netlink.h`.
const DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `INET_DIAG_INFO` in the kernel's `inet_diag.h`: a `tcp_info` comes with each socket.
const INET_DIAG_INFO: u16 = 2;

const ESTABLISHED: u8 = 1;
const SYN_SENT: u8 = 2;
const CLOSE_WAIT: u8 = 8;
const LISTEN: u8 = 10;

/// Most sockets of a namespace that are looked at.
const MAX_SOCKETS: usize = 65_536;

/// What a socket is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It waits for connections: in its queue, and what has room there.
    Listens { queued: u32, room: u32 },
    /// A connection that the peer has not taken yet.
    Connects,
    /// The last to be sent was ours, this long ago, and something else was never sent back since.
    IsOwed { for_ms: u32 },
    /// Any other connection.
    Rests,
    /// A UDP socket that sends to one peer.
    Datagrams,
}

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) inode: u64,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) kind: Kind,
    /// Segments that this connection has sent again.
    pub(super) retransmits: u32,
}

/// The sockets of the network namespace that the calling thread is in; `None` where the kernel does not tell
/// (`CONFIG_INET_DIAG`).
pub(super) fn all() -> Option<Vec<Socket>> {
    let mut found = Vec::new();
    let channel = channel()?;
    for family in [libc::AF_INET, libc::AF_INET6] {
        for protocol in [libc::IPPROTO_TCP, libc::IPPROTO_UDP] {
            dump(&channel, family as u8, protocol as u8, &mut found)?;
        }
    }
    Some(found)
}

fn channel() -> Option<OwnedFd> {
    let channel = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )
    .ok()?;
    sockopt::set_socket_timeout(
        &channel,
        sockopt::Timeout::Recv,
        Some(Duration::from_secs(1)),
    )
    .ok()?;
    Some(channel)
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn request(family: u8, protocol: u8) -> Vec<u8> {
    const LENGTH: u32 = 72;
    let mut bytes = Vec::with_capacity(LENGTH as usize);
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, protocol, 1 << (INET_DIAG_INFO - 1), 0]);
    // Of connections that are over (TIME_WAIT) there are thousands, and nobody owns them.
    let states: u32 = 1 << ESTABLISHED
        | 1 << SYN_SENT
        | 1 << CLOSE_WAIT
        | 1 << LISTEN
        | if protocol == libc::IPPROTO_UDP as u8 {
            u32::MAX
        } else {
            0
        };
    bytes.extend(states.to_ne_bytes());
    bytes.resize(LENGTH as usize, 0);
    bytes
}

fn dump(channel: &OwnedFd, family: u8, protocol: u8, found: &mut Vec<Socket>) -> Option<()> {
    send(channel, &request(family, protocol), SendFlags::empty()).ok()?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let (length, _) = recv(channel, &mut *buffer, RecvFlags::empty()).ok()?;
        let mut rest = buffer.get(..length).filter(|it| !it.is_empty())?;
        while let Some((kind, message, next)) = message(rest) {
            match kind {
                NLMSG_DONE => return Some(()),
                NLMSG_ERROR => return None,
                _ if found.len() < MAX_SOCKETS => {
                    found.extend(parse(message, protocol == libc::IPPROTO_UDP as u8));
                }
                _ => {}
            }
            rest = next;
        }
    }
}

/// The type and content of the first message, and those behind it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let content = bytes.get(16..length)?;
    let next = bytes
        .get(length.checked_next_multiple_of(4)?..)
        .unwrap_or(&[]);
    Some((kind, content, next))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// `struct inet_diag_msg` and the attributes behind it.
fn parse(message: &[u8], is_udp: bool) -> Option<Socket> {
    let family = i32::from(*message.first()?);
    let state = *message.get(1)?;
    let port = |at: usize| {
        Some(u16::from_be_bytes(
            message.get(at..at + 2)?.try_into().ok()?,
        ))
    };
    let address = |at: usize| -> Option<IpAddr> {
        if family == libc::AF_INET {
            let bytes: [u8; 4] = message.get(at..at + 4)?.try_into().ok()?;
            return Some(Ipv4Addr::from(bytes).into());
        }
        let bytes: [u8; 16] = message.get(at..at + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(bytes).to_canonical())
    };
    let local = SocketAddr::new(address(8)?, port(4)?);
    let peer = SocketAddr::new(address(24)?, port(6)?);
    let (queued, room) = (u32_at(message, 56)?, u32_at(message, 60)?);
    let inode = u64::from(u32_at(message, 68)?);
    let info = attribute(message.get(72..)?, INET_DIAG_INFO);
    let kind = match state {
        _ if is_udp && peer.port() == 0 => return None,
        _ if is_udp => Kind::Datagrams,
        LISTEN => Kind::Listens { queued, room },
        SYN_SENT => Kind::Connects,
        ESTABLISHED => info.and_then(owed).unwrap_or(Kind::Rests),
        _ => Kind::Rests,
    };
    Some(Socket {
        inode,
        local,
        peer,
        kind,
        retransmits: info.and_then(|info| u32_at(info, 100)).unwrap_or(0),
    })
}

/// The content of the first attribute of this type.
fn attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        let content = rest.get(4..length)?;
        if kind == wanted {
            return Some(content);
        }
        rest = rest.get(length.checked_next_multiple_of(4)?..)?;
    }
}

/// By `struct tcp_info` (kernel: `include/uapi/linux/tcp.h`): when data was last sent and last came, in ms before now, and
/// how many segments of data did.
fn owed(info: &[u8]) -> Option<Kind> {
    let (sent_ms, came_ms) = (u32_at(info, 44)?, u32_at(info, 52)?);
    let (came, sent) = (u32_at(info, 152)?, u32_at(info, 156)?);
    let is_owed = sent > 0 && (came == 0 || sent_ms < came_ms);
    is_owed.then_some(Kind::IsOwed { for_ms: sent_ms })
}

#[cfg(test)]
mod tests {
    use super::{Kind, all};
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::time::Duration;

    #[test]
    fn sockets_of_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(here).unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        datagrams.connect("127.0.0.1:53").unwrap();
        let Some(sockets) = all() else {
            return;
        };
        let kind_of = |local, sockets: &[super::Socket]| {
            let mut found = sockets.iter().filter(|it| it.local == local);
            found.next().map(|it| it.kind)
        };
        assert!(matches!(
            kind_of(here, &sockets),
            Some(Kind::Listens { queued: 1, room }) if room > 1
        ));
        let from = client.local_addr().unwrap();
        assert_eq!(kind_of(from, &sockets), Some(Kind::Rests));
        assert_eq!(
            kind_of(datagrams.local_addr().unwrap(), &sockets),
            Some(Kind::Datagrams)
        );

        client.write_all(b"a question").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.read_exact(&mut [0; 10]).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        let sockets = all().unwrap();
        let Some(Kind::IsOwed { for_ms }) = kind_of(from, &sockets) else {
            panic!("{:?}", kind_of(from, &sockets));
        };
        assert!(for_ms >= 20, "{for_ms}");
        server.write_all(b"an answer").unwrap();
        client.read_exact(&mut [0; 9]).unwrap();
        assert_eq!(kind_of(from, &all().unwrap()), Some(Kind::Rests));
    }
}
