//! The function that a stack's time is put down to: the innermost one that somebody wrote for this program.
//!
//! The leaf of a wait is always the scheduler, and above it are a system call, a library's wrapper and a runtime. None
//! of them says what the program was doing; the first frame that is none of these does.

pub(crate) mod rank;

use std::collections::HashMap;

use super::names::{Name, NameKind};
use super::stacks::{NameId, StackRef, Stacks};
use super::states::ViewState;
use super::threads::{IdleThreads, ThreadGroups};
use crate::model::stand_in;
use crate::model::text::cut;
use rank::Rank;
pub use rank::is_kernel_plumbing;

/// The function with most of a state's time, and how much of it that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blamed {
    /// Its name.
    pub function: String,
    /// Whether it is the kernel's.
    pub kernel: bool,
    /// Its time.
    pub ns: u64,
    /// The part of it that was spent in functions that it called, of which at least one is missing from the stacks.
    pub below_ns: u64,
    /// Time of all stacks in the state, waits of idle threads apart.
    pub of_ns: u64,
}

impl Blamed {
    /// `mostly in render()`, or nothing where no function stands out; `mostly below render()` where the function that it
    /// called is missing, so that nobody can tell whether this one is the place.
    #[must_use]
    pub fn words(&self, mostly: &str) -> Option<String> {
        const MAX_CHARS: usize = 60;
        if self.ns.saturating_mul(2) < self.of_ns {
            return None;
        }
        let name = cut(&self.function, MAX_CHARS);
        if self.kernel {
            return Some(format!("{mostly} in {name} [k]"));
        }
        let at = match self.below_ns {
            0 => "in",
            below if below == self.ns => "below",
            _ => "in or below",
        };
        let call = if name.ends_with([')', '>', '…']) || name.contains(':') && name.contains('/')
        {
            ""
        } else {
            "()"
        };
        Some(format!("{mostly} {at} {name}{call}"))
    }
}

/// The functions to blame, container by container and state by state.
#[derive(Debug, Default)]
pub struct Blame {
    by_state: HashMap<(usize, ViewState), Blamed>,
}

impl Blame {
    /// Finds the functions.
    #[must_use]
    pub fn of(stacks: &Stacks, groups: &ThreadGroups, idle: &IdleThreads) -> Self {
        let ranks: Vec<Rank> = stacks.names().iter().map(Rank::of).collect();
        let skipped = stacks.find(&Name::stand_in(stand_in::SKIPPED));
        let mut sums: HashMap<(usize, ViewState), HashMap<Option<NameId>, FunctionTime>> =
            HashMap::new();
        for stack in stacks.iter() {
            if idle.waits_idly(&stack, groups) {
                continue;
            }
            let functions = sums.entry((stack.container, stack.state)).or_default();
            let (function, is_below) = to_blame(&stack, &ranks, skipped);
            let sum = functions.entry(function).or_default();
            sum.ns = sum.ns.saturating_add(stack.ns);
            if is_below {
                sum.below_ns = sum.below_ns.saturating_add(stack.ns);
            }
        }
        let by_state = sums
            .into_iter()
            .filter_map(|(key, functions)| {
                let of_ns = functions
                    .values()
                    .fold(0, |a: u64, b| a.saturating_add(b.ns));
                let (function, FunctionTime { ns, below_ns }) = functions
                    .into_iter()
                    .filter_map(|(name, sum)| Some((name?, sum)))
                    .max_by_key(|(name, sum)| (sum.ns, std::cmp::Reverse(*name)))?;
                let name = stacks.name(function);
                Some((
                    key,
                    Blamed {
                        function: name.text.to_string(),
                        kernel: name.kind == NameKind::Kernel,
                        ns,
                        below_ns,
                        of_ns,
                    },
                ))
            })
            .collect();
        Self { by_state }
    }

    /// The function with most time of this container in this state.
    #[must_use]
    pub fn get(&self, container: usize, state: ViewState) -> Option<&Blamed> {
        self.by_state.get(&(container, state))
    }
}

/// Time of a function.
#[derive(Clone, Copy, Default)]
struct FunctionTime {
    ns: u64,
    /// See [`Blamed::below_ns`].
    below_ns: u64,
}

