//! What the frames of a window say, each looked at once.

use super::waits::{self, Says};
use crate::analysis::blame::Rank;
use crate::analysis::names::{Name, NameKind};
use crate::model::{Frame, FrameId, FrameKind, FrameTable, Stack};

/// Libraries that every program is made with, or every program of a language: their functions say nothing of it.
const PLUMBING: [&str; 14] = [
    "[vdso]",
    "ld-linux",
    "ld-musl",
    "libc-",
    "libc.musl",
    "libc.so",
    "libdl",
    "libgcc_s",
    "libjvm.so",
    "libm.so",
    "libpthread",
    "libresolv",
    "librt",
    "libstdc++",
];

/// Whose a function is, the more it says of the program the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whose {
    /// Nobody's in particular.
    Nobody,
    /// The kernel's.
    Kernel,
    /// A library's.
    Library,
    /// The program's own.
    Own,
}

#[derive(Clone, Copy, Debug)]
struct Fact {
    whose: Whose,
    says: Option<Says>,
}

/// Facts about every frame of a window.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    table: &'a FrameTable,
    facts: Vec<Fact>,
}

impl<'a> Frames<'a> {
    pub(super) fn of(table: &'a FrameTable) -> Self {
        let fact = |frame: &Frame| Fact {
            whose: whose(table, frame),
            says: match frame.kind {
                FrameKind::User => waits::function(&frame.function),
                FrameKind::Kernel | FrameKind::StandIn => None,
            },
        };
        Self {
            table,
            facts: table.frames().iter().map(fact).collect(),
        }
    }

    /// What the functions of a stack say, the innermost first.
    pub(super) fn says<'s>(&'s self, stack: &'s Stack) -> impl Iterator<Item = Says> + 's {
        stack.frames.iter().filter_map(|id| self.fact(*id).says)
    }

    fn fact(&self, id: FrameId) -> Fact {
        self.facts[id.0 as usize]
    }

    /// The innermost function of a stack that says most of its program, and whose it is.
    pub(super) fn place(&self, stack: &Stack) -> Option<(FrameId, Whose)> {
        let mut best: Option<(FrameId, Whose)> = None;
        for id in &stack.frames {
            let whose = self.fact(*id).whose;
            if whose > best.map_or(Whose::Nobody, |(_, whose)| whose) {
                best = Some((*id, whose));
            }
        }
        best
    }

    /// The function that runs, if it is one of the program's or of a library that is not in every program.
    pub(super) fn innermost(&self, stack: &Stack) -> Option<FrameId> {
        let mut frames = stack.frames.iter();
        frames
            .find(|id| self.fact(**id).whose >= Whose::Library)
            .copied()
    }

    /// The user functions of a stack, the innermost first, as many as are kept of who had a lock.
    pub(super) fn functions(&self, stack: &Stack) -> Vec<String> {
        let frames = stack.frames.iter().map(|id| self.table.frame(*id));
        let user = frames.filter(|frame| frame.kind == FrameKind::User);
        let names = user.map(|frame| frame.function.to_string());
        names.take(crate::views::moments::FUNCTIONS).collect()
    }

    /// What stands for the innermost user function of a stack, where that has no name: `[file+0x…]`.
    pub(super) fn nameless(&self, stack: &Stack) -> Option<&str> {
        let frames = stack.frames.iter().map(|id| self.table.frame(*id));
        let mut user = frames.filter(|frame| frame.kind == FrameKind::User);
        let name = &*user.next()?.function;
        (name.starts_with('[') && name.contains("+0x")).then_some(name)
    }

    /// Whether a function of this name is in the stack.
    pub(super) fn has(&self, stack: &Stack, function: &str) -> bool {
        self.any(stack, |name| name == function)
    }

    /// Whether a function of a stack has a name that `is_meant`.
    pub(super) fn any(&self, stack: &Stack, is_meant: impl Fn(&str) -> bool) -> bool {
        let mut names = stack.frames.iter();
        names.any(|id| is_meant(&self.table.frame(*id).function))
    }

    /// The name of a function as sentences have it: `main.serve()`, `deflate() [libz.so.1]`, `ext4_sync_file [k]`.
    pub(super) fn name(&self, id: FrameId) -> String {
        let frame = self.table.frame(id);
        let name = crate::model::text::cut(&Name::of_frame(frame).text, 80);
        match self.fact(id).whose {
            Whose::Kernel => format!("{name} [k]"),
            Whose::Library => format!("{} [{}]", called(&name), base(self.table, frame)),
            Whose::Own | Whose::Nobody => called(&name),
        }
    }
}

/// The innermost of these functions, by name alone, that is a program's own; where none is, the innermost that does not take or
/// let go of locks.
pub(super) fn own(functions: &[String]) -> Option<&str> {
    const LOCKING: [&str; 7] = [
        "__",
        "lll_",
        "pthread_",
        "futex",
        "ObjectMonitor::",
        "ObjectSynchronizer::",
        "SharedRuntime::",
    ];
    let is_own = |name: &&String| Rank::of(&Name::plain(name)) == Rank::Own;
    let is_other = |name: &&String| {
        waits::function(name).is_none()
            && !name.starts_with('[')
            && !LOCKING.iter().any(|begin| name.starts_with(begin))
    };
    let mut own = functions.iter().filter(is_own);
    let found = own.next().or_else(|| functions.iter().find(is_other));
    found.map(String::as_str)
}

/// The name of a function as sentences have it.
pub(super) fn called(name: &str) -> String {
    if name.ends_with(')') || name.contains(":/") || name.contains(' ') {
        name.to_owned()
    } else {
        format!("{name}()")
    }
}

fn base<'a>(table: &'a FrameTable, frame: &Frame) -> &'a str {
    let path = frame.module.map_or("", |id| &table.module(id).path);
    path.rsplit('/').next().unwrap_or(path)
}

fn whose(table: &FrameTable, frame: &Frame) -> Whose {
    let name = Name::of_frame(frame);
    match Rank::of(&name) {
        Rank::None => Whose::Nobody,
        Rank::Kernel => Whose::Kernel,
        Rank::Own if name.kind == NameKind::StandIn => Whose::Nobody,
        Rank::Own => {
            let base = base(table, frame);
            if PLUMBING.iter().any(|library| base.starts_with(library)) {
                Whose::Nobody
            } else if base.contains(".so") {
                Whose::Library
            } else {
                Whose::Own
            }
        }
    }
}
