//! Facts about the running kernel.

use std::path::{Path, PathBuf};

use super::Host;

/// Where the kernel publishes its type information.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Release of the running kernel, as `uname -r` prints it.
#[must_use]
pub fn release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

/// Version of the running kernel's build, as `uname -v` prints it; it names the preemption model.
#[must_use]
pub fn version() -> String {
    rustix::system::uname()
        .version()
        .to_string_lossy()
        .into_owned()
}

/// Machine name of the running kernel, as `uname -m` prints it.
#[must_use]
pub fn machine() -> String {
    rustix::system::uname()
        .machine()
        .to_string_lossy()
        .into_owned()
}

/// The active lockdown mode: `none`, `integrity` or `confidentiality`; `None` where it cannot be told
/// (securityfs is not mounted, or the kernel has no lockdown).
#[must_use]
pub fn lockdown(host: &Host) -> Option<String> {
    let text = host.read("/sys/kernel/security/lockdown").ok()??;
    let start = text.find('[')? + 1;
    let end = text.find(']')?;
    text.get(start..end).map(str::to_owned)
}

/// The value of an integer sysctl such as `kernel/kptr_restrict`; `None` where there is none.
#[must_use]
pub fn sysctl(host: &Host, name: &str) -> Option<i64> {
    let path: PathBuf = Path::new("/proc/sys").join(name);
    host.read(path).ok()??.trim().parse().ok()
}

/// Whether `/proc/kallsyms` shows addresses to this process. Without the privilege they read as 0.
#[must_use]
pub fn shows_kernel_addresses(host: &Host) -> bool {
    use std::io::{BufRead, BufReader};
    let Ok(file) = std::fs::File::open(host.at("/proc/kallsyms")) else {
        return false;
    };
    let mut lines = BufReader::new(file)
        .lines()
        .take(1000)
        .map_while(Result::ok);
    lines.any(|line| {
        line.split(' ')
            .next()
            .is_some_and(|address| !address.trim_start_matches('0').is_empty())
    })
}
