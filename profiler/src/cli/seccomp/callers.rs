//! Who makes the calls that a profile would deny, or that are denied now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctprof_ebpf::views::syscalls::abi::{SlowCall, kind};
use serde::Serialize;

use crate::cli::record::say;
use crate::cli::syscalls::slow_calls::line::{MadeCall, comm, image, stack_of};
use crate::cli::syscalls::slow_calls::{Answer, SlowCalls};
use crate::host::Host;
use crate::host::syscalls::CALL_NAMES;
use crate::model::text::printable;
use crate::model::{ContainerIdentity, Losses, ProcessKey};
use crate::seccomp::CallId;

/// Callers and stacks that are told apart: a program that names every thread differently must not fill the memory.
const LARGEST: usize = 4_096;
/// Functions of a stack that are kept, innermost first.
const FUNCTIONS: usize = 32;
/// Longest name of a process: the kernel keeps 15 bytes.
const NAME_CHARS: usize = 16;

/// How long a denial waits for what its file descriptor is.
const FOR_FILE: Duration = Duration::from_millis(500);
/// How long a call waits for its functions, which are shown at the end.
const FOR_FUNCTIONS: Duration = Duration::from_secs(5);

/// How long calls that wait at the end may do so. An unoptimised build reads ten times as slowly.
const AT_END: Duration = Duration::from_millis(if cfg!(debug_assertions) { 4_000 } else { 400 });

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

/// A stack of a process.
type StackKey = (ProcessKey, Arc<[u64]>);

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
    /// Calls whose functions are looked up, as [`Key`] without these.
    asked: SlowCalls<(Key, StackKey)>,
    /// Denials that are about to be told.
    denials: SlowCalls<MadeCall>,
    counts: HashMap<Key, u64>,
    processes: HashMap<ProcessKey, Arc<str>>,
    /// A stack is looked up once: the same code makes the same call again and again.
    stacks: HashMap<StackKey, Arc<[String]>>,
    /// Denied calls that were told of.
    told: HashSet<(u32, u32, u32, u32, Arc<str>)>,
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            host: Host::default(),
            asked: SlowCalls::new(FOR_FUNCTIONS),
            denials: SlowCalls::new(FOR_FILE),
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
        self.asked.observe(process, parent);
    }

    /// Adds a call of a container. If it is denied now, and `is_told`, says so: once for each container, thread name, call
    /// and error.
    pub(super) fn add(
        &mut self,
        call: &SlowCall,
        stack: &[u64],
        container: &ContainerIdentity,
        is_told: bool,
    ) {
        let key = Key {
            slot: call.key.slot(),
            number: call.key.number(),
            abi: call.key.abi(),
            confined: call.key.is_confined(),
            refused_with: (call.key.kind() == kind::REFUSED).then_some(call.key.error()),
            process: self.process(call),
            thread: comm(call).into(),
            stack: Arc::new([]),
        };
        if let (Some(error), true) = (key.refused_with, is_told) {
            let what = (
                key.slot,
                key.number,
                key.abi,
                error,
                Arc::clone(&key.thread),
            );
            if self.told.len() < LARGEST && self.told.insert(what) {
                let denied = MadeCall::new(call, &container.name, &container.cgroup);
                let question = denied.question(Arc::new([]));
                self.denials.ask(denied, question);
            }
        }
        let of = (image(call), stack.into());
        match self.stacks.get(&of) {
            Some(known) => {
                let stack = Arc::clone(known);
                self.count(Key { stack, ..key });
            }
            None => {
                let question = stack_of(call, &container.cgroup, Arc::clone(&of.1));
                self.asked.ask((key, of), question);
            }
        }
    }

    /// Counts and tells what has been looked up by now. Never waits.
    pub(super) fn turn(&mut self) {
        while let Some((call, answer)) = self.denials.next() {
            tell(&call, answer);
        }
        while let Some((asked, answer)) = self.asked.next() {
            self.answered(asked, answer);
        }
    }

    /// The same with what is left at the end, which is waited for a while; what was late goes to `lost`.
    pub(super) fn end(&mut self, lost: &mut Losses) {
        let end = Instant::now() + AT_END;
        while let Some((call, answer)) = self.denials.last(end) {
            tell(&call, answer);
        }
        while let Some((asked, answer)) = self.asked.last(end) {
            self.answered(asked, answer);
        }
        self.asked.count(lost);
        self.denials.count(lost);
    }

    fn answered(&mut self, (key, of): (Key, StackKey), answer: Answer) {
        let is_whole = answer.is_whole();
        let mut functions = answer.functions;
        functions.truncate(FUNCTIONS);
        let stack: Arc<[String]> = functions.into();
        if is_whole && self.stacks.len() < LARGEST {
            self.stacks.insert(of, Arc::clone(&stack));
        }
        self.count(Key { stack, ..key });
    }

    fn count(&mut self, key: Key) {
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

    fn process(&mut self, call: &SlowCall) -> Arc<str> {
        let process = image(call);
        if let Some(known) = self.processes.get(&process) {
            return Arc::clone(known);
        }
        // The kernel has the name itself: nobody is waited for.
        let name: Arc<str> = match self.host.comm(process.pid) {
            Some(name) => printable(&name, NAME_CHARS).into(),
            None => comm(call).into(),
        };
        if self.processes.len() < LARGEST {
            self.processes.insert(process, Arc::clone(&name));
        }
        name
    }

    /// Those whose slot `is_its`, most calls first. Where a filter is on, what came before it was not the
    /// container's.
    pub(super) fn of(&self, is_its: impl Fn(u32) -> bool, is_confined: bool) -> Vec<Caller> {
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

fn tell(call: &MadeCall, answer: Answer) {
    say(&format!("denied: {}", call.line(answer).what()));
}
