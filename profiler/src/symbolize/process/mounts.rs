//! Which devices are FUSE file systems. Their server is a process, possibly of the container: it may never
//! answer, and ctprof would hang with it, so files there are not touched.

use std::collections::HashMap;

/// Device of a mount to whether it is FUSE.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    fuse_by_device: HashMap<(u32, u32), bool>,
    /// Mount points of FUSE file systems.
    fuse_points: Vec<String>,
}

impl Mounts {
    /// Adds the mounts in the text of a `/proc/PID/mountinfo`.
    pub(crate) fn add(&mut self, mountinfo: &str) {
        for line in mountinfo.lines() {
            let Some((fields, kind)) = line.split_once(" - ") else {
                continue;
            };
            let mut fields = fields.split(' ').skip(2);
            let device = fields.next().and_then(device_number);
            let point = fields.nth(1);
            let kind = kind.split(' ').next().unwrap_or_default();
            let is_fuse = kind == "fuse" || kind == "fuseblk" || kind.starts_with("fuse.");
            if let Some(device) = device {
                *self.fuse_by_device.entry(device).or_default() |= is_fuse;
            }
            if let (true, Some(point)) = (is_fuse, point) {
                self.fuse_points.push(point.to_owned());
            }
        }
    }

    /// A file on this device may be touched. A device without a block device behind it that no mount table
    /// names could be a FUSE mount that was detached, so it may not, unless it is the kernel's own
    /// file system for `memfd` files.
    pub(crate) fn may_read(&self, device: (u32, u32), path: &str) -> bool {
        match self.fuse_by_device.get(&device) {
            Some(is_fuse) => !is_fuse,
            None => device.0 != 0 || is_kernel_memory(path),
        }
    }

    /// No FUSE file system lies on the way to `path`.
    pub(crate) fn may_walk(&self, path: &str) -> bool {
        !self.fuse_points.iter().any(|point| {
            point == "/"
                || path
                    .strip_prefix(point.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// Shared memory without a mount: `memfd_create`, `/dev/zero` mapped shared, System V.
fn is_kernel_memory(path: &str) -> bool {
    ["/memfd:", "/dev/zero", "/SYSV", "/anon_hugepage", "/[aio]"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

fn device_number(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
21 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
40 21 0:35 / /data rw,nosuid - fuse.sshfs me@host:/ rw
41 21 0:36 / /tmp rw - tmpfs tmpfs rw
broken line
";

    #[test]
    fn fuse_and_unknown_devices_are_not_touched() {
        let mut mounts = Mounts::default();
        mounts.add(TEXT);
        assert!(mounts.may_read((254, 1), "/usr/bin/cat"));
        assert!(mounts.may_read((0, 36), "/tmp/a"));
        assert!(!mounts.may_read((0, 35), "/data/lib.so"));
        assert!(!mounts.may_read((0, 99), "/detached/lib.so"));
        assert!(mounts.may_read((0, 1), "/memfd:jit"));
        assert!(mounts.may_read((8, 1), "/other/disk"));
    }

    #[test]
    fn paths_below_fuse_are_not_walked() {
        let mut mounts = Mounts::default();
        mounts.add(TEXT);
        assert!(mounts.may_walk("/tmp/perf-1.map"));
        assert!(!mounts.may_walk("/data/perf-1.map"));
        assert!(mounts.may_walk("/database/x"));
    }
}