/// The innermost frame of the best rank that the stack has, and whether frames are missing between it and the leaf.
fn to_blame(
    stack: &StackRef<'_>,
    ranks: &[Rank],
    skipped: Option<NameId>,
) -> (Option<NameId>, bool) {
    let mut best = (Rank::None, None, false);
    let mut is_below = false;
    for frame in stack.frames.iter().rev() {
        is_below |= Some(*frame) == skipped;
        let rank = ranks[*frame as usize];
        if rank > best.0 {
            best = (rank, Some(*frame), is_below);
        }
        if rank == Rank::Own {
            break;
        }
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::stacks::Builder;
    use crate::model::State;

    /// A name with its kind, as folded stacks have it.
    fn named(folded: &str) -> Name {
        let kinds = [NameKind::Kernel, NameKind::Inlined].into_iter();
        let marked = kinds.filter_map(|kind| Some((folded.strip_suffix(kind.mark())?, kind)));
        let stand_in = stand_in::ALL.contains(&folded);
        let plain = match stand_in {
            true => (folded, NameKind::StandIn),
            false => (folded, NameKind::Plain),
        };
        let (text, kind) = marked.chain([plain]).next().unwrap();
        Name {
            text: text.into(),
            kind,
        }
    }

    fn blamed(stacks: &[(&[&str], u64)]) -> Option<Blamed> {
        let mut builder = Builder::default();
        let thread = builder.name(Name::plain("t"));
        for (frames, ns) in stacks {
            let frames: Vec<NameId> = frames
                .iter()
                .map(|name| builder.name(named(name)))
                .collect();
            builder.push(0, ViewState::of(State::BlockedDisk), thread, &frames, *ns);
        }
        let stacks = builder.finish();
        let groups = ThreadGroups::of(&stacks);
        let idle = IdleThreads::of(&stacks, &groups, |_| false);
        let blame = Blame::of(&stacks, &groups, &idle);
        blame.get(0, ViewState::of(State::BlockedDisk)).cloned()
    }

    #[test]
    fn the_innermost_function_of_the_program_is_to_blame() {
        for (stack, expected) in [
            (
                &["main", "db_commit", "fsync", "do_fsync_[k]", "schedule_[k]"][..],
                "db_commit",
            ),
            (&["main", "render", "encode_[i]", "schedule_[k]"], "encode"),
            (
                &[
                    "runtime.goexit",
                    "main.serve",
                    "os.(*File).Sync",
                    "runtime.futex",
                ],
                "main.serve",
            ),
            (
                &[
                    "std::rt::lang_start",
                    "app::load",
                    "core::ops::call",
                    "__read",
                ],
                "app::load",
            ),
            // Nothing of the program's own: what the kernel did for it.
            (
                &[
                    "[libc.so.6+0x1234]",
                    "__write",
                    "jbd2_log_wait_commit_[k]",
                    "schedule_[k]",
                ],
                "jbd2_log_wait_commit",
            ),
            (
                &[
                    "ret_from_fork_[k]",
                    "kthread_[k]",
                    "worker_thread_[k]",
                    "schedule_[k]",
                ],
                "worker_thread",
            ),
        ] {
            assert_eq!(
                blamed(&[(stack, 1)]).unwrap().function,
                expected,
                "{stack:?}"
            );
        }
        assert_eq!(blamed(&[(&["[no stack]"], 1)]), None);
        let nothing_new = [
            "[go+0x12]",
            "runtime.futex",
            "do_futex_[k]",
            "futex_wait_[k]",
        ];
        assert_eq!(blamed(&[(&nothing_new, 1)]), None);
    }

    #[test]
    fn a_function_is_named_when_it_has_half() {
        let half = blamed(&[(&["a"], 5), (&["b"], 3), (&["[no stack]"], 2)]).unwrap();
        assert_eq!((half.ns, half.of_ns), (5, 10));
        assert_eq!(half.words("mostly").unwrap(), "mostly in a()");
        let less = blamed(&[(&["a"], 5), (&["b"], 3), (&["[no stack]"], 3)]).unwrap();
        assert_eq!(less.words("mostly"), None);
        // A function that called one which is not known is not the place.
        let gap = ["main", "serve", "[skipped]", "usleep"];
        let below = blamed(&[(&gap, 5)]).unwrap();
        assert_eq!(below.words("mostly").unwrap(), "mostly below serve()");
        let both = blamed(&[(&gap, 5), (&["main", "serve", "fsync"], 1)]).unwrap();
        assert_eq!(both.words("mostly").unwrap(), "mostly in or below serve()");
        // What is missing further out is not below it.
        let out = blamed(&[(&["main", "[skipped]", "serve", "fsync"], 5)]).unwrap();
        assert_eq!(out.words("mostly").unwrap(), "mostly in serve()");
        let written = |name: &str| blamed(&[(&[name], 1)]).unwrap().words("mostly").unwrap();
        assert_eq!(written("ns::f(int)"), "mostly in ns::f(int)");
        assert_eq!(written("app::f"), "mostly in app::f()");
        assert_eq!(written("pipe_read_[k]"), "mostly in pipe_read [k]");
        assert_eq!(written("py::f:/srv/a.py"), "mostly in py::f:/srv/a.py");
    }
}
