//! The table of kernel fields that the kernel half reads, and its resolution against a kernel's BTF.

use ctprof_ebpf::abi::layout::{self, GlobalName};

use super::Btf;

/// When a field has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Always.
    Always,
    /// Where the CPU controller sits in a cgroup v1 hierarchy.
    OnV1,
    /// Where it sits in cgroup v2.
    OnV2,
}

/// One field, and every name it has had.
#[derive(Debug)]
pub struct Field {
    /// The global of the kernel half that takes its offset.
    pub global: GlobalName,
    /// The struct.
    pub type_name: &'static str,
    /// Member paths, newest kernel first.
    pub paths: &'static [&'static str],
    need: Need,
}

const fn field(
    global: GlobalName,
    type_name: &'static str,
    paths: &'static [&'static str],
    need: Need,
) -> Field {
    Field {
        global,
        type_name,
        paths,
        need,
    }
}

/// Every kernel field that ctprof reads.
pub const FIELDS: &[Field] = &[
    field(
        layout::OFF_TASK_FLAGS,
        "task_struct",
        &["flags"],
        Need::Always,
    ),
    field(
        layout::OFF_TASK_TGID,
        "task_struct",
        &["tgid"],
        Need::Always,
    ),
    field(
        layout::OFF_TASK_EXEC,
        "task_struct",
        &["self_exec_id"],
        Need::Always,
    ),
    field(
        layout::OFF_TASK_PARENT,
        "task_struct",
        &["real_parent"],
        Need::Always,
    ),
    field(
        layout::OFF_TASK_GROUP,
        "task_struct",
        &["sched_task_group"],
        Need::OnV1,
    ),
    field(layout::OFF_TG_CSS, "task_group", &["css"], Need::OnV1),
    field(
        layout::OFF_TASK_CGROUPS,
        "task_struct",
        &["cgroups"],
        Need::OnV2,
    ),
    field(layout::OFF_CSET_DFL, "css_set", &["dfl_cgrp"], Need::OnV2),
    field(
        layout::OFF_CSS_CGROUP,
        "cgroup_subsys_state",
        &["cgroup"],
        Need::Always,
    ),
    field(
        layout::OFF_CSS_PARENT,
        "cgroup_subsys_state",
        &["parent"],
        Need::Always,
    ),
    field(layout::OFF_CGROUP_KN, "cgroup", &["kn"], Need::Always),
    field(layout::OFF_CGROUP_SELF, "cgroup", &["self"], Need::Always),
    field(layout::OFF_CGROUP_ROOT, "cgroup", &["root"], Need::Always),
    field(
        layout::OFF_ROOT_HIER,
        "cgroup_root",
        &["hierarchy_id"],
        Need::Always,
    ),
    field(layout::OFF_KN_ID, "kernfs_node", &["id"], Need::Always),
];

/// A required field that this kernel does not describe.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the kernel's BTF has no field {type_name}.{member}; this kernel is not supported yet (see docs/architecture.md)"
)]
pub struct MissingField {
    /// The struct.
    pub type_name: &'static str,
    /// The member, by its newest name.
    pub member: &'static str,
}

/// Values for the layout globals of the kernel half.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// Global and value, one for each field that is there.
    pub offsets: Vec<(GlobalName, u32)>,
}

impl Layout {
    /// Resolves the whole table for a host whose CPU controller is in cgroup v1, or not.
    ///
    /// # Errors
    /// The first required field that this kernel does not have.
    pub fn resolve(btf: &Btf, cgroup_v1: bool) -> Result<Self, MissingField> {
        let mut offsets = Vec::with_capacity(FIELDS.len());
        for field in FIELDS {
            let place = field
                .paths
                .iter()
                .find_map(|path| btf.member(field.type_name, path));
            let required = match field.need {
                Need::Always => true,
                Need::OnV1 => cgroup_v1,
                Need::OnV2 => !cgroup_v1,
            };
            match place {
                Some(member) => offsets.push((field.global, member.offset)),
                None if required => {
                    return Err(MissingField {
                        type_name: field.type_name,
                        member: field.paths.first().copied().unwrap_or_default(),
                    });
                }
                None => {}
            }
        }
        Ok(Self { offsets })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{FIELDS, Layout, MissingField};
    use crate::host::btf::Btf;

    fn fixture(kernel: &str) -> Btf {
        let path: PathBuf = [
            env!("CARGO_MANIFEST_DIR"),
            "tests/fixtures/btf",
            &format!("{kernel}.btf"),
        ]
        .iter()
        .collect();
        Btf::from_file(&path).unwrap()
    }

    /// Offsets as `pahole` and the kernels' own BTF have them: they drift from kernel to kernel.
    #[test]
    fn offsets_of_three_kernels() {
        let expected = [
            ("6.1.192", [664, 3600, 128, 248, 104]),
            ("6.12.117", [688, 3584, 128, 256, 96]),
            ("6.18.44", [712, 2376, 112, 256, 96]),
        ];
        let globals = [
            "OFF_TASK_GROUP",
            "OFF_TASK_CGROUPS",
            "OFF_CSET_DFL",
            "OFF_CGROUP_KN",
            "OFF_KN_ID",
        ];
        for (kernel, offsets) in expected {
            let btf = fixture(kernel);
            for cgroup_v1 in [false, true] {
                let layout = Layout::resolve(&btf, cgroup_v1).unwrap();
                assert_eq!(layout.offsets.len(), FIELDS.len(), "{kernel}");
                for (global, offset) in globals.iter().zip(offsets) {
                    let found = layout.offsets.iter().find(|(name, _)| name == global);
                    assert_eq!(found, Some(&(*global, offset)), "{kernel}");
                }
            }
        }
    }

    #[test]
    fn members_of_anonymous_and_nested_structs() {
        let btf = fixture("6.18.44");
        assert_eq!(
            btf.member("task_struct", "se.cfs_rq").map(|it| it.offset),
            Some(296)
        );
        assert_eq!(btf.member("task_struct", "no_such_field"), None);
        assert_eq!(btf.member("no_such_struct", "se"), None);
        // `throttled` became a bit field: one bit at a byte of its own.
        let throttled = btf.member("cfs_rq", "throttled").unwrap();
        assert_eq!(throttled.offset * 8 + throttled.bit, 3328);
    }

    #[test]
    fn a_missing_field_is_named_if_this_host_needs_it() {
        let only_v2 = fixture("6.12.117").without("task_group");
        assert!(Layout::resolve(&only_v2, false).is_ok());
        assert_eq!(
            Layout::resolve(&only_v2, true),
            Err(MissingField {
                type_name: "task_group",
                member: "css"
            })
        );
    }
}
