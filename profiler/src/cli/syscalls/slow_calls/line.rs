//! A slow call, for people and as JSON.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ctprof_ebpf::views::syscalls::abi::SlowCall;
use serde::Serialize;

use super::{Answer, Question, lane};
use crate::host::syscalls::CALL_NAMES;
use crate::host::{clock, syscall_arguments};
use crate::model::ProcessKey;
use crate::model::text::printable;
use crate::model::units::duration;

/// A call, and whose container made it.
pub(in crate::cli) struct MadeCall {
    call: SlowCall,
    container: String,
    cgroup: String,
}

/// A slow call as `--format json` has it.
#[derive(Serialize)]
pub(in crate::cli) struct Line<'a> {
    slow_call: Seen<'a>,
}

#[derive(Serialize)]
struct Seen<'a> {
    time_unix_ns: u64,
    container: &'a str,
    cgroup: &'a str,
    pid: u32,
    tid: u32,
    comm: String,
    name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    abi: &'static str,
    /// Absent where the call has overwritten them.
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Vec<u64>>,
    /// What the file descriptor among them is.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    duration_ns: u64,
    off_cpu_ns: u64,
    result: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Functions, innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stack: Vec<String>,
}

impl MadeCall {
    pub(in crate::cli) fn new(call: &SlowCall, container: &str, cgroup: &str) -> Self {
        Self {
            call: *call,
            container: container.to_owned(),
            cgroup: cgroup.to_owned(),
        }
    }

    fn name(&self) -> String {
        (CALL_NAMES.call)(self.call.key.number(), self.call.key.abi())
    }

    /// Where the call succeeds, the registers are those of other code.
    fn overwrites(&self) -> bool {
        let name = self.name();
        name.ends_with("sigreturn") || name.starts_with("execve") && self.call.result == 0
    }

    /// What its descriptor is, if it has one, and the functions of this stack.
    pub(in crate::cli) fn question(&self, stack: Arc<[u64]>) -> Question {
        let place = syscall_arguments::of(&self.name()).1;
        let place = place.filter(|_| !self.overwrites());
        let descriptor = place
            .and_then(|place| i32::try_from(self.call.arguments[place].cast_signed()).ok())
            .filter(|number| *number >= 0);
        Question {
            descriptor,
            ..stack_of(&self.call, &self.cgroup, stack)
        }
    }

    /// As it is shown.
    pub(in crate::cli) fn line(&self, answer: Answer) -> Line<'_> {
        let call = &self.call;
        let (name, overwrites) = (self.name(), self.overwrites());
        let count = syscall_arguments::of(&name).0;
        Line {
            slow_call: Seen {
                time_unix_ns: unix_ns(call.at_ns),
                container: &self.container,
                cgroup: &self.cgroup,
                pid: call.tgid,
                tid: call.tid,
                comm: comm(call),
                abi: (CALL_NAMES.abi)(call.key.abi()),
                arguments: (!overwrites).then(|| call.arguments[..count].to_vec()),
                file: answer.file,
                duration_ns: call.ns,
                off_cpu_ns: call.off_cpu_ns,
                result: call.result,
                error: (call.key.error() != 0 && !overwrites)
                    .then(|| (CALL_NAMES.error)(call.key.error())),
                stack: answer.functions,
                name,
            },
        }
    }
}

/// Which functions a call of a container has on its stack.
pub(in crate::cli) fn stack_of(call: &SlowCall, cgroup: &str, stack: Arc<[u64]>) -> Question {
    Question {
        process: image(call),
        lane: lane(cgroup),
        stack,
        descriptor: None,
    }
}

/// Which image of a process made a call.
pub(in crate::cli) const fn image(call: &SlowCall) -> ProcessKey {
    ProcessKey {
        pid: call.tgid,
        exec_id: call.exec_id,
    }
}

impl Line<'_> {
    /// For people: one line, and one for each function of the stack.
    pub(in crate::cli) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let call = &self.slow_call;
        writeln!(
            out,
            "{}, {} ({} off the CPU)",
            self.what(),
            duration(call.duration_ns),
            duration(call.off_cpu_ns),
        )?;
        call.stack
            .iter()
            .try_for_each(|function| writeln!(out, "    {function}"))
    }

    /// When, who, which call, with which result.
    pub(in crate::cli) fn what(&self) -> String {
        let call = &self.slow_call;
        let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(call.time_unix_ns);
        let arguments = match &call.arguments {
            Some(arguments) => {
                let mut texts: Vec<String> = arguments.iter().map(|it| argument(*it)).collect();
                let place = syscall_arguments::of(&call.name).1;
                if let (Some(file), Some(text)) =
                    (&call.file, place.and_then(|place| texts.get_mut(place)))
                {
                    *text = format!("{text}<{file}>");
                }
                texts.join(", ")
            }
            None => "…".to_owned(),
        };
        let abi = if call.abi.is_empty() {
            String::new()
        } else {
            format!("{} ", call.abi)
        };
        let result = call
            .error
            .clone()
            .unwrap_or_else(|| argument(call.result.cast_unsigned()));
        format!(
            "{} {} {}[{}/{}] {abi}{}({arguments}) = {result}",
            humantime::format_rfc3339_millis(at),
            call.container,
            call.comm,
            call.pid,
            call.tid,
            call.name,
        )
    }
}

/// Small numbers as such, also negative ones; everything else, such as an address, in hexadecimal.
fn argument(value: u64) -> String {
    const LARGEST: i64 = 0xff_ffff;
    // Calls that take an int leave the upper half to chance.
    let int = i64::from(value as u32 as i32);
    if value <= LARGEST.cast_unsigned() {
        value.to_string()
    } else if (-4095..0).contains(&value.cast_signed())
        || (-4095..0).contains(&int) && value >> 32 == 0
    {
        int.to_string()
    } else {
        format!("{value:#x}")
    }
}

/// Name of the thread that made a call.
pub(in crate::cli) fn comm(call: &SlowCall) -> String {
    let end = call.comm.iter().position(|byte| *byte == 0);
    let name = &call.comm[..end.unwrap_or(call.comm.len())];
    printable(&String::from_utf8_lossy(name), call.comm.len())
}

/// A moment of the monotonic clock as time since the Unix epoch.
fn unix_ns(at_ns: u64) -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    });
    now.saturating_sub(clock::monotonic_ns().saturating_sub(at_ns))
}

#[cfg(test)]
mod tests {
    use super::argument;

    #[test]
    fn arguments_read_as_they_were_meant() {
        for (value, text) in [
            (0, "0"),
            (65_536, "65536"),
            (0xffff_ff9c, "-100"),
            (u64::MAX, "-1"),
            (0x7ffd_1234_5678, "0x7ffd12345678"),
            (0x8000_0000, "0x80000000"),
        ] {
            assert_eq!(argument(value), text);
        }
    }
}
