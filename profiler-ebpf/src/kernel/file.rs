//! Open files: what a thread waits for that sleeps in a read or a write.

use super::{Object, has, optional, probe, read};
use aya_ebpf::Global;
use ctprof_ebpf::abi::{layout::ABSENT, ledger::reason};

optional! {
    OFF_TASK_FILES, OFF_FILES_FDT, OFF_FDT_MAX, OFF_FDT_FD, OFF_INODE_MODE, OFF_INODE_SB, OFF_SB_MAGIC,
    OFF_SB_BDI, OFF_BDI_CAPS,
}

#[unsafe(no_mangle)]
pub(super) static OFF_FILE_INODE: Global<u32> = Global::new(ABSENT);

/// `S_IFMT` in the kernel's `stat.h`.
const TYPE_OF_FILE: u16 = 0xf000;
/// `BDI_CAP_WRITEBACK` in the kernel's `backing-dev.h`: a file system without it is backed by memory alone.
const BDI_CAP_WRITEBACK: u32 = 1;
/// `ANON_INODE_FS_MAGIC` in the kernel's `magic.h`: eventfd, timerfd, signalfd, inotify, fanotify and the like.
const ANON_INODE_FS_MAGIC: u64 = 0x0904_1934;
/// `DEVPTS_SUPER_MAGIC` in the kernel's `magic.h`: pseudo-terminals.
const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

/// Identity of the open file with this number; 0 if there is none.
#[inline(always)]
pub(crate) fn file(task: Object, number: u32) -> u64 {
    if !has(&OFF_TASK_FILES) || !has(&OFF_FILES_FDT) || !has(&OFF_FDT_FD) || !has(&OFF_FDT_MAX) {
        return 0;
    }
    let files: Object = read(task, OFF_TASK_FILES.load());
    let table: Object = read(files, OFF_FILES_FDT.load());
    if number >= read::<u32>(table, OFF_FDT_MAX.load()) {
        return 0;
    }
    let array: u64 = read(table, OFF_FDT_FD.load());
    probe(array + u64::from(number) * 8)
}

#[inline(always)]
fn field<T: Copy + Default>(object: u64, offset: &Global<u32>) -> T {
    if has(offset) {
        probe(object + u64::from(offset.load()))
    } else {
        T::default()
    }
}

/// Why a thread sleeps in a read or a write of this open file: a [`reason`], or [`reason::PSEUDO_FILE`].
///
/// A global function: see `main.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn file_reason(file: u64) -> u32 {
    if !has(&OFF_FILE_INODE) || !has(&OFF_INODE_MODE) {
        return reason::OTHER;
    }
    let inode: u64 = field(file, &OFF_FILE_INODE);
    let kind = field::<u16>(inode, &OFF_INODE_MODE) & TYPE_OF_FILE;
    match kind {
        // Socket.
        0xc000 => return reason::NET,
        // FIFO or pipe.
        0x1000 => return reason::PIPE,
        // Block device.
        0x6000 => return reason::DISK,
        // No type: what has no file system of its own, before that was given one for the kernel itself (6.16).
        0 => return reason::POLL,
        _ => {}
    }
    let file_system: u64 = field(inode, &OFF_INODE_SB);
    let magic: u64 = field(file_system, &OFF_SB_MAGIC);
    match (kind, magic) {
        (_, ANON_INODE_FS_MAGIC) => reason::POLL,
        // Regular file or directory.
        (0x8000 | 0x4000, _) if is_stored(file_system) => reason::DISK,
        (0x8000 | 0x4000, _) => reason::PSEUDO_FILE,
        (_, DEVPTS_SUPER_MAGIC) => reason::PIPE,
        // Other character devices.
        _ => reason::OTHER,
    }
}

/// Whether there is a disk, a network or a server behind the file system. procfs, sysfs, tracefs, cgroupfs, tmpfs and all
/// others of their kind have nothing to write back to.
#[inline(always)]
fn is_stored(file_system: u64) -> bool {
    if !has(&OFF_SB_BDI) || !has(&OFF_BDI_CAPS) {
        return true;
    }
    let device: u64 = field(file_system, &OFF_SB_BDI);
    field::<u32>(device, &OFF_BDI_CAPS) & BDI_CAP_WRITEBACK != 0
}
