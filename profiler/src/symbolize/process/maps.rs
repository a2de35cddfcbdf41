//! `/proc/PID/maps`: what of it the symbolizer needs, the executable mappings.

use super::mounts::is_kernel_memory;

/// What backs an executable mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backing<'a> {
    /// A file: device as `major:minor`, inode, and path as the process sees it.
    File {
        device: (u32, u32),
        inode: u64,
        path: &'a str,
    },
    /// `[vdso]`.
    Vdso,
    /// Any other special mapping, such as `[vsyscall]` or `[stack]`.
    Special(&'a str),
    /// No file: JIT-compiled code, usually.
    Anonymous,
}

/// One executable mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Offset of `start` in the file.
    pub(crate) offset: u64,
    pub(crate) backing: Backing<'a>,
}

/// The executable mappings in the text of `/proc/PID/maps`, lines that do not parse left out.
///
/// The kernel writes newlines in paths as `\012`, so that a line is a mapping whatever files are called.
pub(crate) fn executable(text: &str) -> impl Iterator<Item = Line<'_>> {
    let lines = text.lines().filter_map(parse);
    lines.filter_map(|(line, is_code)| is_code.then_some(line))
}

/// Code of no file that lies where a file's should be: directly between two mappings of one file, or beside a piece
/// of its code. That is what is left when a program has moved its text to huge pages. Gives where it starts, and the
/// mappings around it with whether they are code: none where code of two files lies on both sides, as it could be either's.
pub(crate) fn instead_of_files(text: &str) -> Vec<(u64, Vec<(Line<'_>, bool)>)> {
    let mut found = Vec::new();
    // The mapping of a file that was seen last, and code of no file that directly follows it.
    let mut before: Option<(Line<'_>, bool)> = None;
    let mut between: Vec<u64> = Vec::new();
    let mut end = 0;
    for (line, is_code) in text.lines().filter_map(parse) {
        let is_gap = line.start != end;
        end = line.end;
        let is_file = line.is_file_on_disk();
        let has_no_file =
            !is_file && is_code && !matches!(line.backing, Backing::Special(_) | Backing::Vdso);
        if has_no_file && !is_gap {
            between.push(line.start);
            continue;
        }
        let after = (is_file && !is_gap).then(|| (line.clone(), is_code));
        let is_same = before.as_ref().zip(after.as_ref());
        let is_same = is_same.is_some_and(|((a, _), (b, _))| a.backing == b.backing);
        let around: Vec<_> = before.take().into_iter().chain(after).collect();
        let around: Vec<_> = around
            .into_iter()
            .filter(|(_, is_code)| is_same || *is_code)
            .collect();
        let around = match around.len() {
            2 if !is_same => Some(Vec::new()),
            0 => None,
            _ => Some(around),
        };
        if let Some(around) = around {
            found.extend(between.drain(..).map(|start| (start, around.clone())));
        }
        between.clear();
        if has_no_file {
            between.push(line.start);
        }
        before = is_file.then_some((line, is_code));
    }
    if let Some((line, true)) = before {
        found.extend(
            between
                .drain(..)
                .map(|start| (start, vec![(line.clone(), true)])),
        );
    }
    found
}

impl Line<'_> {
    fn is_file_on_disk(&self) -> bool {
        matches!(&self.backing, Backing::File { path, .. } if !is_kernel_memory(path))
    }
}

/// The mapping, and whether it is executable.
fn parse(line: &str) -> Option<(Line<'_>, bool)> {
    let (range, rest) = line.split_once(' ')?;
    let (permissions, rest) = rest.split_once(' ')?;
    let is_code = permissions.as_bytes().get(2) == Some(&b'x');
    let (offset, rest) = rest.split_once(' ')?;
    let (device, rest) = rest.split_once(' ')?;
    let (inode, path) = rest.split_once(' ').unwrap_or((rest, ""));
    let (start, end) = range.split_once('-')?;
    let (start, end) = (hex(start)?, hex(end)?);
    let (major, minor) = device.split_once(':')?;
    let inode: u64 = inode.parse().ok()?;
    let path = path.trim_start();
    let backing = if inode != 0 {
        Backing::File {
            device: (
                u32::try_from(hex(major)?).ok()?,
                u32::try_from(hex(minor)?).ok()?,
            ),
            inode,
            path: path.strip_suffix(" (deleted)").unwrap_or(path),
        }
    } else {
        match path {
            "" => Backing::Anonymous,
            "[vdso]" => Backing::Vdso,
            // Named by prctl(PR_SET_VMA_ANON_NAME), as V8 and the JVM do.
            name if name.starts_with("[anon") || name == "[heap]" => Backing::Anonymous,
            name => Backing::Special(name),
        }
    };
    let line = Line {
        start,
        end,
        offset: hex(offset)?,
        backing,
    };
    (start < end).then_some((line, is_code))
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
55d0c2a00000-55d0c2a02000 r--p 00000000 fe:01 1312345                    /usr/bin/cat
55d0c2a02000-55d0c2a07000 r-xp 00002000 fe:01 1312345                    /usr/bin/cat
7f1e50000000-7f1e50001000 r-xp 00001000 00:2a 77                         /tmp/a b (deleted)
7f1e60000000-7f1e60001000 rwxp 00000000 00:00 0 
7f1e70000000-7f1e70001000 rwxp 00000000 00:00 0                          [anon:v8]
7f1e80000000-7f1e80001000 rwxs 00000000 00:01 4099                       /memfd:jit (deleted)
nonsense
7ffd1b5c2000-7ffd1b5c4000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
";

    #[test]
    fn only_executable_mappings_count() {
        let found: Vec<_> = executable(TEXT)
            .map(|line| (line.start, line.end, line.offset, line.backing))
            .collect();
        let file = |device, inode, path| Backing::File {
            device,
            inode,
            path,
        };
        assert_eq!(
            found,
            [
                (
                    0x55d0c2a02000,
                    0x55d0c2a07000,
                    0x2000,
                    file((0xfe, 1), 1312345, "/usr/bin/cat")
                ),
                (
                    0x7f1e50000000,
                    0x7f1e50001000,
                    0x1000,
                    file((0, 0x2a), 77, "/tmp/a b")
                ),
                (0x7f1e60000000, 0x7f1e60001000, 0, Backing::Anonymous),
                (0x7f1e70000000, 0x7f1e70001000, 0, Backing::Anonymous),
                (
                    0x7f1e80000000,
                    0x7f1e80001000,
                    0,
                    file((0, 1), 4099, "/memfd:jit")
                ),
                (0x7ffd1b5c2000, 0x7ffd1b5c4000, 0, Backing::Vdso),
                (
                    0xffffffffff600000,
                    0xffffffffff601000,
                    0,
                    Backing::Special("[vsyscall]")
                ),
            ]
        );
    }

    /// As programs look that moved their text: all of it, the middle of it, or into shared memory.
    #[test]
    fn code_in_the_place_of_a_file() {
        let whole = "\
1000-2000 r--p 00000000 fe:01 7 /srv/a
2000-6000 r-xp 00000000 00:00 0 
6000-7000 r--p 00005000 fe:01 7 /srv/a
";
        let middle = "\
1000-2000 r-xp 00000000 fe:01 7 /srv/a
2000-4000 r-xp 00000000 00:00 0 
4000-6000 r-xp 00000000 00:0f 9 /anon_hugepage (deleted)
9000-a000 r-xp 00000000 00:00 0 
a000-b000 r-xp 00008000 fe:01 7 /srv/a
";
        // A JIT compiler's, beside libraries and between them.
        let jit = "\
1000-2000 r--p 00000000 fe:01 7 /srv/a
2000-3000 r-xp 00000000 00:00 0 
3000-4000 r--p 00000000 fe:01 8 /srv/b
5000-6000 rw-p 00001000 fe:01 7 /srv/a
6000-7000 rwxp 00000000 00:00 0 
8000-9000 rwxp 00000000 00:00 0 
9000-a000 r--p 00000000 fe:01 8 /srv/b
b000-c000 r-xp 00000000 fe:01 7 /srv/a
c000-d000 rwxp 00000000 00:00 0 
d000-e000 r-xp 00000000 fe:01 8 /srv/b
";
        let found = |text| -> Vec<(u64, Vec<u64>)> {
            let all = instead_of_files(text).into_iter();
            all.map(|(start, around)| (start, around.iter().map(|(line, _)| line.start).collect()))
                .collect()
        };
        assert_eq!(found(whole), [(0x2000, vec![0x1000, 0x6000])]);
        assert_eq!(
            found(middle),
            [
                (0x2000, vec![0x1000]),
                (0x4000, vec![0x1000]),
                (0x9000, vec![0xa000])
            ]
        );
        // Beside the code of one and of another file it could be of either.
        assert_eq!(found(jit), [(0xc000, vec![])]);
    }
}
