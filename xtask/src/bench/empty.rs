//! Empty programs on the kernel's hooks: the least that any tool on these hooks can add. And programs of a few
//! instructions that call one helper: what nothing that needs it can do without.

use std::os::fd::{FromRawFd, OwnedFd};

use anyhow::{Context, Result, bail};

use crate::btf;

/// Attached programs; dropping them detaches.
pub(super) struct Programs(#[allow(dead_code, reason = "held open")] Vec<OwnedFd>);

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_RAW_TP: u32 = 23;

/// `r0 = 0; exit`, as in the kernel's `Documentation/bpf/standardization/instruction-set.rst`.
const EMPTY: [u64; 2] = [0xb7, 0x95];

/// A program that calls one helper, once.
pub(super) struct Piece {
    /// Its name in the kernel; at most 15 characters.
    pub(super) name: &'static str,
    instructions: &'static [u64],
}

/// On `sched_switch`, whose second argument is the thread that leaves. Helpers by their numbers in the kernel's `bpf.h`.
pub(super) const PIECES: [Piece; 5] = [
    Piece {
        name: "empty",
        instructions: &EMPTY,
    },
    Piece {
        name: "clock",
        // bpf_ktime_get_ns
        instructions: &[call(5), EMPTY[0], EMPTY[1]],
    },
    Piece {
        name: "kernel_memory",
        // r3 = the thread; r1 = 8 bytes of the stack; r2 = their number; bpf_probe_read_kernel
        instructions: &[
            0x0008_1379,
            0xa1bf,
            below(1, 8),
            set(2, 8),
            call(113),
            EMPTY[0],
            EMPTY[1],
        ],
    },
    Piece {
        name: "kernel_stack",
        instructions: &stack(0),
    },
    Piece {
        name: "user_stack",
        // BPF_F_USER_STACK
        instructions: &stack(1 << 8),
    },
];

/// r1 = the context already; r2 = 504 bytes of the stack; r3 = their number; r4 = `flags`; bpf_get_stack.
const fn stack(flags: u32) -> [u64; 7] {
    const BYTES: u32 = 504;
    [
        0xa2bf,
        below(2, BYTES),
        set(3, BYTES),
        set(4, flags),
        call(67),
        EMPTY[0],
        EMPTY[1],
    ]
}

const fn call(helper: u32) -> u64 {
    0x85 | (helper as u64) << 32
}

/// `register = number`
const fn set(register: u64, number: u32) -> u64 {
    0xb7 | register << 8 | (number as u64) << 32
}

/// `register += -bytes`: the verifier takes no subtraction from the stack's address.
const fn below(register: u64, bytes: u32) -> u64 {
    0x07 | register << 8 | (bytes.wrapping_neg() as u64) << 32
}

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`, as in the kernel's `bpf.h`.
#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// The same for `BPF_RAW_TRACEPOINT_OPEN`.
#[repr(C)]
#[derive(Default)]
struct OpenAttr {
    name: u64,
    prog_fd: u32,
    padding: u32,
}

impl Programs {
    /// Attaches an empty one to each of these tracepoints, under the tracepoint's name.
    pub(super) fn empty(tracepoints: &[&str]) -> Result<Self> {
        let ids = btf::tracepoint_ids(tracepoints)?;
        let mut held = Vec::new();
        for (tracepoint, id) in tracepoints.iter().zip(ids) {
            held.extend(attach(tracepoint, id, tracepoint, &EMPTY)?);
        }
        Ok(Self(held))
    }

    /// Attaches all of [`PIECES`].
    pub(super) fn pieces() -> Result<Self> {
        const TRACEPOINT: &str = "sched_switch";
        let mut held = Vec::new();
        for id in btf::tracepoint_ids(&[TRACEPOINT])? {
            for piece in &PIECES {
                held.extend(attach(TRACEPOINT, id, piece.name, piece.instructions)?);
            }
        }
        Ok(Self(held))
    }
}

/// Attaches a program of this name to the tracepoint that has this id in the kernel's BTF.
fn attach(tracepoint: &str, id: u32, name: &str, instructions: &[u64]) -> Result<[OwnedFd; 2]> {
    let program = load(id, name, instructions)
        .with_context(|| format!("cannot load the program {name}; run it as root"))?;
    let link = open(&program)
        .with_context(|| format!("cannot attach the program {name} to {tracepoint}"))?;
    Ok([program, link])
}

fn load(tracepoint: u32, called: &str, instructions: &[u64]) -> Result<OwnedFd> {
    let mut name = [0; 16];
    // The last byte ends it.
    for (to, from) in name[..15].iter_mut().zip(called.bytes()) {
        *to = from;
    }
    let attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_TRACING,
        insn_cnt: u32::try_from(instructions.len())?,
        insns: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        expected_attach_type: BPF_TRACE_RAW_TP,
        attach_btf_id: tracepoint,
        prog_name: name,
        ..LoadAttr::default()
    };
    bpf(BPF_PROG_LOAD, &attr)
}

fn open(program: &OwnedFd) -> Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let attr = OpenAttr {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        ..OpenAttr::default()
    };
    bpf(BPF_RAW_TRACEPOINT_OPEN, &attr)
}

fn bpf<T>(command: libc::c_long, attr: &T) -> Result<OwnedFd> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of `attr`, which is the beginning of its `bpf_attr` for this
    // command, and the pointers in it point to constants.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attr),
            size_of::<T>(),
        )
    };
    if fd < 0 {
        bail!(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd)?) })
}
