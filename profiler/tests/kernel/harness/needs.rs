//! What a trial needs from the machine, and how it is skipped where that is not there.

use libtest_mimic::{Completion, Trial};

use super::{Result, cgroup};

/// A trial that needs root, BPF and a cgroup hierarchy with the cpu controller.
pub(crate) fn privileged(name: &str, test: fn() -> Result) -> Trial {
    skipping(name, test, missing_privilege)
}

/// A trial that is ignored, with the reason, where `missing` names one.
pub(crate) fn skipping(name: &str, test: fn() -> Result, missing: fn() -> Option<String>) -> Trial {
    Trial::ignorable_test(name, move || {
        if let Some(reason) = missing() {
            return Ok(Completion::ignored_with(reason));
        }
        test().map(|()| Completion::Completed)
    })
}

/// A trial that runs anywhere.
pub(crate) fn anywhere(name: &str, test: fn() -> Result) -> Trial {
    Trial::test(name, test)
}

/// That this program is not installed.
pub(crate) fn missing_program(name: &str) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    (!is_there).then(|| format!("needs {name}"))
}

/// Why recording cannot work here.
pub(crate) fn missing_privilege() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    if let Some(Err(error)) = aya::programs::loaded_programs().next() {
        return Some(format!("needs BPF: {error}"));
    }
    if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("needs the kernel's BTF".to_owned());
    }
    cgroup::Hierarchy::find().err().map(|error| {
        let reason = error.message().unwrap_or("no reason given");
        format!("needs cgroups: {reason}")
    })
}
