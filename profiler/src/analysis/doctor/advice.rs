//! How the advice is followed: the command, flag or line of YAML for whatever runs the container.

use super::patient::Patient;
use crate::model::Runtime;

/// So many CPUs as people and tools write them: `1.5`, `0.25`.
pub(super) fn cores(cores: f64) -> String {
    let text = format!("{cores:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A quota of so many CPUs.
pub(super) fn cpu_limit(patient: &Patient<'_>, wanted: f64) -> String {
    let quota = patient.limits().and_then(|it| it.cpu.quota.as_ref());
    if let Some(quota) = quota.filter(|quota| !quota.is_own) {
        return format!(
            "raise the quota of the cgroup above, {}, from {} to {} CPUs",
            quota.cgroup,
            cores(quota.cores()),
            cores(wanted)
        );
    }
    match in_pod(patient) {
        Some(whose) => format!("resources.limits.cpu: {:.0}m, for {whose}", wanted * 1000.0),
        None => match tool(patient) {
            Some(tool) => format!("{tool} update --cpus {} {}", cores(wanted), patient.name()),
            None if is_unit(patient) => format!(
                "systemctl set-property {} CPUQuota={:.0}%",
                patient.name(),
                wanted * 100.0
            ),
            None => format!(
                "raise the CPU quota of the cgroup {} to {} CPUs",
                patient.summary.cgroup,
                cores(wanted)
            ),
        },
    }
}

/// A larger weight.
pub(super) fn weight(patient: &Patient<'_>, times: f64) -> String {
    const USUAL: f64 = 1024.0;
    match in_pod(patient) {
        Some(whose) => format!(
            "resources.requests.cpu: {:.0}m, for {whose}: requests are weights",
            (patient.used_cores() * times).max(0.1) * 1000.0
        ),
        None => match tool(patient) {
            Some(tool) => format!(
                "{tool} update --cpu-shares {:.0} {}",
                USUAL * times.max(1.0),
                patient.name()
            ),
            None if is_unit(patient) => format!(
                "systemctl set-property {} CPUWeight={:.0}",
                patient.name(),
                (100.0 * times).clamp(100.0, 10_000.0)
            ),
            None => format!(
                "raise cpu.shares or cpu.weight of {}",
                patient.summary.cgroup
            ),
        },
    }
}

/// A memory limit of so many bytes.
pub(super) fn memory_limit(patient: &Patient<'_>, bytes: u64) -> String {
    let mebibytes = bytes.div_ceil(1 << 20);
    match in_pod(patient) {
        Some(whose) => format!("resources.limits.memory: {mebibytes}Mi, for {whose}"),
        None => match tool(patient) {
            Some(tool) => format!(
                "{tool} update --memory {mebibytes}m --memory-swap {mebibytes}m {}",
                patient.name()
            ),
            None if is_unit(patient) => format!(
                "systemctl set-property {} MemoryMax={mebibytes}M",
                patient.name()
            ),
            None => format!(
                "raise the memory limit of {} to {mebibytes} MiB",
                patient.summary.cgroup
            ),
        },
    }
}

/// CPUs of its own.
pub(super) fn cpuset(patient: &Patient<'_>) -> String {
    match (in_pod(patient), tool(patient)) {
        (Some(whose), _) => {
            format!(
                "give {whose} CPUs of its own (cpuManagerPolicy: static, whole CPUs as request and limit)"
            )
        }
        (None, Some(tool)) => {
            format!(
                "{tool} update --cpuset-cpus LIST {}, with CPUs that others do not use",
                patient.name()
            )
        }
        (None, None) => format!("give {} a cpuset of its own", patient.summary.cgroup),
    }
}

/// A variable in its environment.
pub(super) fn variable(patient: &Patient<'_>, name: &str, value: &str) -> String {
    match (in_pod(patient), tool(patient)) {
        (Some(whose), _) => format!("env: [{{name: {name}, value: \"{value}\"}}], for {whose}"),
        (None, Some(tool)) => format!("{name}={value} ({tool} run -e {name}={value} …)"),
        (None, None) => format!("{name}={value} in its environment"),
    }
}

fn in_pod(patient: &Patient<'_>) -> Option<String> {
    let pod = patient.summary.pod.as_ref()?;
    Some(format!(
        "container {} of pod {}/{}",
        patient.name(),
        pod.namespace,
        pod.name
    ))
}

/// The command that changes a container while it runs.
fn tool(patient: &Patient<'_>) -> Option<&'static str> {
    match patient.summary.runtime {
        Runtime::Docker => Some("docker"),
        Runtime::Podman => Some("podman"),
        _ => None,
    }
}

fn is_unit(patient: &Patient<'_>) -> bool {
    matches!(patient.summary.runtime, Runtime::Systemd)
}
