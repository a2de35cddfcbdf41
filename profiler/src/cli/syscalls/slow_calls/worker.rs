//! The thread that looks at the processes of slow calls.
//!
//! It owns the symbolizer, and takes what is asked lane by lane (`queue`). One attempt is short; what was begun goes on beside,
//! and is there when the question's turn comes again.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::queue::{Lanes, Next};
use super::{Answer, Question};
use crate::host::{Host, descriptor};
use crate::model::{FrameKind, FrameTable, ProcessKey};
use crate::symbolize::debuginfod::{Keep, Servers};
use crate::symbolize::{Options, Patience, Pool, Symbolizer};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_millis(50);
/// From one attempt to the next.
const PAUSE: Duration = Duration::from_millis(10);
/// How often is taken over what was found, with nothing else to do.
const IDLE: Duration = Duration::from_millis(100);
/// Processes that were seen and not taken over yet.
const MOST_NOTICES: usize = 16_384;

/// A question on its way.
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) question: Question,
    pub(super) asked: Instant,
    /// When nobody waits for it any more.
    pub(super) until: Instant,
    /// What is known of its descriptor.
    pub(super) file: File,
}

/// What a descriptor is.
#[derive(Default)]
pub(super) enum File {
    #[default]
    Unasked,
    Asked(Receiver<Option<String>>),
    Known(Option<String>),
}

/// A process, and the one that it was forked from.
type Notice = (ProcessKey, Option<ProcessKey>);

/// Processes to look at, and what to answer, with its lane.
type Turn = (VecDeque<Notice>, Option<(u64, Order)>);

/// What both threads have.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    lanes: Lanes<Order>,
    notices: VecDeque<Notice>,
    is_closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process exists. Where too many do at once, it is looked at when it makes a call.
    pub(super) fn notice(&self, process: ProcessKey, parent: Option<ProcessKey>) {
        let mut state = self.state();
        if state.notices.len() < MOST_NOTICES {
            state.notices.push_back((process, parent));
            drop(state);
            self.work.notify_one();
        }
    }

    /// Asks; false where there is no room.
    pub(super) fn ask(&self, order: Order) -> bool {
        let lane = order.question.lane;
        let is_in = self.state().lanes.push(lane, order, Instant::now()).is_ok();
        self.work.notify_one();
        is_in
    }

    /// Nothing will be asked any more.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.work.notify_one();
    }

    /// Whom to look at, and what to answer; `None` at the end. Waits for either, but not for long.
    fn next(&self) -> Option<Turn> {
        let mut state = self.state();
        let mut may_wait = true;
        loop {
            if state.is_closed {
                return None;
            }
            let now = Instant::now();
            let wait = match state.lanes.next(now) {
                Next::Do(lane, order) => {
                    return Some((std::mem::take(&mut state.notices), Some((lane, order))));
                }
                Next::Wait(when) => when.saturating_duration_since(now).min(IDLE),
                Next::Nothing => IDLE,
            };
            if !may_wait || !state.notices.is_empty() {
                return Some((std::mem::take(&mut state.notices), None));
            }
            may_wait = false;
            let waited = self.work.wait_timeout(state, wait);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// An attempt took so long; the question comes again if it is not answered.
    fn attempted(&self, lane: u64, time: Duration, again: Option<Order>) -> Result<(), Order> {
        let mut state = self.state();
        state.lanes.spent(lane, time);
        match again {
            Some(order) => state.lanes.push(lane, order, Instant::now() + PAUSE),
            None => Ok(()),
        }
    }
}

/// Answers until the end.
pub(super) fn run(shared: &Shared, answers: &Sender<(u64, Answer)>) {
    let mut worker = Worker {
        symbolizer: Symbolizer::new(Options {
            // Nobody is asked here, where answers take half a second: what recordings have fetched is found.
            debuginfod: Servers::from_env(Keep::InMemory),
            ..Options::default()
        }),
        descriptors: Pool::new(2),
    };
    while let Some((notices, order)) = shared.next() {
        for (process, parent) in notices {
            worker.symbolizer.notice(process, parent);
        }
        worker.symbolizer.take_in();
        let Some((lane, mut order)) = order else {
            continue;
        };
        let (number, began) = (order.number, Instant::now());
        let answer = worker.attempt(&mut order, began);
        let is_over = answer.is_whole() || Instant::now() >= order.until;
        let again = (!is_over).then_some(order);
        let is_refused = shared.attempted(lane, began.elapsed(), again).is_err();
        if (is_over || is_refused) && answers.send((number, answer)).is_err() {
            return;
        }
    }
}

struct Worker {
    symbolizer: Symbolizer,
    descriptors: Pool,
}

impl Worker {
    fn attempt(&mut self, order: &mut Order, now: Instant) -> Answer {
        let patience = Patience {
            asked: order.asked,
            deadline: order.until.min(now + ATTEMPT),
            last: order.until,
        };
        let question = &order.question;
        let mut answer = Answer::late(question);
        if let Some(number) = question.descriptor {
            if matches!(order.file, File::Unasked) {
                order.file = self.ask_for_file(question.process.pid, number, order.until);
            }
            if let File::Asked(file) = &order.file
                && let Some(file) = self.descriptors.receive(file, patience.deadline)
            {
                order.file = File::Known(file);
            }
            if let File::Known(file) = &order.file {
                answer.file.clone_from(file);
                answer.is_file_late = false;
            }
        }
        if !question.stack.is_empty() {
            (answer.functions, answer.is_stack_late) = self.functions(question, patience);
        }
        answer
    }

    /// A process may have a hundred thousand connections to search.
    fn ask_for_file(&self, pid: u32, number: i32, last: Instant) -> File {
        let (answer, answered) = sync_channel(1);
        self.descriptors.submit(move || {
            if Instant::now() < last {
                let _ = answer.send(descriptor::describe(&Host::default(), pid, number));
            }
        });
        File::Asked(answered)
    }

    /// The functions of its stack, and whether some were not found in time.
    fn functions(&mut self, question: &Question, patience: Patience) -> (Vec<String>, bool) {
        let mut table = FrameTable::default();
        let Question { process, stack, .. } = question;
        let named = self
            .symbolizer
            .user_until(*process, stack, patience, &mut table);
        let functions = named
            .frames
            .iter()
            .take_while(|resolved| resolved.is_code)
            .flat_map(|resolved| &resolved.frames)
            .map(|frame| table.frame(*frame))
            .filter(|frame| frame.kind == FrameKind::User)
            .map(|frame| frame.function.to_string())
            .collect();
        (functions, named.is_late)
    }
}
