//! Seccomp profiles as OCI runtimes read them: written from what was called, read to judge what is.

use std::collections::{BTreeMap, BTreeSet};

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompBuilder, LinuxSyscall, LinuxSyscallBuilder,
};

/// What a profile does with calls that it does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// They fail with EPERM.
    Errno,
    /// They are executed, and the kernel logs them.
    Log,
}

/// What a runtime calls in a container after it has loaded the filter and before the container's own program runs.
/// runc loads it last when `no_new_privileges` is set, and otherwise before it gives up its privileges: the list is
/// for the second, longer way, with what Go's runtime does meanwhile.
#[rustfmt::skip]
const RUNTIME: &[&str] = &[
    "access", "arch_prctl", "brk", "capget", "capset", "chdir", "clock_gettime", "clone", "close", "close_range",
    "dup", "dup2", "dup3", "epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "execve", "exit", "exit_group",
    "faccessat", "faccessat2", "fchdir", "fchown", "fcntl", "fstat", "fstatfs", "futex", "getcwd", "getdents64",
    "getegid", "geteuid", "getgid", "getpid", "getppid", "getrandom", "gettid", "getuid", "ioctl", "kill", "lseek",
    "lstat", "madvise", "mmap", "mprotect", "munmap", "nanosleep", "newfstatat", "openat", "openat2", "pipe2",
    "prctl", "pread64", "prlimit64", "read", "readlink", "readlinkat", "rseq", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "sched_getaffinity", "sched_yield", "set_robust_list", "set_tid_address", "setgid", "setgroups",
    "setresgid", "setresuid", "setsid", "setuid", "sigaltstack", "stat", "statfs", "statx", "tgkill", "tkill",
    "umask", "uname", "write",
];

/// What a runtime calls to build a container, before it loads the filter, and hardly anybody else.
#[rustfmt::skip]
const SETUP: &[&str] = &[
    "fsconfig", "fsmount", "fsopen", "fspick", "keyctl", "mknod", "mknodat", "mount", "mount_setattr", "move_mount", "open_tree",
    "pivot_root", "seccomp", "setdomainname", "sethostname", "setns", "umount2", "unshare",
];

/// The errors that a profile gives: `EPERM`, and `ENOSYS` where programs know another way.
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Whether a call was made under a filter, and without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// Under a filter.
    pub with: bool,
    /// Without one.
    pub without: bool,
}

/// Whether a call was made by a runtime before its filter was on, which the filter does not see. `starts` says how
/// programs were started (`execve`). Where all were started under a filter, that is every call that was made without
/// one; where some were, it is what hardly anybody but a runtime calls.
#[must_use]
pub fn is_before_filter(name: &str, called: Filtered, starts: Filtered) -> bool {
    !called.with && starts.with && (!starts.without || SETUP.contains(&name))
}

/// What was called, by name, and the names of the other numbers that calls were made by (`i386`, `arm`, `x32`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Called {
    /// Names of calls.
    pub names: BTreeSet<String>,
    /// Names of numbers.
    pub abis: BTreeSet<String>,
}

/// A profile that allows what was called, and what a runtime needs to start it; with any arguments.
///
/// # Errors
/// The profile cannot be put together: a message.
pub fn profile(called: &Called, default: DefaultAction) -> Result<LinuxSeccomp, String> {
    let runtime: Vec<String> = RUNTIME
        .iter()
        .map(|name| (*name).to_owned())
        .filter(|name| !called.names.contains(name))
        .collect();
    let own: Vec<String> = called.names.iter().cloned().collect();
    let mut syscalls = vec![
        rule(own, LinuxSeccompAction::ScmpActAllow, None)?,
        rule(runtime, LinuxSeccompAction::ScmpActAllow, None)?,
    ];
    syscalls.retain(|rule| !rule.names().is_empty());
    if default == DefaultAction::Errno && !called.names.contains("clone3") {
        // The C library tries it first, and falls back to clone on this error alone.
        let names = vec!["clone3".to_owned()];
        syscalls.push(rule(names, LinuxSeccompAction::ScmpActErrno, Some(ENOSYS))?);
    }
    let profile = LinuxSeccompBuilder::default()
        .architectures(architectures(called))
        .syscalls(syscalls);
    let profile = match default {
        DefaultAction::Errno => profile
            .default_action(LinuxSeccompAction::ScmpActErrno)
            .default_errno_ret(EPERM),
        DefaultAction::Log => profile.default_action(LinuxSeccompAction::ScmpActLog),
    };
    profile.build().map_err(|error| error.to_string())
}

fn rule(
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno: Option<u32>,
) -> Result<LinuxSyscall, String> {
    let rule = LinuxSyscallBuilder::default().names(names).action(action);
    let rule = match errno {
        Some(errno) => rule.errno_ret(errno),
        None => rule,
    };
    rule.build().map_err(|error| error.to_string())
}

fn architectures(called: &Called) -> Vec<Arch> {
    let (native, others) = if cfg!(target_arch = "aarch64") {
        (
            Arch::ScmpArchAarch64,
            [("arm", Arch::ScmpArchArm); 1].to_vec(),
        )
    } else {
        (
            Arch::ScmpArchX86_64,
            vec![("i386", Arch::ScmpArchX86), ("x32", Arch::ScmpArchX32)],
        )
    };
    let others = others
        .into_iter()
        .filter(|(name, _)| called.abis.contains(*name))
        .map(|(_, arch)| arch);
    std::iter::once(native).chain(others).collect()
}

/// What a profile says about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is executed.
    Allowed,
    /// It is executed with some arguments, or if somebody else says so.
    Depends,
    /// It is not executed.
    Denied,
}

