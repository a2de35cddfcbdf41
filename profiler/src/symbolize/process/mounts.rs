//! Which devices are FUSE file systems. Their server is a process, possibly of the container: it may never
//! answer, and ctprof would hang with it, so files there are not touched.

use std::collections::HashMap;
use std::sync::Arc;

use crate::host::cgroup::is_at_or_below;

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
        let mut overlays = Vec::new();
        for line in mountinfo.lines() {
            let Some((fields, kind)) = line.split_once(" - ") else {
                continue;
            };
            let mut fields = fields.split(' ').skip(2);
            let device = fields.next().and_then(device_number);
            let point = fields.nth(1);
            let mut kind = kind.split(' ');
            let (kind, options) = (
                kind.next().unwrap_or_default(),
                kind.nth(1).unwrap_or_default(),
            );
            let is_fuse = kind == "fuse" || kind == "fuseblk" || kind.starts_with("fuse.");
            if kind == "overlay" {
                overlays.push((device, point, options));
            }
            self.set(device, point, is_fuse);
        }
        // Layers are file systems, too.
        for (device, point, options) in overlays {
            let is_served = layers(options).any(|layer| self.is_fuse_point(&unescaped(layer)));
            self.set(device, point, is_served);
        }
    }

    fn set(&mut self, device: Option<(u32, u32)>, point: Option<&str>, is_fuse: bool) {
        if let Some(device) = device {
            *self.fuse_by_device.entry(device).or_default() |= is_fuse;
        }
        if let (true, Some(point)) = (is_fuse, point) {
            self.fuse_points.push(unescaped(point));
        }
    }

    fn is_fuse_point(&self, path: &str) -> bool {
        let mut points = self.fuse_points.iter();
        points.any(|point| is_at_or_below(path, point))
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

    /// Where FUSE file systems are mounted.
    pub(crate) fn fuse_points(&self) -> Arc<[String]> {
        self.fuse_points.as_slice().into()
    }
}

/// The directories that an overlay is made of, from its options.
fn layers(options: &str) -> impl Iterator<Item = &str> {
    let named = options
        .split(',')
        .filter_map(|option| option.split_once('='));
    let layers = named
        .filter(|(name, _)| matches!(*name, "lowerdir" | "upperdir" | "lowerdir+" | "datadir+"));
    layers.flat_map(|(_, paths)| paths.split(':'))
}

/// Shared memory without a mount: `memfd_create`, `/dev/zero` mapped shared, System V.
pub(super) fn is_kernel_memory(path: &str) -> bool {
    ["/memfd:", "/dev/zero", "/SYSV", "/anon_hugepage", "/[aio]"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// The path that the kernel wrote with `\040` for a space, and the like for tabs, newlines and backslashes.
fn unescaped(path: &str) -> String {
    let mut parts = path.split('\\');
    let mut plain = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        match code {
            Some(code) => {
                plain.push(code);
                plain.extend(&part.as_bytes()[3..]);
            }
            None => {
                plain.push(b'\\');
                plain.extend(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
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
    fn an_overlay_is_as_its_layers_are() {
        let mut mounts = Mounts::default();
        mounts.add("43 21 0:50 / /over rw - overlay overlay rw,lowerdir=/lib:/data/lower,upperdir=/u,workdir=/w\n");
        assert!(mounts.may_read((0, 50), "/over/a"));
        mounts.add(&format!(
            "43 21 0:51 / /over rw - overlay overlay rw,lowerdir=/lib:/data/lower,upperdir=/u,workdir=/w\n{TEXT}"
        ));
        assert!(!mounts.may_read((0, 51), "/over/a"));
        assert_eq!(
            *mounts.fuse_points(),
            ["/data".to_owned(), "/over".to_owned()]
        );
        mounts.add("44 21 0:52 / /other rw - overlay overlay rw,lowerdir=/database,upperdir=/u\n");
        assert!(mounts.may_read((0, 52), "/other/a"));
    }

    #[test]
    fn mount_points_of_fuse_are_known_by_their_real_names() {
        let mut mounts = Mounts::default();
        mounts.add(TEXT);
        mounts.add("42 21 0:37 / /my\\040data\\134x rw - fuse.s3 s3 rw\n");
        assert_eq!(
            *mounts.fuse_points(),
            ["/data".to_owned(), "/my data\\x".to_owned()]
        );
    }
}
