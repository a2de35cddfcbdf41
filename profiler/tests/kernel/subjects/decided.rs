//! Asleep until another process decides: a debugger, a supervisor of calls, a server of a file system.

use libtest_mimic::Trial;

use super::blocked::reasons;
use crate::harness::Result;
use crate::harness::needs::{missing_privilege, privileged, skipping};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        privileged("decided::by_a_debugger", debugger),
        skipping("decided::by_a_supervisor", supervisor, no_supervisor),
        skipping("decided::by_a_file_server", file_server, no_fuse),
    ]
}

/// Who is stopped is in no call, also where it was stopped at the beginning or the end of one.
fn debugger() -> Result {
    reasons(
        &[("tracee", "blocked_other"), ("tracer", "blocked_child")],
        "",
    )
}

/// Calls that were not made yet have no reasons.
fn supervisor() -> Result {
    reasons(
        &[
            ("supervised", "blocked_other"),
            ("fanotify", "blocked_other"),
        ],
        "",
    )
}

fn no_supervisor() -> Option<String> {
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    let has_one = actions.is_ok_and(|text| text.contains("user_notif"));
    missing_privilege().or_else(|| (!has_one).then(|| "needs SECCOMP_RET_USER_NOTIF".to_owned()))
}

/// Whatever the server is asked for. What it is sent when a file is closed, it is sent within `close`, when the file's
/// number is free again.
fn file_server() -> Result {
    reasons(
        &[
            ("fuse-open", "blocked_disk"),
            ("fuse-stat", "blocked_disk"),
            ("fuse-read", "blocked_disk"),
            ("fuse-close", "blocked_disk"),
        ],
        "",
    )
}

fn no_fuse() -> Option<String> {
    let device = std::fs::File::open("/dev/fuse");
    missing_privilege().or_else(|| {
        let error = device.err()?;
        Some(format!("needs FUSE: /dev/fuse: {error}"))
    })
}
