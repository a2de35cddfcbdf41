//! Births and ends of cgroups: a newborn below a watched cgroup is watched before its first process runs.

use aya_ebpf::{
    helpers::generated::bpf_probe_read_kernel_str, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use aya_log_ebpf::debug;
use core::ffi::c_char;
use ctprof_ebpf::abi::{
    event::{CGROUP_BORN, CGROUP_GONE, Event, PATH_BYTES},
    loss::Loss,
    scope::slot,
};

use crate::{
    kernel::{self, Object},
    loss,
    maps::{EVENTS, SCOPE},
    scope,
};

/// A cgroup was created. Arguments: the cgroup, its path from the root of its hierarchy.
#[btf_tracepoint(function = "cgroup_mkdir")]
fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup: Object = ctx.arg(0);
    if !kernel::is_watched_hierarchy(cgroup) {
        return 0;
    }
    let id = kernel::cgroup_id(cgroup);
    let Some(slot) = scope::adopt(cgroup, id) else {
        return 0;
    };
    debug!(&ctx, "cgroup {} born, slot {}", id, slot);
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else {
        loss::count(Loss::EventDropped);
        return 0;
    };
    let event = entry.as_mut_ptr();
    let path: *const c_char = ctx.arg(1);
    // SAFETY: the entry is ours until it is submitted; the helper writes at most PATH_BYTES and ends
    // the string with NUL.
    unsafe {
        (*event).kind = CGROUP_BORN;
        (*event).slot = slot;
        (*event).tgid = 0;
        (*event).exec_id = 0;
        (*event).parent_tgid = 0;
        (*event).padding = 0;
        (*event).id = id;
        bpf_probe_read_kernel_str(
            (&raw mut (*event).path).cast(),
            PATH_BYTES as u32,
            path.cast(),
        );
    }
    entry.submit(0);
    0
}

/// A cgroup was removed. Its slot is user space's to give to another, when all of its figures are taken. Arguments: the
/// cgroup, its path.
#[btf_tracepoint(function = "cgroup_rmdir")]
fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup: Object = ctx.arg(0);
    if !kernel::is_watched_hierarchy(cgroup) {
        return 0;
    }
    let id = kernel::cgroup_id(cgroup);
    // SAFETY: values are written once, before the entry can be found.
    let Some(value) = (unsafe { SCOPE.get(id) }) else {
        return 0;
    };
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else {
        loss::count(Loss::EventDropped);
        return 0;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: the entry is ours until it is submitted.
    unsafe {
        (*event).kind = CGROUP_GONE;
        (*event).slot = slot(*value);
        (*event).tgid = 0;
        (*event).exec_id = 0;
        (*event).parent_tgid = 0;
        (*event).padding = 0;
        (*event).id = id;
        (*event).path[0] = 0;
    }
    entry.submit(0);
    0
}
