//! The events that are counted, and how perf is asked for one of them on one cgroup and CPU.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd};

use perf_event::events::{Event, Hardware, Software};
use rustix::io::Errno;

use super::Counters;

/// One thing that is counted.
pub(super) struct Kind {
    /// Id of its view.
    pub(super) view: &'static str,
    event: Event,
}

/// How many things are counted.
pub(super) const KINDS: usize = 6;

/// Everything that is counted, in the order of [`counters`].
pub(super) static TABLE: [Kind; KINDS] = [
    Kind {
        view: "counters.cycles",
        event: Event::Hardware(Hardware::CPU_CYCLES),
    },
    Kind {
        view: "counters.instructions",
        event: Event::Hardware(Hardware::INSTRUCTIONS),
    },
    Kind {
        view: "counters.cache_misses",
        event: Event::Hardware(Hardware::CACHE_MISSES),
    },
    Kind {
        view: "counters.page_faults",
        event: Event::Software(Software::PAGE_FAULTS),
    },
    Kind {
        view: "counters.context_switches",
        event: Event::Software(Software::CONTEXT_SWITCHES),
    },
    Kind {
        view: "counters.migrations",
        event: Event::Software(Software::CPU_MIGRATIONS),
    },
];

/// What is counted together. The hardware has few registers and perf takes turns with them: cycles and instructions
/// of one group always have the same turn, so that their ratio holds. What the kernel counts itself takes no
/// register, and must not wait for one: it has a group of its own.
pub(super) const GROUPS: [Range<usize>; 2] = [0..3, 3..6];

/// Totals in the order of [`TABLE`] as the model has them.
pub(super) const fn counters(totals: [Option<u64>; KINDS]) -> Counters {
    let [
        cycles,
        instructions,
        cache_misses,
        page_faults,
        context_switches,
        migrations,
    ] = totals;
    Counters {
        cycles,
        instructions,
        cache_misses,
        page_faults,
        context_switches,
        migrations,
    }
}

impl Kind {
    /// Opens it on `cgroup` and all below it, and one CPU. It counts while `leader` does; without a leader it is one,
    /// and does not count yet.
    pub(super) fn open(&self, cgroup: &File, cpu: u32, leader: Option<&File>) -> io::Result<File> {
        let mut builder = perf_event::Builder::new().kind(self.event.clone());
        builder
            .enabled(leader.is_some())
            // A switch happens in the kernel, and so does a fault on a buffer that was passed to it.
            .include_kernel()
            .include_hv();
        // The crate's own `build` knows no group on a cgroup, and its descriptors survive an exec: the recorded
        // command would have them.
        let group = leader.map_or(-1, AsRawFd::as_raw_fd);
        // SAFETY: perf_event_open(attr, pid, cpu, group, flags) reads `attr`, whose size is in itself and which lives
        // as long as the builder.
        let opened = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                std::ptr::from_ref(builder.attrs()),
                cgroup.as_raw_fd(),
                cpu.cast_signed(),
                group,
                PID_IS_CGROUP | CLOSE_ON_EXEC,
            )
        };
        match i32::try_from(opened) {
            // SAFETY: the kernel has just made this descriptor, nobody else knows it.
            Ok(fd) if fd >= 0 => Ok(unsafe { File::from_raw_fd(fd) }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Why perf does not give it, and what to do. Kinds that are missing for one reason are told with the same words.
    pub(super) fn describe(&self, error: &io::Error) -> String {
        let is_hardware = matches!(self.event, Event::Hardware(_));
        match Errno::from_io_error(error) {
            Some(Errno::NOENT | Errno::OPNOTSUPP | Errno::NODEV) if is_hardware => {
                "the hardware of this machine, or its hypervisor, does not count them; record where it does".to_owned()
            }
            Some(Errno::NOENT | Errno::INVAL) => {
                "this kernel does not count them of a cgroup; mount the hierarchy with the perf_event controller \
                 (it needs CONFIG_CGROUP_PERF)"
                    .to_owned()
            }
            Some(Errno::PERM | Errno::ACCESS) => {
                format!("perf may not count them: {error}; run as root or grant CAP_PERFMON")
            }
            _ => format!("perf cannot count them: {error}"),
        }
    }
}

/// Lets a leader and its group count.
pub(super) fn enable(leader: &File) {
    control(leader, ENABLE);
}

/// Makes a leader and its group stop.
pub(super) fn disable(leader: &File) {
    control(leader, DISABLE);
}

/// `PERF_FLAG_PID_CGROUP` and `PERF_FLAG_FD_CLOEXEC` of perf_event_open(2).
const PID_IS_CGROUP: libc::c_ulong = 1 << 2;
const CLOSE_ON_EXEC: libc::c_ulong = 1 << 3;

/// `PERF_EVENT_IOC_ENABLE` and `_DISABLE`: `_IO('$', 0)` and `_IO('$', 1)`.
const ENABLE: libc::Ioctl = 0x2400;
const DISABLE: libc::Ioctl = 0x2401;

/// The kernel refuses neither of the two (`_perf_ioctl`).
fn control(leader: &File, request: libc::Ioctl) {
    // SAFETY: these two requests take a number and touch no memory of ours.
    unsafe { libc::ioctl(leader.as_raw_fd(), request, 0) };
}

/// What was counted; `None` where perf never had a register for it, so that nobody knows.
///
/// Where it had one for a part of the time only, that part stands for all of it.
pub(super) fn read(mut event: &File) -> Option<u64> {
    // Count, time in which it should have counted, time in which it did (`PERF_FORMAT_TOTAL_TIME_*`).
    let mut bytes = [0; 24];
    event.read_exact(&mut bytes).ok()?;
    let (words, _) = bytes.as_chunks::<8>();
    let &[count, enabled, running] = words else {
        return None;
    };
    scale(
        u64::from_ne_bytes(count),
        u64::from_ne_bytes(enabled),
        u64::from_ne_bytes(running),
    )
}

fn scale(count: u64, enabled_ns: u64, running_ns: u64) -> Option<u64> {
    match running_ns {
        0 if enabled_ns > 0 => None,
        _ if running_ns >= enabled_ns => Some(count),
        _ => {
            let scaled = u128::from(count) * u128::from(enabled_ns) / u128::from(running_ns);
            u64::try_from(scaled).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GROUPS, KINDS, scale};

    #[test]
    fn a_part_stands_for_the_whole_and_nothing_for_nothing() {
        assert_eq!(scale(7, 100, 100), Some(7));
        assert_eq!(scale(7, 0, 0), Some(7), "a cgroup that never ran there");
        assert_eq!(scale(1_000, 300, 100), Some(3_000));
        assert_eq!(scale(u64::MAX / 2, 1 << 62, 1 << 61), Some(u64::MAX - 1));
        assert_eq!(scale(u64::MAX, 3, 1), None, "absurd");
        assert_eq!(scale(0, 100, 0), None, "it never had a register");
    }

    #[test]
    fn every_kind_is_in_one_group() {
        let all: Vec<usize> = GROUPS.into_iter().flatten().collect();
        assert_eq!(all, (0..KINDS).collect::<Vec<_>>());
    }
}
