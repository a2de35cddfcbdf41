//! Slow calls, one line each, as they happen.

use std::io::Write;
use std::time::{Duration, SystemTime};

use ctprof_ebpf::abi::syscall::SlowCall;
use serde::Serialize;

use crate::collect::SlowCallSeen;
use crate::host::{Host, clock, descriptor, syscall_arguments};
use crate::model::text::printable;
use crate::model::{FrameKind, FrameTable, ProcessKey};
use crate::output::units::duration;
use crate::recording::CALL_NAMES;
use crate::symbolize::{Options, Symbolizer};

/// How long a line may wait for a look at the caller's mappings. A usual look takes a tenth of a millisecond.
const FOR_LOOK: Duration = Duration::from_millis(20);

/// What is needed to say what a slow call was.
pub(in crate::cli) struct SlowCalls {
    host: Host,
    symbolizer: Symbolizer,
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

impl SlowCalls {
    pub(in crate::cli) fn new() -> Self {
        Self {
            host: Host::default(),
            symbolizer: Symbolizer::new(Options::default()),
        }
    }

    /// A process exists: now its binaries can be opened.
    pub(in crate::cli) fn observe(&mut self, process: ProcessKey, parent: Option<ProcessKey>) {
        self.symbolizer.notice(process, parent);
    }

    /// A call by a container of this name.
    pub(in crate::cli) fn line<'a>(
        &mut self,
        seen: &SlowCallSeen<'_>,
        container: &'a str,
        cgroup: &'a str,
    ) -> Line<'a> {
        let call = seen.call;
        let name = (CALL_NAMES.call)(call.key.number(), call.key.abi());
        let (count, place) = syscall_arguments::of(&name);
        let file = place
            .and_then(|place| i32::try_from(call.arguments[place].cast_signed()).ok())
            .filter(|number| *number >= 0)
            .and_then(|number| descriptor::describe(&self.host, call.tgid, number));
        // Where these succeed, the registers are those of other code.
        let overwrites =
            name.ends_with("sigreturn") || name.starts_with("execve") && call.result == 0;
        Line {
            slow_call: Seen {
                time_unix_ns: unix_ns(call.at_ns),
                container,
                cgroup,
                pid: call.tgid,
                tid: call.tid,
                comm: comm(call),
                abi: (CALL_NAMES.abi)(call.key.abi()),
                arguments: (!overwrites).then(|| call.arguments[..count].to_vec()),
                file: if overwrites { None } else { file },
                duration_ns: call.ns,
                off_cpu_ns: call.off_cpu_ns,
                result: call.result,
                error: (call.key.error() != 0 && !overwrites)
                    .then(|| (CALL_NAMES.error)(call.key.error())),
                stack: self.functions(seen),
                name,
            },
        }
    }

    /// Functions of the caller's stack, innermost first; empty without one.
    pub(in crate::cli) fn functions(&mut self, seen: &SlowCallSeen<'_>) -> Vec<String> {
        if seen.stack.is_empty() {
            return Vec::new();
        }
        let process = ProcessKey {
            pid: seen.call.tgid,
            exec_id: seen.call.exec_id,
        };
        self.symbolizer.observe_within(process, FOR_LOOK);
        let mut table = FrameTable::default();
        let resolved = self.symbolizer.user(process, &seen.stack, &mut table);
        resolved
            .iter()
            .take_while(|resolved| resolved.is_code)
            .flat_map(|resolved| &resolved.frames)
            .map(|frame| table.frame(*frame))
            .filter(|frame| frame.kind == FrameKind::User)
            .map(|frame| frame.function.to_string())
            .collect()
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
