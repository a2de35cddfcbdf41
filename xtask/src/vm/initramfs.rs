//! Writing an initramfs: a cpio archive in the `newc` format
//! (Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's sources).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive in the making. Names are relative to `/`; a folder must come before what is in it.
pub(crate) struct Initramfs {
    bytes: Vec<u8>,
    inode: u32,
}

impl Initramfs {
    /// An empty archive.
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            inode: 1,
        }
    }

    /// Adds an empty folder.
    pub(crate) fn folder(&mut self, name: &str) {
        self.entry(name, FOLDER, (0, 0), &[]);
    }

    /// Adds an executable file.
    pub(crate) fn program(&mut self, name: &str, content: &[u8]) {
        self.entry(name, PROGRAM, (0, 0), content);
    }

    /// Adds a character device.
    pub(crate) fn character_device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name, CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// Ends the archive and writes it to `path`, which it returns.
    pub(crate) fn write(mut self, path: &Path) -> Result<PathBuf> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, &self.bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.to_path_buf())
    }

    /// Header of 13 fields of 8 hexadecimal digits, name, content; name and content padded to 4 bytes.
    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        let links = 1;
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        self.bytes.extend(b"070701");
        for field in [
            self.inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0,
        ] {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
        self.inode += 1;
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Initramfs;

    #[test]
    fn an_entry_is_header_name_and_padded_content() {
        let mut archive = Initramfs::new();
        archive.program("a", b"12345");
        let header = "070701\
                      00000001000081ed00000000000000000000000100000000\
                      0000000500000000000000000000000000000000\
                      0000000200000000";
        assert_eq!(header.len(), 110);
        let expected = [header.as_bytes(), b"a\0", b"12345\0\0\0"].concat();
        assert_eq!(archive.bytes, expected);
    }
}