/// A profile, ready to judge calls.
#[derive(Clone, Debug)]
pub struct Judge {
    named: BTreeMap<String, Verdict>,
    otherwise: Verdict,
}

impl Judge {
    /// Reads the text of a profile.
    ///
    /// # Errors
    /// It is not JSON, or not a profile: what is wrong, with line and column.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let profile: LinuxSeccomp = serde_json::from_str(text)?;
        let mut named: BTreeMap<String, Verdict> = BTreeMap::new();
        for rule in profile.syscalls().iter().flatten() {
            let has_arguments = rule.args().as_ref().is_some_and(|args| !args.is_empty());
            let verdict = match verdict(rule.action()) {
                Verdict::Allowed if has_arguments => Verdict::Depends,
                // Others with these arguments are judged by the rest.
                Verdict::Denied if has_arguments => Verdict::Depends,
                verdict => verdict,
            };
            for name in rule.names() {
                let known = named.entry(name.clone()).or_insert(verdict);
                *known = match (*known, verdict) {
                    (Verdict::Allowed, _) | (_, Verdict::Allowed) => Verdict::Allowed,
                    (Verdict::Depends, _) | (_, Verdict::Depends) => Verdict::Depends,
                    (Verdict::Denied, Verdict::Denied) => Verdict::Denied,
                };
            }
        }
        Ok(Self {
            named,
            otherwise: verdict(profile.default_action()),
        })
    }

    /// What it says about a call.
    #[must_use]
    pub fn verdict(&self, name: &str) -> Verdict {
        self.named.get(name).copied().unwrap_or(self.otherwise)
    }

    /// The calls that it names and does not deny.
    pub fn allowed(&self) -> impl Iterator<Item = &str> {
        self.named
            .iter()
            .filter(|(_, verdict)| **verdict != Verdict::Denied)
            .map(|(name, _)| name.as_str())
    }
}

const fn verdict(action: LinuxSeccompAction) -> Verdict {
    match action {
        LinuxSeccompAction::ScmpActAllow | LinuxSeccompAction::ScmpActLog => Verdict::Allowed,
        LinuxSeccompAction::ScmpActNotify | LinuxSeccompAction::ScmpActTrace => Verdict::Depends,
        LinuxSeccompAction::ScmpActKill
        | LinuxSeccompAction::ScmpActKillThread
        | LinuxSeccompAction::ScmpActKillProcess
        | LinuxSeccompAction::ScmpActTrap
        | LinuxSeccompAction::ScmpActErrno => Verdict::Denied,
    }
}

#[cfg(test)]
mod tests {
    use super::{Called, DefaultAction, Judge, Verdict, profile};

    fn called(names: &[&str], abis: &[&str]) -> Called {
        Called {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            abis: abis.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn a_profile_allows_what_was_called_and_what_a_runtime_needs() {
        let profile = profile(&called(&["accept4", "read"], &[]), DefaultAction::Errno).unwrap();
        let json = serde_json::to_string(&profile).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(value["defaultErrnoRet"], 1);
        assert_eq!(value["syscalls"][0]["names"][0], "accept4");
        if cfg!(target_arch = "x86_64") {
            assert_eq!(
                value["architectures"],
                serde_json::json!(["SCMP_ARCH_X86_64"])
            );
        }
        let judge = Judge::parse(&json).unwrap();
        for name in ["accept4", "read", "execve", "capset"] {
            assert_eq!(judge.verdict(name), Verdict::Allowed, "{name}");
        }
        for name in ["mount", "clone3", "ptrace", "syscall_999"] {
            assert_eq!(judge.verdict(name), Verdict::Denied, "{name}");
        }
        // Each call is in one rule.
        let text = json.matches("\"read\"").count();
        assert_eq!(text, 1);
    }

    #[test]
    fn other_numbers_and_a_default_that_logs() {
        let profile = profile(&called(&["clone3"], &["i386"]), DefaultAction::Log).unwrap();
        let value = serde_json::to_value(&profile).unwrap();
        assert_eq!(value["defaultAction"], "SCMP_ACT_LOG");
        assert_eq!(value.get("defaultErrnoRet"), None);
        if cfg!(target_arch = "x86_64") {
            assert_eq!(value["architectures"][1], "SCMP_ARCH_X86");
        }
        let judge = Judge::parse(&value.to_string()).unwrap();
        assert_eq!(judge.verdict("clone3"), Verdict::Allowed);
        assert_eq!(judge.verdict("anything"), Verdict::Allowed);
    }

    #[test]
    fn arguments_and_several_rules() {
        let judge = Judge::parse(
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [], "syscalls": [
                {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]},
                {"names": ["socket", "bind"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]},
                {"names": ["bind"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS"},
                {"names": ["bpf"], "action": "SCMP_ACT_NOTIFY"}]}"#,
        )
        .unwrap();
        for (name, verdict) in [
            ("personality", Verdict::Depends),
            ("socket", Verdict::Depends),
            ("bind", Verdict::Allowed),
            ("ptrace", Verdict::Denied),
            ("bpf", Verdict::Depends),
            ("reboot", Verdict::Denied),
        ] {
            assert_eq!(judge.verdict(name), verdict, "{name}");
        }
        assert_eq!(
            judge.allowed().collect::<Vec<_>>(),
            ["bind", "bpf", "personality", "socket"]
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, message) in [
            ("{\n \"defaultAction\" 1}", "line 2 column 18"),
            ("{}", "missing field `defaultAction` at line 1 column 2"),
            ("[]", "line 1 column"),
            (
                "{\"defaultAction\": \"SCMP_ACT_WHATEVER\"}",
                "line 1 column 37",
            ),
            ("", "line 1 column 0"),
        ] {
            let error = Judge::parse(text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
