//! Births and ends of cgroups: a newborn below a watched cgroup is watched before its first process runs.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use aya_log_ebpf::debug;
use ctprof_ebpf::abi::{
    event::{CGROUP_BORN, CGROUP_GONE},
    scope::slot,
};

use crate::{
    kernel::{self, Object},
    maps::SCOPE,
    notices::{self, Notice},
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
    let notice = || Notice {
        kind: CGROUP_BORN,
        slot,
        id,
        ..Notice::default()
    };
    notices::send_with_path(notice, ctx.arg(1));
    0
}

/// A cgroup was removed. User space reuses its slot once it has read all of its figures. Arguments: the cgroup, its path.
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
    notices::send(|| Notice {
        kind: CGROUP_GONE,
        slot: slot(*value),
        id,
        ..Notice::default()
    });
    0
}
