//! What has to hold before anything can be measured: one list, which every command that measures asks before it loads
//! anything, and which `ctprof check` prints.
//!
//! What a single probe needs is not here: the kernel is asked by loading it.

use crate::host::capabilities::{self, Capabilities};
use crate::host::cgroup::{Hierarchy, Version};
use crate::host::{Host, kernel, namespaces};
use crate::{Error, Result};

/// The first kernel that ctprof is tested on.
const TESTED: (u32, u32) = (6, 1);
/// `sched_switch` says how a thread left the CPU since 5.18, and loops in BPF programs are verified once since 5.17.
const NEEDED: (u32, u32) = (5, 18);
/// Until here an entry in a BPF ring buffer took a sleeping lock on PREEMPT_RT, which a scheduler's hook may not take.
const RT_NEEDED: (u32, u32) = (6, 12);

/// Whether something that ctprof needs is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Met,
    /// Measuring works, with less to show.
    Limited,
    /// Nothing can be measured.
    Unmet,
}

/// One requirement, and what this host says to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Its name in `ctprof check`.
    pub id: &'static str,
    /// Whether it is met.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it, where there is something to be done.
    pub remedy: Option<String>,
}

impl Requirement {
    fn met(id: &'static str, detail: impl Into<String>) -> Self {
        Self {
            id,
            verdict: Verdict::Met,
            detail: detail.into(),
            remedy: None,
        }
    }

    fn limited(id: &'static str, detail: impl Into<String>, remedy: &str) -> Self {
        Self {
            verdict: Verdict::Limited,
            remedy: Some(remedy.to_owned()),
            ..Self::met(id, detail)
        }
    }

    fn unmet(id: &'static str, detail: impl Into<String>, remedy: &str) -> Self {
        Self {
            verdict: Verdict::Unmet,
            remedy: Some(remedy.to_owned()),
            ..Self::met(id, detail)
        }
    }
}

/// Every requirement of this host, in the order in which an unmet one is to be told, and the cgroup hierarchy that was
/// found meanwhile.
pub fn all(host: &Host) -> (Vec<Requirement>, Result<Hierarchy>) {
    let hierarchy = Hierarchy::detect(host);
    let all = vec![
        linux(&kernel::release(), &kernel::version()),
        privilege(host),
        user_namespace(host),
        pid_namespace(host),
        lockdown(host),
        cgroups(&hierarchy),
    ];
    (all, hierarchy)
}

/// The cgroup hierarchy of a host that meets every requirement. `what` is what is to be done, such as "record".
///
/// # Errors
/// [`Error::Unsupported`] with the first requirement that is not met: one line with the cause and the remedy.
pub fn require(host: &Host, what: &str) -> Result<Hierarchy> {
    let (all, hierarchy) = all(host);
    match all.into_iter().find(|it| it.verdict == Verdict::Unmet) {
        None => hierarchy,
        Some(unmet) => Err(Error::Unsupported(format!(
            "cannot {what}: {}; {}",
            unmet.detail,
            unmet.remedy.unwrap_or_default()
        ))),
    }
}

/// `release` as `uname -r` prints it, `version` as `uname -v`.
fn linux(release: &str, version: &str) -> Requirement {
    const ID: &str = "kernel";
    let detail = format!("Linux {release} {}", kernel::machine());
    let Some(number) = number(release) else {
        return Requirement::limited(
            ID,
            format!("{detail}: not a version that can be read"),
            "use Linux 6.1 or later",
        );
    };
    if number < NEEDED {
        return Requirement::unmet(ID, format!("{detail} is too old"), "use Linux 6.1 or later");
    }
    if version.contains("PREEMPT_RT") && number < RT_NEEDED {
        return Requirement::unmet(
            ID,
            format!("{detail} with PREEMPT_RT: its BPF ring buffer may sleep inside the scheduler"),
            "use Linux 6.12 or later with PREEMPT_RT, or 6.1 or later without",
        );
    }
    if number < TESTED {
        return Requirement::limited(
            ID,
            format!("{detail}: ctprof is not tested before 6.1"),
            "use Linux 6.1 or later",
        );
    }
    Requirement::met(ID, detail)
}

