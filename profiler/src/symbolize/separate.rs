//! Debug information in files of their own, as distributions and build systems install it: found by build id, or
//! through the name and the checksum in `.gnu_debuglink`, in the container and on the host.
//!
//! Where to look is what GDB's manual says ("Debugging Information in Separate Files"). A file is only taken if its
//! build id or its checksum is the one that its program names: another build's would give wrong names.

use std::io::Read as _;
use std::path::Path;

use super::DEBUG_FOLDER;
use super::binary::Elf;
use super::elf::{Header, Numbers as _, Source, c_string, section_bytes};
use super::problems::Problem;
use super::process::HeldFile;
use super::safe_open::{Held, Links};
use super::walk::Root;

/// Longest file name on Linux, with the padding and the checksum that follow it.
const MAX_LINK: u64 = 255 + 4 + 4;

/// Shortest build id, in hex digits, that can be looked for: a folder and a file name.
const MIN_BUILD_ID: usize = 4;

/// What a program says about the file with its debug information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    name: String,
    checksum: u32,
}

/// The file with the debug information of the program `file`, whose own headers are `header`. A checksum is only
/// worked out of files of up to `limit` bytes.
pub(super) fn find(
    file: &HeldFile,
    (source, header): (&Source, &Header),
    build_id: &str,
    limit: u64,
    problem: &mut dyn FnMut(Problem),
) -> Option<Elf> {
    let link = debug_link(source, header);
    if build_id.len() < MIN_BUILD_ID && link.is_none() {
        return None;
    }
    let host = Root::host().ok();
    let roots: Vec<&Root> = file.debug_root.iter().chain(&host).collect();
    let mut is_foreign = false;
    let mut is_too_large = false;
    let found = by_build_id(&roots, build_id, &mut is_foreign).or_else(|| {
        let link = link?;
        let folder = Path::new(&*file.path).parent()?.to_str()?;
        let places = [
            format!("{folder}/{}", link.name),
            format!("{folder}/.debug/{}", link.name),
            format!("{DEBUG_FOLDER}{folder}/{}", link.name),
        ];
        let candidates = roots
            .iter()
            .flat_map(|root| places.iter().filter_map(|place| hold(root, place)))
            // The name of the program itself is a usual one: its debug information has it in another place.
            .filter(|held| !held.is_same_file(&file.held));
        for held in candidates {
            match linked(&held, link.checksum, build_id, limit) {
                Linked::Right(elf) => return Some(elf),
                Linked::Foreign => is_foreign = true,
                Linked::TooLarge => is_too_large = true,
                Linked::Unreadable => {}
            }
        }
        None
    });
    if found.is_none() && is_foreign {
        problem(Problem::DebugFileForeign);
    }
    if found.is_none() && is_too_large {
        problem(Problem::DebugInfoTooLarge);
    }
    found
}

fn by_build_id(roots: &[&Root], build_id: &str, is_foreign: &mut bool) -> Option<Elf> {
    if build_id.len() < MIN_BUILD_ID {
        return None;
    }
    let (first, rest) = build_id.split_at_checked(2)?;
    let path = format!("{DEBUG_FOLDER}/.build-id/{first}/{rest}.debug");
    roots.iter().find_map(|root| {
        let (source, header) = read(&hold(root, &path)?)?;
        let is_right = header.build_id(&source) == build_id;
        *is_foreign |= !is_right;
        is_right.then_some((source, header))
    })
}

/// What came of a file that a link leads to.
enum Linked {
    Right(Elf),
    Foreign,
    TooLarge,
    Unreadable,
}

fn linked(held: &Held, checksum: u32, build_id: &str, limit: u64) -> Linked {
    if u64::try_from(held.stat.st_size).is_ok_and(|size| size > limit) {
        return Linked::TooLarge;
    }
    let Some((source, header)) = read(held) else {
        return Linked::Unreadable;
    };
    let own = header.build_id(&source);
    // Both names of a build have to agree; a checksum alone is 32 bits.
    if !own.is_empty() && !build_id.is_empty() && own != build_id {
        return Linked::Foreign;
    }
    match checksum_of(held, limit) {
        Some(found) if found == checksum => Linked::Right((source, header)),
        Some(_) => Linked::Foreign,
        None => Linked::Unreadable,
    }
}

fn hold(root: &Root, path: &str) -> Option<Held> {
    root.hold(Path::new(path), Links::Follow).ok()
}

fn read(held: &Held) -> Option<Elf> {
    let source = Source::file(held.reader().ok()?).ok()?;
    let header = Header::read(&source).ok()?;
    Some((source, header))
}

/// The checksum of a whole file: the CRC-32 of zlib and Ethernet.
fn checksum_of(held: &Held, limit: u64) -> Option<u32> {
    let mut file = held.reader().ok()?.take(limit);
    let mut hasher = crc32fast::Hasher::new();
    let mut bytes = vec![0; 128 << 10];
    loop {
        match file.read(&mut bytes) {
            Ok(0) => return Some(hasher.finalize()),
            Ok(count) => hasher.update(bytes.get(..count)?),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// `.gnu_debuglink`: a name, zeros up to a multiple of four bytes, the checksum.
pub(super) fn debug_link(source: &Source, header: &Header) -> Option<Link> {
    let section = header.section(".gnu_debuglink")?;
    parse(&section_bytes(source, header, section, MAX_LINK).ok()?)
}

fn parse(bytes: &[u8]) -> Option<Link> {
    let name = std::str::from_utf8(c_string(bytes, 0)?).ok()?;
    // A name, not a path: it must not lead anywhere else.
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return None;
    }
    let place = (name.len() + 1).next_multiple_of(4);
    Some(Link {
        name: name.to_owned(),
        checksum: bytes.u32_at(place)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_names_with_a_checksum() {
        let link = |bytes: &[u8]| parse(bytes).map(|link| (link.name, link.checksum));
        assert_eq!(
            link(b"a.debug\0\x01\x02\x03\x04"),
            Some(("a.debug".into(), 0x0403_0201))
        );
        assert_eq!(
            link(b"ab.debug\0\0\0\0\x01\0\0\0"),
            Some(("ab.debug".into(), 1))
        );
        for bad in [
            &b"a.debug\0\x01\x02\x03"[..],
            b"\0\0\0\0\x01\0\0\0",
            b"..\0\0\x01\0\0\0",
            b"../x\0\0\0\0\x01\0\0\0",
            b"no end",
            b"",
        ] {
            assert_eq!(link(bad), None, "{bad:?}");
        }
    }
}
