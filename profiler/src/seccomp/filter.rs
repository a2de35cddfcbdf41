//! What a profile does to a call, as libseccomp makes a filter of it. Arguments are not known here: a rule that looks
//! at them may apply or not.

use std::collections::{BTreeSet, HashMap};

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction as Action};

use ctprof_ebpf::abi::syscall::abi;
use ctprof_ebpf::views::syscalls::abi::{CallKey, JUDGED};

use super::called::CallId;
use super::write::arch;
use crate::host::syscalls::CallNames;

/// A profile, by the names in it.
#[derive(Clone, Debug)]
pub struct Filter {
    default: Outcome,
    rules: HashMap<String, Vec<Rule>>,
    /// Numbers other than the machine's own that it is for.
    abis: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    outcome: Outcome,
    has_arguments: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Allowed,
    /// Someone else decides.
    Asked,
    Denied(How),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It fails with this error.
    Fails(u32),
    /// A signal.
    Traps,
    /// The end of the thread or the process.
    Kills,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out.
    Allowed,
    /// Its arguments, or whoever listens, decide.
    Maybe,
    /// It is not.
    Denied(Denial),
}

/// How a call is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The error that it fails with; `None` if its thread gets a signal instead.
    pub error: Option<u32>,
    /// It kills; with an error or a signal that can be caught, it does not.
    pub kills: bool,
    /// A rule names it. Otherwise it is the default action, or numbers that the profile is not for.
    pub by_rule: bool,
}

const EPERM: u32 = 1;

impl Filter {
    /// What the profile says.
    #[must_use]
    pub fn of(profile: &LinuxSeccomp) -> Self {
        let default_error = profile.default_errno_ret().unwrap_or(EPERM);
        let mut rules: HashMap<String, Vec<Rule>> = HashMap::new();
        for rule in profile.syscalls().iter().flatten() {
            let outcome = outcome(rule.action(), rule.errno_ret().unwrap_or(EPERM));
            let has_arguments = rule.args().as_ref().is_some_and(|args| !args.is_empty());
            for name in rule.names() {
                rules.entry(name.clone()).or_default().push(Rule {
                    outcome,
                    has_arguments,
                });
            }
        }
        let named = profile.architectures().as_deref().unwrap_or_default();
        let abis = [abi::COMPAT, abi::X32].into_iter();
        Self {
            default: outcome(profile.default_action(), default_error),
            rules,
            abis: abis.filter(|by| named.contains(&arch(*by))).collect(),
        }
    }

    /// What it does to a call.
    #[must_use]
    pub fn verdict(&self, call: &CallId) -> Verdict {
        if call.abi != abi::NATIVE && !self.abis.contains(&call.abi) {
            // libseccomp's answer to an architecture that it was not told of.
            return denied(How::Kills, false);
        }
        let Some(rules) = self.rules.get(&call.name) else {
            // One number for many calls on i386: libseccomp allows those parts of it that are named.
            let is_many = call.abi == abi::COMPAT && matches!(&*call.name, "socketcall" | "ipc");
            return match self.default {
                Outcome::Denied(_) if is_many => Verdict::Maybe,
                default => verdict(default, false),
            };
        };
        let always = rules.iter().any(|rule| !rule.has_arguments);
        let otherwise = (!always).then_some(self.default);
        let mut outcomes = rules.iter().map(|rule| rule.outcome).chain(otherwise);
        let first = outcomes.next().unwrap_or(self.default);
        let agree = |other: Outcome| {
            matches!(
                (first, other),
                (Outcome::Allowed, Outcome::Allowed) | (Outcome::Denied(_), Outcome::Denied(_))
            )
        };
        if outcomes.all(agree) {
            verdict(first, true)
        } else {
            Verdict::Maybe
        }
    }

    /// The calls that it denies whatever their arguments, by all numbers that can be judged; with slot 0.
    pub fn denied(&self, names: CallNames) -> impl Iterator<Item = CallKey> {
        let all = [abi::NATIVE, abi::COMPAT, abi::X32]
            .into_iter()
            .flat_map(|by| (0..JUDGED).map(move |number| (number, by)));
        all.filter(move |(number, by)| {
            let call = CallId {
                name: (names.call)(*number, *by),
                abi: *by,
            };
            matches!(self.verdict(&call), Verdict::Denied(_))
        })
        .map(|(number, by)| CallKey::of(0, number, by, false))
    }

