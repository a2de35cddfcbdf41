//! Side-band records as the kernel writes them (`perf_event_open(2)`, `PERF_RECORD_*`), with `sample_id_all` and nothing
//! but the time in what follows each.
//!
//! Decoded by hand: the crate that opens the events reads no records, and five kinds of them do not make up for another one.

use std::sync::Arc;

use crate::model::{CodeFile, Happened, MappedCode, SideBand};

/// `PERF_RECORD_*` in the kernel's `uapi/linux/perf_event.h`.
mod kind {
    pub(super) const LOST: u32 = 2;
    pub(super) const COMM: u32 = 3;
    pub(super) const EXIT: u32 = 4;
    pub(super) const FORK: u32 = 7;
    pub(super) const MMAP2: u32 = 10;
}

/// `PERF_RECORD_MISC_COMM_EXEC`: the name changed because of an `execve`.
const MISC_COMM_EXEC: u16 = 1 << 13;
/// `PERF_RECORD_MISC_MMAP_BUILD_ID`: a build id in the place of the inode.
const MISC_MMAP_BUILD_ID: u16 = 1 << 14;
/// `PERF_RECORD_MISC_MMAP_DATA`: not executable.
const MISC_MMAP_DATA: u16 = 1 << 13;

/// Bytes of `struct perf_event_header`.
pub(super) const HEADER: usize = 8;

/// A record that says something.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    Happened(SideBand),
    /// The ring was full: so many records were not written.
    Lost(u64),
}

/// Length of the record that begins here, with its header.
pub(super) fn length(header: [u8; HEADER]) -> usize {
    usize::from(u16::from_ne_bytes([header[6], header[7]]))
}

/// Decodes one whole record. `None` for kinds that say nothing here, and for what is too short.
pub(super) fn decode(record: &[u8]) -> Option<Record> {
    let header: [u8; HEADER] = *record.first_chunk()?;
    let kind = u32::from_ne_bytes(*header.first_chunk()?);
    let misc = u16::from_ne_bytes([header[4], header[5]]);
    if kind == kind::LOST {
        return Some(Record::Lost(u64_at(record, 16)?));
    }
    let at_ns = u64::from_ne_bytes(*record.last_chunk()?);
    let (pid, second) = (u32_at(record, 8)?, u32_at(record, 12)?);
    let what = match kind {
        // pid, ppid, tid, ptid: of a thread of the same process, nothing follows.
        kind::FORK if pid != second => Happened::Forked { parent: second },
        kind::EXIT if pid == u32_at(record, 16)? => Happened::Ended,
        kind::COMM if misc & MISC_COMM_EXEC != 0 => Happened::Executed,
        kind::MMAP2 if misc & MISC_MMAP_DATA == 0 => Happened::Mapped(mapped(record, misc)?),
        _ => return None,
    };
    Some(Record::Happened(SideBand { at_ns, pid, what }))
}

fn mapped(record: &[u8], misc: u16) -> Option<MappedCode> {
    let (start, length, offset) = (
        u64_at(record, 16)?,
        u64_at(record, 24)?,
        u64_at(record, 32)?,
    );
    let file = if misc & MISC_MMAP_BUILD_ID != 0 {
        let size = usize::from(*record.get(40)?);
        CodeFile::BuildId(Arc::from(record.get(44..44 + size.min(20))?))
    } else {
        CodeFile::Inode {
            device: (u32_at(record, 40)?, u32_at(record, 44)?),
            inode: u64_at(record, 48)?,
            generation: u64_at(record, 56)?,
        }
    };
    // After prot and flags: the path up to a NUL, padded, and the time.
    let path = record.get(72..record.len().checked_sub(8)?)?;
    let path = path.split(|byte| *byte == 0).next()?;
    Some(MappedCode {
        start,
        end: start.checked_add(length)?,
        offset,
        file,
        path: String::from_utf8_lossy(path).into(),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with its length in the header.
    fn record(kind: u32, misc: u16, body: &[&[u8]], at_ns: u64) -> Vec<u8> {
        let body: Vec<u8> = body.concat();
        let length = u16::try_from(HEADER + body.len() + 8).unwrap();
        let mut all = kind.to_ne_bytes().to_vec();
        all.extend(misc.to_ne_bytes());
        all.extend(length.to_ne_bytes());
        all.extend(body);
        all.extend(at_ns.to_ne_bytes());
        assert_eq!(super::length(*all.first_chunk().unwrap()), all.len());
        all
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn happened(record: &[u8]) -> Option<Happened> {
        match decode(record)? {
            Record::Happened(record) => {
                assert_eq!((record.pid, record.at_ns), (7, 99));
                Some(record.what)
            }
            Record::Lost(_) => panic!("lost"),
        }
    }

    #[test]
    fn births_of_threads_are_none_of_processes() {
        let fork = |pid, tid| record(kind::FORK, 0, &[&words(&[7, pid, tid, 3, 0, 0])], 99);
        assert_eq!(happened(&fork(3, 7)), Some(Happened::Forked { parent: 3 }));
        assert_eq!(happened(&fork(7, 8)), None);
        let exit = |tid| record(kind::EXIT, 0, &[&words(&[7, 3, tid, 3, 0, 0])], 99);
        assert_eq!(happened(&exit(7)), Some(Happened::Ended));
        assert_eq!(happened(&exit(8)), None);
        let comm = |misc| record(kind::COMM, misc, &[&words(&[7, 7]), b"cat\0\0\0\0\0"], 99);
        assert_eq!(happened(&comm(MISC_COMM_EXEC)), Some(Happened::Executed));
        assert_eq!(happened(&comm(0)), None);
    }

    #[test]
    fn files_by_inode_and_by_build_id() {
        let ids = words(&[7, 8]);
        let range: Vec<u8> = [0x1000_u64, 0x2000, 0x3000].map(u64::to_ne_bytes).concat();
        let path = b"/lib/a.so\0\0\0\0\0\0\0";
        let inode = [words(&[8, 1]), words(&[5, 0, 6, 0])].concat();
        let mapped = |misc, file: &[u8]| {
            let protection = words(&[5, 2]);
            let body: [&[u8]; 5] = [&ids, &range, file, &protection, path];
            happened(&record(kind::MMAP2, misc, &body, 99))
        };
        let code = |file| {
            Some(Happened::Mapped(MappedCode {
                start: 0x1000,
                end: 0x3000,
                offset: 0x3000,
                file,
                path: "/lib/a.so".into(),
            }))
        };
        assert_eq!(
            mapped(0, &inode),
            code(CodeFile::Inode {
                device: (8, 1),
                inode: 5,
                generation: 6
            })
        );
        let mut id = vec![3, 0, 0, 0, 0xab, 0xcd, 0xef];
        id.resize(24, 0);
        assert_eq!(
            mapped(MISC_MMAP_BUILD_ID, &id),
            code(CodeFile::BuildId(Arc::from([0xab, 0xcd, 0xef])))
        );
        assert_eq!(mapped(MISC_MMAP_DATA, &inode), None);
    }

    #[test]
    fn what_is_cut_is_nothing() {
        let lost = record(kind::LOST, 0, &[&[0; 8], &5_u64.to_ne_bytes()], 0);
        assert_eq!(decode(&lost), Some(Record::Lost(5)));
        let whole = record(kind::FORK, 0, &[&words(&[7, 3, 7, 3, 0, 0])], 99);
        for length in 0..16 {
            assert_eq!(decode(&whole[..length]), None);
        }
    }
}
