//! Who had what threads waited for.

use std::collections::HashMap;

use super::frames::Frames;
use crate::analysis::threads::without_digits;
use crate::model::Stack;
use crate::views::moments::Moments;

/// Who had what threads waited for, by the functions that they waited in: its name, whether it does the same work, how long.
pub(super) struct HandedOn<'a>(HashMap<&'a [String], Vec<(String, bool, u64)>>);

impl<'a> HandedOn<'a> {
    pub(super) fn of(moments: Option<&'a Moments>) -> Self {
        let mut all: HashMap<&[String], Vec<(String, bool, u64)>> = HashMap::new();
        for waker in moments.map_or(&[][..], |it| &it.wakers) {
            let pairs = waker
                .functions
                .iter()
                .rev()
                .zip(waker.waited_in.iter().rev());
            let common = pairs.take_while(|(one, other)| one == other).count();
            let does_the_same = common >= 3 && common * 2 >= waker.waited_in.len();
            let waits = all.entry(&waker.waited_in).or_default();
            waits.push((without_digits(&waker.thread), does_the_same, waker.ns));
        }
        Self(all)
    }

    /// Whether threads of one name that do the same work wait for each other in this stack. That is a lock, where functions do not
    /// say: work comes from somebody else.
    pub(super) fn among_themselves(&self, frames: &Frames<'_>, stack: &Stack) -> bool {
        let functions = frames.functions(stack);
        let own = without_digits(&stack.thread);
        let Some(waits) = self.0.get(functions.as_slice()) else {
            return false;
        };
        let sum = |is_meant: &dyn Fn(&str, bool) -> bool| {
            let meant = waits
                .iter()
                .filter(|(thread, same, _)| is_meant(thread, *same));
            meant.fold(0_u64, |sum, (.., ns)| sum.saturating_add(*ns))
        };
        sum(&|thread, same| same && thread == own) > sum(&|_, _| true) / 10 * 7
    }
}
