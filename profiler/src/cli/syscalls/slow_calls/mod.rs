//! What slow and denied calls are about: their functions and files, looked up beside the event loop.
//!
//! A container decides how long looking at its processes takes: how many mappings and connections they have, how large
//! their binaries and perf maps are, who serves those. So a thread of its own does it. Calls keep their order: each waits a
//! bounded time for its names, and goes on without them then, which is counted.
//!
//! - `line`: a slow call for people and as JSON
//! - `queue`: whose turn it is
//! - `worker`: the thread

pub(in crate::cli) mod line;
mod queue;
mod worker;

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crate::model::{Losses, ProcessKey};
use crate::views::syscalls::lost;
use worker::{File, Order, Shared};

/// Calls that wait in order; of more the first goes on without its answer.
const MOST_WAITING: usize = 16_384;

/// What is asked about a call.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Question {
    /// Who made it.
    pub(in crate::cli) process: ProcessKey,
    /// Whose it is: those of one container wait for each other. See [`lane`].
    pub(in crate::cli) lane: u64,
    /// Addresses whose functions are wanted, innermost first.
    pub(in crate::cli) stack: Arc<[u64]>,
    /// What this file descriptor is.
    pub(in crate::cli) descriptor: Option<i32>,
}

/// The lane of a container, by its cgroup: it may have any number of cgroups below. Two containers may share one by chance.
pub(in crate::cli) fn lane(cgroup: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    cgroup.hash(&mut hasher);
    hasher.finish()
}

/// What there is to say about it.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Answer {
    /// Functions, innermost first; `[what+0xaddress]` where there is no name.
    pub(in crate::cli) functions: Vec<String>,
    /// What the descriptor is; `None` if it is not there any more.
    pub(in crate::cli) file: Option<String>,
    is_stack_late: bool,
    is_file_late: bool,
}

impl Answer {
    /// When nothing is known.
    fn late(question: &Question) -> Self {
        let addresses = question.stack.iter();
        Self {
            functions: addresses.map(|it| format!("[unknown+{it:#x}]")).collect(),
            file: None,
            is_stack_late: !question.stack.is_empty(),
            is_file_late: question.descriptor.is_some(),
        }
    }

    /// All of it was found out in time.
    pub(in crate::cli) fn is_whole(&self) -> bool {
        !self.is_stack_late && !self.is_file_late
    }
}

/// Calls that wait, in their order, each with what is to be done with it.
pub(in crate::cli) struct SlowCalls<T> {
    patience: Duration,
    /// `None` before anything is asked, and where there can be no thread.
    worker: Option<Worker>,
    waiting: VecDeque<Waiting<T>>,
    /// Number of the next.
    next: u64,
    answered: HashMap<u64, Answer>,
    stacks_late: u64,
    files_late: u64,
}

struct Worker {
    shared: Arc<Shared>,
    answers: Receiver<(u64, Answer)>,
}

struct Waiting<T> {
    number: u64,
    call: T,
    question: Question,
    until: Instant,
    /// It has been asked for.
    is_asked: bool,
}

impl<T> SlowCalls<T> {
    /// Each call waits for `patience` at most.
    pub(in crate::cli) fn new(patience: Duration) -> Self {
        Self {
            patience,
            worker: None,
            waiting: VecDeque::new(),
            next: 0,
            answered: HashMap::new(),
            stacks_late: 0,
            files_late: 0,
        }
    }

    fn worker(&mut self) -> Option<&Worker> {
        if self.worker.is_none() {
            let shared = Arc::new(Shared::default());
            let (sender, answers) = channel();
            let its = Arc::clone(&shared);
            let thread = Builder::new().name("ctprof-calls".to_owned());
            thread.spawn(move || worker::run(&its, &sender)).ok()?;
            self.worker = Some(Worker { shared, answers });
        }
        self.worker.as_ref()
    }

    /// A process exists: now its binaries can be opened. Never waits.
    pub(in crate::cli) fn observe(&mut self, process: ProcessKey, parent: Option<ProcessKey>) {
        if let Some(worker) = self.worker() {
            worker.shared.notice(process, parent);
        }
    }

    /// Takes a call whose names are to be found. Never waits.
    pub(in crate::cli) fn ask(&mut self, call: T, question: Question) {
        let asked = Instant::now();
        let until = asked + self.patience;
        let number = self.next;
        self.next += 1;
        let has_question = !Answer::late(&question).is_whole();
        let order = Order {
            number,
            question: question.clone(),
            asked,
            until,
            file: File::Unasked,
        };
        let worker = has_question.then(|| self.worker()).flatten();
        let is_asked = worker.is_some_and(|worker| worker.shared.ask(order));
        self.waiting.push_back(Waiting {
            number,
            call,
            question,
            until,
            is_asked,
        });
    }

