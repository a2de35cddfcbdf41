//! What a Go program says about itself: its version, and how many threads may run Go code at once.

use std::fs::File;

use crate::symbolize::elf::{Header, Source, variable};

/// How `.go.buildinfo` begins (Go: `debug/buildinfo`).
const MAGIC: &[u8] = b"\xff Go buildinf:";

/// The version is in the section itself, from Go 1.18 on.
const INLINE: u8 = 2;

/// Longest version.
const MAX_VERSION: usize = 64;

/// What a program was built by.
#[derive(Debug)]
pub(super) struct GoProgram {
    /// `go1.22.3`; empty where it is not told.
    pub(super) version: String,
    /// Where the linker put `runtime.gomaxprocs`; `None` where its symbols are stripped.
    gomaxprocs: Option<u64>,
    /// The lowest address that the linker gave.
    lowest: u64,
}

impl GoProgram {
    /// What the file of a program says; `None` if it is not a Go program.
    pub(super) fn read(file: File) -> Option<Self> {
        let source = Source::file(file).ok()?;
        let header = Header::read(&source).ok()?;
        let info = header.section(".go.buildinfo")?;
        let info = source
            .read_some(info.offset, 32 + 2 + MAX_VERSION as u64)
            .ok()?;
        if !info.starts_with(MAGIC) {
            return None;
        }
        let place = variable(&source, &header, "runtime.gomaxprocs");
        Some(Self {
            version: version(&info).unwrap_or_default(),
            gomaxprocs: place
                .filter(|(_, size)| *size == 4)
                .map(|(address, _)| address),
            lowest: header
                .segments
                .iter()
                .filter(|it| it.file_size > 0 && it.is_loaded())
                .map(|it| it.address)
                .min()
                .unwrap_or(0),
        })
    }

    /// Address of `runtime.gomaxprocs` in a process that has the program mapped from `start` on.
    pub(super) fn gomaxprocs_at(&self, start: u64) -> Option<u64> {
        let page = rustix::param::page_size() as u64;
        let lowest = self.lowest - self.lowest % page;
        Some(start.wrapping_sub(lowest).wrapping_add(self.gomaxprocs?))
    }
}

/// The version that the section has in itself.
fn version(info: &[u8]) -> Option<String> {
    if info.get(15)? & INLINE == 0 {
        return None;
    }
    // A varint; versions are shorter than 128 bytes.
    let length = usize::from(*info.get(32)?);
    let text = info.get(33..33 + length.min(MAX_VERSION))?;
    let text = std::str::from_utf8(text).ok()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+- :".contains(c);
    let text = text.split_whitespace().next()?;
    text.chars().all(is_plain).then(|| text.to_owned())
}

/// Major and minor version of `go1.22.3`.
pub(super) fn minor(version: &str) -> Option<u32> {
    let rest = version.strip_prefix("go1.")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{MAGIC, minor, version};

    #[test]
    fn versions_stand_in_the_section() {
        let mut info = MAGIC.to_vec();
        info.extend([8, 2]);
        info.resize(32, 0);
        info.push(8);
        info.extend(b"go1.22.3junk");
        assert_eq!(version(&info).as_deref(), Some("go1.22.3"));
        info[15] = 0;
        assert_eq!(version(&info), None);
        assert_eq!(
            (minor("go1.25.1"), minor("go1.26rc1")),
            (Some(25), Some(26))
        );
        assert_eq!((minor("devel"), minor("go1.")), (None, None));
    }
}
