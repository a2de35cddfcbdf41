//! What was called to a profile.

use std::collections::{BTreeMap, BTreeSet};

use ctprof_ebpf::abi::syscall::abi;
use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSyscall};

use super::called::Called;
use super::needs;

/// What happens to a call that the profile does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// It fails with EPERM.
    Errno,
    /// It is carried out, and the kernel's log says so.
    Log,
}

/// A profile in the making: its names, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Called, so allowed.
    pub called: BTreeSet<String>,
    /// Allowed because a runtime, or the kernel, needs it; without those in `called`.
    pub needed: BTreeSet<String>,
    /// Allowed because the user says so; without those in `called`.
    pub also: BTreeSet<String>,
    /// Never carried out, because a filter refused it: by the error, which it goes on to get. What a program does
    /// next may depend on it (`clone3` that fails with ENOSYS makes a C library try `clone`).
    pub refused: BTreeMap<u32, BTreeSet<String>>,
    /// Of `called`, those that a filter refused at other times, because of their arguments.
    pub refused_by_arguments: BTreeSet<String>,
    /// Calls whose numbers have no name, and how often they were made: they cannot be in a profile.
    pub unknown: BTreeMap<String, u64>,
    /// Numbers other than the machine's own that calls were made by.
    pub abis: BTreeSet<u32>,
}

impl Profile {
    /// A profile for these containers, that allows `also` as well.
    #[must_use]
    pub fn of<'a>(all: impl IntoIterator<Item = &'a Called>, also: &[String]) -> Self {
        let mut this = Self::default();
        // By name, the error that it got most often.
        let mut refused: BTreeMap<String, BTreeMap<u32, u64>> = BTreeMap::new();
        for called in all {
            for (call, count) in &called.executed {
                if call.is_known() {
                    this.called.insert(call.name.clone());
                    this.abis.insert(call.abi);
                } else {
                    *this.unknown.entry(call.name.clone()).or_default() += count;
                }
            }
            for (call, errors) in &called.refused {
                let count: u64 = errors.values().sum();
                if !call.is_known() {
                    *this.unknown.entry(call.name.clone()).or_default() += count;
                    continue;
                }
                let sum = refused.entry(call.name.clone()).or_default();
                for (error, count) in errors {
                    *sum.entry(*error).or_default() += count;
                }
            }
        }
        this.abis.remove(&abi::NATIVE);
        for (name, errors) in refused {
            if this.called.contains(&name) {
                this.refused_by_arguments.insert(name);
                continue;
            }
            // Of errors as frequent, the smaller: the output is to be the same each time.
            let most = errors
                .iter()
                .max_by_key(|(error, count)| (**count, u32::MAX - **error));
            if let Some((error, _)) = most {
                // A result that is no error cannot be given by a rule; a tracer's, as a rule.
                let error = if *error == 0 { EPERM } else { *error };
                this.refused.entry(error).or_default().insert(name);
            }
        }
        let also: BTreeSet<String> = also.iter().cloned().collect();
        for names in this.refused.values_mut() {
            names.retain(|name| !also.contains(name));
        }
        this.refused.retain(|_, names| !names.is_empty());
        this.needed = needs::names()
            .filter(|name| !this.called.contains(*name) && !also.contains(*name))
            .filter(|name| !this.is_refused(name))
            .map(str::to_owned)
            .collect();
        this.also = also.difference(&this.called).cloned().collect();
        this
    }

    fn is_refused(&self, name: &str) -> bool {
        self.refused.values().any(|names| names.contains(name))
    }

    /// How many calls it allows.
    #[must_use]
    pub fn allowed(&self) -> usize {
        self.called.len() + self.needed.len() + self.also.len()
    }

    /// In the form of the specification.
    #[must_use]
    pub fn to_oci(&self, default: DefaultAction) -> LinuxSeccomp {
        let allowed: BTreeSet<&String> = self
            .called
            .iter()
            .chain(&self.needed)
            .chain(&self.also)
            .collect();
        let mut rules = vec![rule(allowed, LinuxSeccompAction::ScmpActAllow, None)];
        for (error, names) in &self.refused {
            rules.push(rule(names, LinuxSeccompAction::ScmpActErrno, Some(*error)));
        }
        let mut profile = LinuxSeccomp::default();
        match default {
            DefaultAction::Errno => {
                profile.set_default_action(LinuxSeccompAction::ScmpActErrno);
                profile.set_default_errno_ret(Some(EPERM));
            }
            DefaultAction::Log => {
                profile.set_default_action(LinuxSeccompAction::ScmpActLog);
            }
        }
        let native = if cfg!(target_arch = "aarch64") {
            Arch::ScmpArchAarch64
        } else {
            Arch::ScmpArchX86_64
        };
        let others = self.abis.iter().map(|by| arch(*by));
        profile.set_architectures(Some(std::iter::once(native).chain(others).collect()));
        profile.set_syscalls(Some(rules));
        profile
    }
}