    /// The next call whose answer is there, or that has waited long enough. Never waits.
    pub(in crate::cli) fn next(&mut self) -> Option<(T, Answer)> {
        let until = self.waiting.front()?.until;
        self.receive(Instant::now());
        let first = self.waiting.front()?;
        let is_there = !first.is_asked || self.answered.contains_key(&first.number);
        let is_over = Instant::now() >= until || self.waiting.len() > MOST_WAITING;
        (is_there || is_over).then(|| self.take())?
    }

    /// The same at the end: waits for it, until `end` at most.
    pub(in crate::cli) fn last(&mut self, end: Instant) -> Option<(T, Answer)> {
        let until = self.waiting.front()?.until;
        self.receive(until.min(end));
        self.take()
    }

    /// Takes over answers, until that of the first is there, or until `deadline`.
    fn receive(&mut self, deadline: Instant) {
        let (Some(first), Some(worker)) = (self.waiting.front(), &self.worker) else {
            return;
        };
        while first.is_asked && !self.answered.contains_key(&first.number) {
            let left = deadline.saturating_duration_since(Instant::now());
            match worker.answers.recv_timeout(left) {
                // Who is answered too late has gone on.
                Ok((number, _)) if number < first.number => {}
                Ok((number, answer)) => {
                    self.answered.insert(number, answer);
                }
                Err(_) => return,
            }
        }
    }

    fn take(&mut self) -> Option<(T, Answer)> {
        let first = self.waiting.pop_front()?;
        let answer = self.answered.remove(&first.number);
        let answer = answer.unwrap_or_else(|| Answer::late(&first.question));
        self.stacks_late += u64::from(answer.is_stack_late);
        self.files_late += u64::from(answer.is_file_late);
        Some((first.call, answer))
    }

    /// Adds to `lost` what was not known in time.
    pub(in crate::cli) fn count(&self, lost: &mut Losses) {
        *lost.entry(lost::DESCRIPTOR_LATE).or_default() += self.files_late;
        *lost.entry(lost::STACK_LATE).or_default() += self.stacks_late;
    }
}

impl<T> Drop for SlowCalls<T> {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.shared.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn question(stack: &[u64], descriptor: Option<i32>) -> Question {
        Question {
            process: ProcessKey {
                pid: std::process::id(),
                exec_id: 0,
            },
            lane: 1,
            stack: stack.into(),
            descriptor,
        }
    }

    #[test]
    fn calls_keep_their_order_and_have_names() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_string_lossy().into_owned();
        let here = calls_keep_their_order_and_have_names as fn() as usize as u64;
        let mut calls = SlowCalls::new(Duration::from_secs(120));
        calls.ask(0, question(&[here], Some(file.as_raw_fd())));
        calls.ask(1, question(&[], None));
        calls.ask(2, question(&[], Some(file.as_raw_fd())));
        let far = Instant::now() + Duration::from_secs(120);
        let answers: Vec<_> = std::iter::from_fn(|| calls.last(far)).collect();
        let numbers: Vec<_> = answers.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [0, 1, 2]);
        let first = &answers[0].1;
        assert_eq!(first.file.as_ref(), Some(&path));
        let function = first.functions.last().unwrap();
        assert!(function.ends_with("keep_their_order_and_have_names"));
        assert_eq!(answers[2].1.file.as_ref(), Some(&path));
        let mut lost = Losses::new();
        calls.count(&mut lost);
        assert!(lost.values().all(|count| *count == 0), "{lost:?}");
    }

    #[test]
    fn who_waits_too_long_goes_on_and_is_counted() {
        let mut calls = SlowCalls::new(Duration::ZERO);
        calls.ask("late", question(&[0x10], Some(0)));
        let (call, answer) = calls.next().unwrap();
        assert_eq!((call, answer.file), ("late", None));
        assert_eq!(answer.functions, ["[unknown+0x10]"]);
        let mut lost = Losses::new();
        calls.count(&mut lost);
        assert_eq!(
            lost,
            [(lost::DESCRIPTOR_LATE, 1), (lost::STACK_LATE, 1)].into()
        );
    }

    #[test]
    fn one_that_can_still_be_answered_holds_up_those_behind_it() {
        let mut calls = SlowCalls::new(Duration::from_secs(120));
        // Nobody is there to answer.
        calls.worker = Some(Worker {
            shared: Arc::default(),
            answers: channel().1,
        });
        calls.ask(0, question(&[0x10], None));
        calls.ask(1, question(&[], None));
        assert!(calls.next().is_none());
        let soon = Instant::now() + Duration::from_millis(1);
        assert!(calls.last(soon).unwrap().1.is_stack_late);
        assert!(calls.next().unwrap().1.is_whole());
    }
}
