//! The vDSO: code that the kernel maps into every process, without a file. All processes have the same one,
//! so ctprof reads its own.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::elf::Source;

/// The vDSO is a few pages.
const MAX_SIZE: u64 = 1 << 20;

/// Our own vDSO: its bytes, and where it lies; `None` on a kernel without one.
pub(crate) fn read() -> Option<(Source, u64)> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]"))?;
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let size = u64::from_str_radix(end, 16).ok()?.checked_sub(start)?;
    if size > MAX_SIZE {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    let memory = File::open("/proc/self/mem").ok()?;
    memory.read_exact_at(&mut bytes, start).ok()?;
    Some((Source::Bytes(bytes), start))
}
