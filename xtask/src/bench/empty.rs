//! Empty programs on the kernel's hooks: the least that any tool on these hooks can add.

use std::os::fd::{FromRawFd, OwnedFd};

use anyhow::{Context, Result, bail};

use crate::btf;

/// Attached programs; dropping them detaches.
pub(super) struct EmptyPrograms(#[allow(dead_code, reason = "held open")] Vec<OwnedFd>);

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_RAW_TP: u32 = 23;

/// `r0 = 0; exit`, as in the kernel's `Documentation/bpf/standardization/instruction-set.rst`.
const PROGRAM: [u64; 2] = [0xb7, 0x95];

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

impl EmptyPrograms {
    /// Attaches one to each of these tracepoints.
    pub(super) fn attach(tracepoints: &[&str]) -> Result<Self> {
        let ids = btf::tracepoint_ids(tracepoints)?;
        let mut held = Vec::new();
        for (tracepoint, id) in tracepoints.iter().zip(ids) {
            let program = load(tracepoint, id).with_context(|| {
                format!("cannot load an empty program for {tracepoint}; run it as root")
            })?;
            let link = open(&program)
                .with_context(|| format!("cannot attach an empty program to {tracepoint}"))?;
            held.extend([program, link]);
        }
        Ok(Self(held))
    }
}

/// Loads a program for the tracepoint with this id in the kernel's BTF, under the tracepoint's name.
fn load(tracepoint: &str, id: u32) -> Result<OwnedFd> {
    let mut name = [0; 16];
    // The last byte ends it.
    for (to, from) in name[..15].iter_mut().zip(tracepoint.bytes()) {
        *to = from;
    }
    let attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_TRACING,
        insn_cnt: PROGRAM.len() as u32,
        insns: PROGRAM.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        expected_attach_type: BPF_TRACE_RAW_TP,
        attach_btf_id: id,
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
