//! Who makes the calls that a profile would deny, or that are denied now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ctprof_ebpf::abi::syscall::kind;
use serde::Serialize;

use crate::cli::record::say;
use crate::cli::syscalls::slow::{SlowCalls, comm};
use crate::collect::SlowCallSeen;
use crate::host::Host;
use crate::model::text::printable;
use crate::model::{ContainerIdentity, ProcessKey};
use crate::recording::CALL_NAMES;
use crate::seccomp::CallId;

/// Callers and stacks that are told apart: a program that names every thread differently must not fill the memory.
const LARGEST: usize = 4_096;
/// Functions of a stack that are kept, innermost first.
const FUNCTIONS: usize = 32;
/// Longest name of a process: the kernel keeps 15 bytes.
const NAME_CHARS: usize = 16;

/// A caller of one call, with one stack.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Caller {
    #[serde(skip)]
    pub(super) call: CallId,
    /// The present filter denied it, with this error; 0 for none.
    #[serde(skip)]
    pub(super) refused_with: Option<u32>,
    /// Name of the process; of the thread, where the process was gone too soon.
    pub(super) process: String,
    /// Name of the thread.
    pub(super) thread: String,
    /// Calls that were looked at.
    pub(super) count: u64,
    /// Functions, innermost first; empty if they could not be read.
    pub(super) stack: Vec<String>,
}

/// What tells callers apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    slot: u32,
    number: u32,
    abi: u32,
    confined: bool,
    refused_with: Option<u32>,
    process: Arc<str>,
    thread: Arc<str>,
    stack: Arc<[String]>,
}

/// All of them.
pub(super) struct Callers {
    host: Host,
    symbols: SlowCalls,
    counts: HashMap<Key, u64>,
    processes: HashMap<ProcessKey, Arc<str>>,
    /// A stack is looked up once: the same code makes the same call again and again.
    stacks: HashMap<(ProcessKey, Vec<u64>), Arc<[String]>>,
    /// Denied calls that were told of.
    told: HashSet<(u32, u32, u32, u32, Arc<str>)>,
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            host: Host::default(),
            symbols: SlowCalls::new(),
            counts: HashMap::new(),
            processes: HashMap::new(),
            stacks: HashMap::new(),
            told: HashSet::new(),
        }
    }
}

impl Callers {
    /// A process exists: now its binaries can be opened.
    pub(super) fn observe(&mut self, process: ProcessKey, parent: Option<ProcessKey>) {
        self.symbols.observe(process, parent);
    }

    /// Adds a call. If it is denied now, and by a container that is `told` of, says so: once for each container,
    /// thread name, call and error.
    pub(super) fn add(&mut self, seen: &SlowCallSeen<'_>, told: Option<&ContainerIdentity>) {
        let call = seen.call;
        let key = Key {
            slot: call.key.slot(),
            number: call.key.number(),
            abi: call.key.abi(),
            confined: call.key.is_confined(),
            refused_with: (call.key.kind() == kind::REFUSED).then_some(call.key.error()),
            process: self.process(seen),
            thread: comm(call).into(),
            stack: self.stack(seen),
        };
        if let (Some(error), Some(container)) = (key.refused_with, told) {
            let what = (
                key.slot,
                key.number,
                key.abi,
                error,
                Arc::clone(&key.thread),
            );
            if self.told.len() < LARGEST && self.told.insert(what) {
                let line = self
                    .symbols
                    .line(seen, &container.name, &container.cgroup)
                    .what();
                say(&format!("denied: {line}"));
            }
        }
        if self.counts.len() < LARGEST || self.counts.contains_key(&key) {
            *self.counts.entry(key).or_default() += 1;
        } else {
            let unknown: Arc<str> = "[others]".into();
            let key = Key {
                process: Arc::clone(&unknown),
                thread: unknown,
                stack: Arc::new([]),
                ..key
            };
            *self.counts.entry(key).or_default() += 1;
        }
    }

    fn process(&mut self, seen: &SlowCallSeen<'_>) -> Arc<str> {
        let process = image(seen);
        if let Some(known) = self.processes.get(&process) {
            return Arc::clone(known);
        }
        let name: Arc<str> = match self.host.comm(process.pid) {
            Some(name) => printable(&name, NAME_CHARS).into(),
            None => comm(seen.call).into(),
        };
        if self.processes.len() < LARGEST {
            self.processes.insert(process, Arc::clone(&name));
        }
        name
    }

    fn stack(&mut self, seen: &SlowCallSeen<'_>) -> Arc<[String]> {
        let key = (image(seen), seen.stack.clone());
        if let Some(known) = self.stacks.get(&key) {
            return Arc::clone(known);
        }
        let mut functions = self.symbols.functions(seen);
        functions.truncate(FUNCTIONS);
        let functions: Arc<[String]> = functions.into();
        if self.stacks.len() < LARGEST {
            self.stacks.insert(key, Arc::clone(&functions));
        }
        functions
    }

    /// Those whose slot `is_its`, most calls first. Where a filter is on, what came before it was not the
    /// container's.
    pub(super) fn of(&mut self, is_its: impl Fn(u32) -> bool, is_confined: bool) -> Vec<Caller> {
        let its = self.counts.iter().filter(|(key, _)| {
            is_its(key.slot) && (key.confined || key.refused_with.is_some() || !is_confined)
        });
        // A container may have several cgroups.
        let mut sums: HashMap<Key, u64> = HashMap::new();
        for (key, count) in its {
            let key = Key {
                slot: 0,
                confined: false,
                ..key.clone()
            };
            *sums.entry(key).or_default() += count;
        }
        let mut callers: Vec<Caller> = sums
            .into_iter()
            .map(|(key, count)| Caller {
                call: CallId {
                    name: (CALL_NAMES.call)(key.number, key.abi),
                    abi: key.abi,
                },
                refused_with: key.refused_with,
                process: key.process.to_string(),
                thread: key.thread.to_string(),
                count,
                stack: key.stack.to_vec(),
            })
            .collect();
        callers.sort_by(|a, b| {
            (b.count, &a.process, &a.thread, &a.stack)
                .cmp(&(a.count, &b.process, &b.thread, &b.stack))
        });
        callers
    }
}

fn image(seen: &SlowCallSeen<'_>) -> ProcessKey {
    ProcessKey {
        pid: seen.call.tgid,
        exec_id: seen.call.exec_id,
    }
}
