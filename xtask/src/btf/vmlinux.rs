//! Taking the BTF out of a compressed kernel image, as `scripts/extract-vmlinux` in the kernel's sources does.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection};

/// Compressions that Debian's kernels use: first bytes, and the program that unpacks them.
const COMPRESSIONS: [(&[u8], &str); 4] = [
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x02!L\x18", "lz4"),
    (b"\x1f\x8b\x08", "gzip"),
];

/// The `.BTF` section of the kernel in `image` (a bzImage).
pub(super) fn btf(image: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let elf = unpack(payload(&bytes)?)?;
    let file = object::File::parse(&*elf).context("the unpacked kernel is not ELF")?;
    let section = file
        .section_by_name(".BTF")
        .context("the kernel has no .BTF section")?;
    Ok(section.data()?.to_vec())
}

/// The compressed kernel, where the boot protocol says it is (Documentation/arch/x86/boot.rst).
fn payload(image: &[u8]) -> Result<&[u8]> {
    let word = |at: usize| -> Result<usize> {
        let word = image
            .get(at..at + 4)
            .context("the kernel image is too short")?;
        Ok(u32::from_le_bytes(word.try_into()?) as usize)
    };
    if image.get(0x202..0x206) != Some(b"HdrS") {
        bail!("not a bzImage");
    }
    let setup_sectors = match image[0x1f1] {
        0 => 4,
        count => usize::from(count),
    };
    let start = (setup_sectors + 1) * 512 + word(0x248)?;
    // The last four bytes are the unpacked size, which some formats lack.
    let end = start + word(0x24c)? - 4;
    image
        .get(start..end)
        .context("the kernel image is cut short")
}

fn unpack(payload: &[u8]) -> Result<Vec<u8>> {
    let (_, program) = COMPRESSIONS
        .iter()
        .find(|(magic, _)| payload.starts_with(magic))
        .context("the kernel is compressed in an unknown way")?;
    let mut child = Command::new(program)
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let mut stdin = child.stdin.take().context("no pipe")?;
    let output = std::thread::scope(|scope| {
        let writer = scope.spawn(move || stdin.write_all(payload));
        let output = child.wait_with_output();
        // Where it failed, the program's own exit code says so.
        let _ = writer.join();
        output
    })?;
    if !output.status.success() {
        bail!("{program} could not unpack the kernel: {}", output.status);
    }
    Ok(output.stdout)
}