    /// Names that it allows, whatever their arguments; sorted.
    #[must_use]
    pub fn allowed(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .rules
            .iter()
            .filter(|(_, rules)| {
                let mut outcomes = rules.iter().map(|rule| rule.outcome);
                outcomes.any(|outcome| outcome == Outcome::Allowed)
            })
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        names
    }
}

const fn outcome(action: Action, error: u32) -> Outcome {
    match action {
        Action::ScmpActAllow | Action::ScmpActLog => Outcome::Allowed,
        Action::ScmpActNotify | Action::ScmpActTrace => Outcome::Asked,
        Action::ScmpActErrno => Outcome::Denied(How::Fails(error)),
        Action::ScmpActTrap => Outcome::Denied(How::Traps),
        Action::ScmpActKill | Action::ScmpActKillThread | Action::ScmpActKillProcess => {
            Outcome::Denied(How::Kills)
        }
    }
}

const fn verdict(outcome: Outcome, by_rule: bool) -> Verdict {
    match outcome {
        Outcome::Allowed => Verdict::Allowed,
        Outcome::Asked => Verdict::Maybe,
        Outcome::Denied(how) => denied(how, by_rule),
    }
}

const fn denied(how: How, by_rule: bool) -> Verdict {
    Verdict::Denied(Denial {
        error: match how {
            How::Fails(error) => Some(error),
            How::Traps | How::Kills => None,
        },
        kills: matches!(how, How::Kills),
        by_rule,
    })
}

#[cfg(test)]
mod tests {
    use ctprof_ebpf::abi::syscall::abi;

    use super::{Denial, Filter, Verdict};
    use crate::seccomp::{CallId, read};

    fn filter(rules: &str) -> Filter {
        let text = format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
            "syscalls": [{rules}]}}"#
        );
        Filter::of(&read(&text).unwrap())
    }

    fn of(filter: &Filter, name: &str, abi: u32) -> Verdict {
        filter.verdict(&CallId {
            name: name.to_owned(),
            abi,
        })
    }

    fn fails(error: u32, by_rule: bool) -> Verdict {
        Verdict::Denied(Denial {
            error: Some(error),
            kills: false,
            by_rule,
        })
    }

    const ARGS: &str = r#""args": [{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}]"#;

    #[test]
    fn rules_and_the_default() {
        let filter = filter(
            r#"{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
            {"names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["keyctl"], "action": "SCMP_ACT_LOG"},
            {"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}"#,
        );
        let native = |name| of(&filter, name, abi::NATIVE);
        assert_eq!(native("read"), Verdict::Allowed);
        assert_eq!(native("keyctl"), Verdict::Allowed);
        assert_eq!(native("mount"), Verdict::Maybe);
        assert_eq!(native("bpf"), fails(13, true));
        assert_eq!(native("setns"), fails(38, false));
        assert_eq!(native("syscall_999"), fails(38, false));
        let Verdict::Denied(denial) = native("ptrace") else {
            panic!()
        };
        assert!(denial.kills && denial.by_rule && denial.error.is_none());
        assert_eq!(filter.allowed(), ["keyctl", "read", "write"]);
    }

    #[test]
    fn rules_with_arguments_may_apply() {
        let text = format!(
            r#"{{"names": ["socket", "clone"], "action": "SCMP_ACT_ALLOW", {ARGS}}},
            {{"names": ["clone"], "action": "SCMP_ACT_ALLOW"}},
            {{"names": ["bpf"], "action": "SCMP_ACT_ERRNO", {ARGS}}}"#
        );
        let filter = filter(&text);
        assert_eq!(of(&filter, "socket", abi::NATIVE), Verdict::Maybe);
        assert_eq!(of(&filter, "clone", abi::NATIVE), Verdict::Allowed);
        assert!(matches!(
            of(&filter, "bpf", abi::NATIVE),
            Verdict::Denied(_)
        ));
    }

    #[test]
    fn numbers_of_others_have_to_be_named() {
        let filter = filter(r#"{"names": ["read"], "action": "SCMP_ACT_ALLOW"}"#);
        assert_eq!(of(&filter, "read", abi::COMPAT), Verdict::Allowed);
        assert_eq!(of(&filter, "socketcall", abi::COMPAT), Verdict::Maybe);
        let Verdict::Denied(denial) = of(&filter, "read", abi::X32) else {
            panic!()
        };
        assert!(denial.kills);
    }
}