/// The first two numbers of a release.
fn number(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn privilege(host: &Host) -> Requirement {
    const ID: &str = "privilege";
    let own = match Capabilities::of_self(host) {
        Ok(own) => own,
        Err(error) => return Requirement::unmet(ID, error.to_string(), "mount /proc"),
    };
    let missing: Vec<_> = own.missing().collect();
    let names = |required_only: bool| {
        let wanted = missing.iter().filter(|it| it.required || !required_only);
        wanted.map(|it| it.name).collect::<Vec<_>>()
    };
    let required = names(true);
    match required.as_slice() {
        [] if missing.is_empty() => {
            let all = capabilities::ALL.iter().map(|it| it.name);
            Requirement::met(ID, all.collect::<Vec<_>>().join(" "))
        }
        [] => {
            let list = missing
                .iter()
                .map(|it| format!("{} ({})", it.name, it.reason));
            let list = list.collect::<Vec<_>>().join(", ");
            Requirement::limited(
                ID,
                format!("missing {list}"),
                "run with sudo for complete names",
            )
        }
        [one] => Requirement::unmet(
            ID,
            format!("missing {one}"),
            "run with sudo, or grant it to ctprof",
        ),
        several => Requirement::unmet(
            ID,
            format!("missing {}", several.join(" and ")),
            "run with sudo, or grant them to ctprof",
        ),
    }
}

/// Root of a user namespace has every capability there, and none that the kernel asks for here.
fn user_namespace(host: &Host) -> Requirement {
    const ID: &str = "user_namespace";
    match namespaces::is_initial_user(host) {
        Some(true) => Requirement::met(ID, "the host's"),
        Some(false) => Requirement::unmet(
            ID,
            "inside a user namespace, whose root may not load BPF programs",
            "run ctprof as root of the host (not rootless, docker run --userns=host)",
        ),
        None => Requirement::unmet(ID, "/proc/self/ns/user cannot be read", "mount /proc"),
    }
}

/// Pids and the kernel's list of threads are those of our namespace: in any but the first, most threads of a ledger would
/// be missing from its beginning and its end.
fn pid_namespace(host: &Host) -> Requirement {
    const ID: &str = "pid_namespace";
    match namespaces::is_initial_pid(host) {
        Some(true) => Requirement::met(ID, "the host's"),
        Some(false) => Requirement::unmet(
            ID,
            "inside a PID namespace, out of which the kernel does not show the host's threads",
            "run ctprof in the host's (docker run --pid=host, hostPID: true in a pod)",
        ),
        None => Requirement::unmet(
            ID,
            "/proc/self/ns/pid cannot be read",
            "mount the /proc of ctprof's own PID namespace",
        ),
    }
}

fn lockdown(host: &Host) -> Requirement {
    const ID: &str = "lockdown";
    match kernel::lockdown(host).as_deref() {
        Some("confidentiality") => Requirement::unmet(
            ID,
            "lockdown=confidentiality: BPF may not read kernel memory",
            "boot with lockdown=integrity",
        ),
        Some(mode) => Requirement::met(ID, mode),
        None => Requirement::met(ID, "not reported by this kernel"),
    }
}

/// What is missing inside a cgroup namespace, and what to do about it.
pub const CGROUP_NAMESPACE: [&str; 2] = [
    "seen from inside a cgroup namespace: what runs outside it counts as host",
    "run ctprof in the host's cgroup namespace (docker run --cgroupns=host)",
];

fn cgroups(hierarchy: &Result<Hierarchy>) -> Requirement {
    const ID: &str = "cgroups";
    let hierarchy = match hierarchy {
        Ok(hierarchy) => hierarchy,
        Err(error) => {
            let text = error.to_string();
            let (detail, remedy) = text.split_once("; ").unwrap_or((
                &text,
                "mount the host's /sys/fs/cgroup (docker run -v /sys/fs/cgroup:/sys/fs/cgroup:ro)",
            ));
            return Requirement::unmet(ID, detail, remedy);
        }
    };
    let version = match hierarchy.version() {
        Version::V1 => "v1 (the cpu controller's hierarchy)",
        Version::V2 => "v2",
    };
    let place = hierarchy.mount_point().display();
    if hierarchy.is_namespaced() {
        let [detail, remedy] = CGROUP_NAMESPACE;
        return Requirement::limited(ID, format!("{version} at {place}, {detail}"), remedy);
    }
    Requirement::met(ID, format!("{version} at {place}"))
}

#[cfg(test)]
mod tests {
    use super::{Verdict, linux};

    #[test]
    fn what_a_kernel_s_version_means() {
        let smp = "#1 SMP PREEMPT_DYNAMIC Debian";
        let rt = "#1 SMP PREEMPT_RT Debian 6.1.94-1";
        for (release, version, verdict) in [
            ("4.18.0-553.el8.x86_64", smp, Verdict::Unmet),
            ("5.15.0-105-generic", smp, Verdict::Unmet),
            ("5.19.17", smp, Verdict::Limited),
            ("6.1.0-44-cloud-amd64", smp, Verdict::Met),
            ("6.1.0-44-rt-amd64", rt, Verdict::Unmet),
            ("6.11.2-rt", rt, Verdict::Unmet),
            ("6.12.0-rt", rt, Verdict::Met),
            ("6.18.44", smp, Verdict::Met),
            ("10.0-rc1+", smp, Verdict::Met),
            ("unknown", smp, Verdict::Limited),
        ] {
            assert_eq!(linux(release, version).verdict, verdict, "{release}");
        }
    }
}
