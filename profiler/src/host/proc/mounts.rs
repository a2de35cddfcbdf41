//! `/proc/self/mountinfo`, as far as cgroups need it (format: `proc_pid_mountinfo(5)`).

use std::path::PathBuf;

/// One mount of a cgroup file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupMount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Which folder of the hierarchy is mounted there: `/` unless it is a part of it. In a cgroup
    /// namespace it is relative to that namespace's root and may start with `/..`.
    pub root: String,
    /// Controllers (`cpu`, `cpuacct`) or `name=…` of a v1 hierarchy; empty for v2.
    pub controllers: Vec<String>,
    /// It is the cgroup v2 hierarchy.
    pub unified: bool,
}

/// The cgroup mounts in the text of a `mountinfo` file, in its order. Lines in another form are skipped.
#[must_use]
pub fn cgroup_mounts(mountinfo: &str) -> Vec<CgroupMount> {
    mountinfo.lines().filter_map(parse_line).collect()
}

/// Where FUSE file systems are mounted, from the text of a `mountinfo` file: whoever serves them may never answer.
#[must_use]
pub fn fuse_points(mountinfo: &str) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let kind = filesystem.split(' ').next()?;
        let is_fuse = matches!(kind, "fuse" | "fuseblk") || kind.starts_with("fuse.");
        let point = mount.split(' ').nth(4)?;
        is_fuse.then(|| PathBuf::from(unescape(point)))
    });
    points.collect()
}

fn parse_line(line: &str) -> Option<CgroupMount> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let root = unescape(mount.next()?);
    let point = PathBuf::from(unescape(mount.next()?));
    let mut filesystem = filesystem.split(' ');
    let unified = match filesystem.next()? {
        "cgroup" => false,
        "cgroup2" => true,
        _ => return None,
    };
    let options = filesystem.nth(1).unwrap_or_default();
    let controllers = if unified {
        Vec::new()
    } else {
        options
            .split(',')
            .filter(|option| !matches!(*option, "rw" | "ro" | "xattr" | "clone_children"))
            .map(str::to_owned)
            .collect()
    };
    Some(CgroupMount {
        point,
        root,
        controllers,
        unified,
    })
}

/// Undoes the kernel's `\040` escapes of blanks, tabs, newlines and backslashes.
fn unescape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest
            .get(at + 1..at + 4)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
            .filter(u8::is_ascii);
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{CgroupMount, cgroup_mounts, fuse_points, unescape};

    #[test]
    fn v1_v2_and_foreign_lines() {
        let text = "\
23 1 254:0 / / rw,relatime - ext4 /dev/vda rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 /docker/ab /a\\040b rw - cgroup2 cgroup2 rw,nsdelegate
garbage
1 2 3 - cgroup
";
        assert_eq!(
            cgroup_mounts(text),
            [
                CgroupMount {
                    point: "/sys/fs/cgroup/cpu,cpuacct".into(),
                    root: "/".into(),
                    controllers: vec!["cpu".into(), "cpuacct".into()],
                    unified: false,
                },
                CgroupMount {
                    point: "/a b".into(),
                    root: "/docker/ab".into(),
                    controllers: vec![],
                    unified: true,
                },
            ]
        );
    }

    #[test]
    fn fuse() {
        let text = "40 21 0:35 / /my\\040data rw,nosuid - fuse.sshfs me@host:/ rw\n\
                    41 21 0:36 / /tmp rw - tmpfs tmpfs rw\n\
                    42 21 0:37 / /run/fuse rw - fuse hang rw\n";
        assert_eq!(
            fuse_points(text),
            [Path::new("/my data"), Path::new("/run/fuse")]
        );
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape("a\\040b\\134\\011"), "a b\\\t");
        assert_eq!(unescape("\\04ü\\"), "\\04ü\\");
        assert_eq!(unescape("\\+12"), "\\+12");
    }

    #[test]
    fn fuzz_mountinfo() {
        let own = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let lines = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                     41 31 0:38 /docker/ab /a\\040b rw - cgroup2 cgroup2 rw,nsdelegate\n";
        crate::fuzz::fuzz(&[own.as_str(), lines], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            for mount in cgroup_mounts(&text) {
                assert!(!mount.root.contains(' ') || text.contains("\\040"));
                assert!(!mount.unified || mount.controllers.is_empty());
            }
        });
    }
}
