//! Process 1 of the virtual machine: mounts what Linux needs, runs the trials, says how they ended, turns the
//! machine off. Everything goes to the serial console.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::mount::{MountFlags, mount};
use rustix::process::{WaitOptions, wait};

/// What is mounted where, in this order.
const MOUNTS: [(&str, &str); 8] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("tracefs", "/sys/kernel/tracing"),
    ("bpf", "/sys/fs/bpf"),
];

/// Last line before the machine is turned off; the exit code of the trials follows it.
const VERDICT: &str = "ctprof-vm: trials ended with";

pub(crate) fn main() -> ExitCode {
    match prepare().and_then(|()| trials()) {
        Ok(code) => println!("\n{VERDICT} {code}"),
        Err(error) => println!("\nctprof-vm: {error}"),
    }
    // QEMU is told to end instead of restarting.
    let error = rustix::system::reboot(rustix::system::RebootCommand::Restart);
    println!("ctprof-vm: cannot restart: {error:?}");
    ExitCode::FAILURE
}

fn prepare() -> Result<(), String> {
    for (kind, point) in MOUNTS {
        fs::create_dir_all(point).map_err(|error| format!("cannot create {point}: {error}"))?;
        mount(kind, point, kind, MountFlags::empty(), None)
            .map_err(|error| format!("cannot mount {kind} on {point}: {error}"))?;
    }
    loopback_up().map_err(|error| format!("cannot bring the loopback device up: {error}"))?;
    let cgroups = Path::new("/sys/fs/cgroup");
    let controllers = fs::read_to_string(cgroups.join("cgroup.controllers"))
        .map_err(|error| format!("cannot read cgroup.controllers: {error}"))?;
    // Only what a container has to have here: each cgroup with a cpuset makes the kernel patch itself, which an
    // emulator of several CPUs does not always survive.
    let wanted = |name: &&str| ["cpu", "memory", "pids"].contains(name);
    for name in controllers.split_whitespace().filter(wanted) {
        // A controller that cannot be enabled is missed by the trial that needs it.
        let _ = fs::write(cgroups.join("cgroup.subtree_control"), format!("+{name}"));
    }
    Ok(())
}

/// The agent is asked over TCP.
fn loopback_up() -> std::io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: libc::IFF_UP as libc::c_short,
        },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    // SAFETY: the request is a valid `ifreq`, which the call only reads.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if done == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// Runs the trials in a child, because process 1 also has to reap orphans.
fn trials() -> Result<i32, String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("ctprof-vm: Linux {}", release.trim());
    // The kernel passes what it does not know itself: `--` and our arguments.
    let child = Command::new("/init")
        .arg("--color=never")
        .args(std::env::args().skip(1))
        .env("CTPROF_BIN", "/bin/ctprof")
        .env("PATH", "/bin")
        .spawn()
        .map_err(|error| format!("cannot start the trials: {error}"))?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get().cast_unsigned() == child.id() => {
                return Ok(status.exit_status().unwrap_or(-1));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("cannot wait: {error}")),
        }
    }
}
