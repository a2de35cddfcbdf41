//! What a process' file descriptor is: a path, or a socket with its addresses.
//!
//! `/proc` says what it is now. A descriptor may have been closed, or be another file by now, when it is looked up:
//! then nothing, or the other file, is said.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::Host;
use crate::model::text::printable;

/// Most characters of a path.
const LONGEST: usize = 200;

/// What descriptor `number` of a process is; `None` if it is not there (any more).
#[must_use]
pub fn describe(host: &Host, pid: u32, number: i32) -> Option<String> {
    let link = host.at(format!("/proc/{pid}/fd/{number}"));
    let target = std::fs::read_link(link).ok()?;
    Some(name(host, pid, &target))
}

fn name(host: &Host, pid: u32, target: &Path) -> String {
    let target = target.to_string_lossy();
    let inode = target
        .strip_prefix("socket:[")
        .and_then(|rest| rest.strip_suffix(']'));
    inode
        .and_then(|inode| socket(host, pid, inode))
        .unwrap_or_else(|| printable(&target, LONGEST))
}

/// A socket by its inode, in the tables of the process' network namespace.
fn socket(host: &Host, pid: u32, inode: &str) -> Option<String> {
    let table = |protocol: &str| {
        host.read(format!("/proc/{pid}/net/{protocol}"))
            .ok()
            .flatten()
    };
    for protocol in ["tcp", "tcp6", "udp", "udp6"] {
        for line in table(protocol)?.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.get(9) == Some(&inode) {
                let ends = (address(fields.get(1)?)?, address(fields.get(2)?)?);
                let protocol = protocol.trim_end_matches('6');
                return Some(match ends {
                    (local, (_, 0)) => format!("{protocol} {}", shown(&local)),
                    (local, remote) => {
                        format!("{protocol} {}->{}", shown(&local), shown(&remote))
                    }
                });
            }
        }
    }
    for line in table("unix")?.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields.get(6) == Some(&inode) {
            let path = fields.get(7).copied().unwrap_or("unnamed");
            return Some(format!("unix {}", printable(path, LONGEST)));
        }
    }
    None
}

fn shown((host, port): &(String, u16)) -> String {
    format!("{host}:{port}")
}

/// `0100007F:18EB`: words of the address in the machine's byte order, the port in hexadecimal.
fn address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Vec<u32> = host
        .as_bytes()
        .chunks(8)
        .map(|word| {
            let word = std::str::from_utf8(word).ok()?;
            u32::from_str_radix(word, 16).ok()
        })
        .collect::<Option<_>>()?;
    let host = match words[..] {
        [word] => Ipv4Addr::from(word.to_ne_bytes()).to_string(),
        [a, b, c, d] => {
            let mut bytes = [0; 16];
            for (place, word) in bytes.chunks_mut(4).zip([a, b, c, d]) {
                place.copy_from_slice(&word.to_ne_bytes());
            }
            format!("[{}]", Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixListener;

    use super::{address, describe};
    use crate::host::Host;

    #[test]
    fn what_this_process_has_open() {
        let (host, pid) = (Host::default(), std::process::id());
        let folder = tempfile::tempdir().unwrap();
        let of = |file: &dyn AsRawFd| describe(&host, pid, file.as_raw_fd()).unwrap();

        let path = folder.path().join("a\u{1b}[31m file");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"x").unwrap();
        assert_eq!(of(&file), path.to_string_lossy().replace('\u{1b}', "?"));

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(of(&listener), format!("tcp 127.0.0.1:{port}"));
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let own = stream.local_addr().unwrap().port();
        assert_eq!(
            of(&stream),
            format!("tcp 127.0.0.1:{own}->127.0.0.1:{port}")
        );

        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(of(&listener), format!("unix {}", path.display()));

        let (from, _to) = std::io::pipe().unwrap();
        assert!(of(&from).starts_with("pipe:["));
        assert_eq!(describe(&host, pid, 1_000_000), None);
        assert_eq!(describe(&host, u32::MAX, 0), None);
    }

    #[test]
    fn addresses_of_both_families() {
        assert_eq!(
            address("0100007F:18EB"),
            Some(("127.0.0.1".to_owned(), 6379))
        );
        assert_eq!(
            address("00000000000000000000000001000000:0050"),
            Some(("[::1]".to_owned(), 80))
        );
        for bad in ["", "0100007F", "01:02:03", "zz00007F:18EB", "0100007F:zz"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
