//! Names of the read-only globals that the loader fills before the programs are verified.
//!
//! `OFF_*` are byte offsets of kernel fields, resolved from the running kernel's BTF; `HAVE_*` and the
//! rest are switches. The verifier sees them as constants.

/// One global of the kernel half, by the name of its symbol in the object.
pub type GlobalName = &'static str;

/// `task_struct.sched_task_group`.
pub const OFF_TASK_GROUP: GlobalName = "OFF_TASK_GROUP";
/// `task_group.css`, the cpu controller's state of a cgroup.
pub const OFF_TG_CSS: GlobalName = "OFF_TG_CSS";
/// `cgroup_subsys_state.cgroup`.
pub const OFF_CSS_CGROUP: GlobalName = "OFF_CSS_CGROUP";
/// `cgroup_subsys_state.parent`.
pub const OFF_CSS_PARENT: GlobalName = "OFF_CSS_PARENT";
/// `task_struct.cgroups`.
pub const OFF_TASK_CGROUPS: GlobalName = "OFF_TASK_CGROUPS";
/// `css_set.dfl_cgrp`.
pub const OFF_CSET_DFL: GlobalName = "OFF_CSET_DFL";
/// `cgroup.kn`.
pub const OFF_CGROUP_KN: GlobalName = "OFF_CGROUP_KN";
/// `cgroup.self`, the cgroup's own state, through which its parent is found.
pub const OFF_CGROUP_SELF: GlobalName = "OFF_CGROUP_SELF";
/// `cgroup.root`.
pub const OFF_CGROUP_ROOT: GlobalName = "OFF_CGROUP_ROOT";
/// `cgroup_root.hierarchy_id`.
pub const OFF_ROOT_HIER: GlobalName = "OFF_ROOT_HIER";
/// `kernfs_node.id`.
pub const OFF_KN_ID: GlobalName = "OFF_KN_ID";
/// `task_struct.flags`.
pub const OFF_TASK_FLAGS: GlobalName = "OFF_TASK_FLAGS";
/// `task_struct.self_exec_id`.
pub const OFF_TASK_EXEC: GlobalName = "OFF_TASK_EXEC";
/// `task_struct.real_parent`.
pub const OFF_TASK_PARENT: GlobalName = "OFF_TASK_PARENT";
/// `task_struct.tgid`.
pub const OFF_TASK_TGID: GlobalName = "OFF_TASK_TGID";

/// 1 where the CPU controller sits in a cgroup v1 hierarchy.
pub const CGROUP_V1: GlobalName = "CGROUP_V1";
/// Number of the hierarchy whose cgroups are watched, as in `/proc/self/cgroup`; 0 is cgroup v2.
pub const HIERARCHY_ID: GlobalName = "HIERARCHY_ID";
/// 1 when threads outside every watched cgroup are recorded as `host`, and kernel threads as `kernel`.
pub const RECORD_HOST: GlobalName = "RECORD_HOST";
