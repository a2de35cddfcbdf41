//! `/proc/PID/maps`: what of it the symbolizer needs, the executable mappings.

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
    text.lines().filter_map(parse)
}

fn parse(line: &str) -> Option<Line<'_>> {
    let (range, rest) = line.split_once(' ')?;
    let (permissions, rest) = rest.split_once(' ')?;
    if permissions.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
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
    (start < end).then_some(Line {
        start,
        end,
        offset: hex(offset)?,
        backing,
    })
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
}