/// `EPERM` on every machine.
const EPERM: u32 = 1;

/// What the specification calls the numbers that are not the machine's own.
pub(super) const fn arch(by: u32) -> Arch {
    match by {
        abi::COMPAT if cfg!(target_arch = "aarch64") => Arch::ScmpArchArm,
        abi::COMPAT => Arch::ScmpArchX86,
        abi::X32 => Arch::ScmpArchX32,
        _ => Arch::ScmpArchNative,
    }
}

fn rule<'a>(
    names: impl IntoIterator<Item = &'a String>,
    action: LinuxSeccompAction,
    error: Option<u32>,
) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names(names.into_iter().cloned().collect());
    rule.set_action(action);
    rule.set_errno_ret(error);
    rule
}

/// The text of the file: a name a line, so that two profiles can be compared by line.
///
/// # Errors
/// The profile cannot be put into JSON, which no profile is known to do.
pub fn to_json(profile: &LinuxSeccomp) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(profile).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ctprof_ebpf::abi::syscall::abi;

    use super::{DefaultAction, Profile, to_json};
    use crate::seccomp::{CallId, Called};

    fn id(name: &str, abi: u32) -> CallId {
        CallId {
            name: name.to_owned(),
            abi,
        }
    }

    fn sample() -> [Called; 2] {
        let first = Called {
            executed: [
                (id("socket", abi::NATIVE), 3),
                (id("personality", abi::NATIVE), 1),
                (id("syscall_999", abi::NATIVE), 5),
            ]
            .into(),
            refused: [
                (id("clone3", abi::NATIVE), [(38, 2), (1, 1)].into()),
                (id("personality", abi::NATIVE), [(1, 4)].into()),
                (id("syscall_999", abi::NATIVE), [(1, 2)].into()),
                (id("keyctl", abi::NATIVE), [(1, 1)].into()),
                (id("mount", abi::NATIVE), [(1, 1)].into()),
            ]
            .into(),
            is_confined: true,
            before_filter: 0,
        };
        let second = Called {
            executed: [
                (id("accept4", abi::NATIVE), 1),
                (id("open", abi::COMPAT), 1),
            ]
            .into(),
            ..Called::default()
        };
        [first, second]
    }

    #[test]
    fn called_refused_and_unknown_keep_apart() {
        let also = ["keyctl".to_owned(), "socket".to_owned()];
        let profile = Profile::of(&sample(), &also);
        let called: Vec<_> = profile.called.iter().map(String::as_str).collect();
        assert_eq!(called, ["accept4", "open", "personality", "socket"]);
        assert_eq!(profile.refused[&38], ["clone3".to_owned()].into());
        assert_eq!(profile.refused[&1], ["mount".to_owned()].into());
        assert_eq!(profile.also, ["keyctl".to_owned()].into());
        assert_eq!(
            profile.refused_by_arguments,
            ["personality".to_owned()].into()
        );
        assert_eq!(
            profile.unknown,
            BTreeMap::from([("syscall_999".to_owned(), 7)])
        );
        assert_eq!(profile.abis, [abi::COMPAT].into());
        assert!(profile.needed.contains("execve"));
    }

    #[test]
    fn a_needed_call_that_was_refused_stays_refused() {
        let refused = Called {
            refused: [(id("faccessat2", abi::NATIVE), [(38, 1)].into())].into(),
            ..Called::default()
        };
        let profile = Profile::of([&refused], &[]);
        assert!(!profile.needed.contains("faccessat2"));
        assert!(profile.refused[&38].contains("faccessat2"));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_file_is_as_the_specification_wants_it() {
        let profile = Profile::of(&sample(), &[]);
        let text = to_json(&profile.to_oci(DefaultAction::Errno)).unwrap();
        assert_eq!(
            text,
            to_json(&Profile::of(&sample(), &[]).to_oci(DefaultAction::Errno)).unwrap()
        );
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(value["defaultErrnoRet"], 1);
        assert_eq!(
            value["architectures"],
            serde_json::json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        );
        let rules = value["syscalls"].as_array().unwrap();
        assert_eq!(rules.len(), 3);
        assert_eq!(rules[0]["action"], "SCMP_ACT_ALLOW");
        let names: Vec<_> = rules[0]["names"].as_array().unwrap().iter().collect();
        assert!(
            names
                .windows(2)
                .all(|two| two[0].as_str() < two[1].as_str())
        );
        assert_eq!(names.len(), profile.allowed());
        assert_eq!(
            rules[2],
            serde_json::json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38})
        );
        let log = profile.to_oci(DefaultAction::Log);
        let log: serde_json::Value = serde_json::from_str(&to_json(&log).unwrap()).unwrap();
        assert_eq!(log["defaultAction"], "SCMP_ACT_LOG");
        assert!(log.get("defaultErrnoRet").is_none());
    }
}
