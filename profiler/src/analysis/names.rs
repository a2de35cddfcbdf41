//! What things are called wherever a recording is shown: functions, threads, rows.
//!
//! Function, thread and container names come from inside containers: they may hold the separators of a
//! format, characters that XML forbids, or end in something that reads as a count. Everything that shows stacks takes
//! their names from here, so that a stack reads the same everywhere.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::states::ViewState;
use crate::model::text::printable;
use crate::model::{ContainerIdentity, Frame, FrameKind, StateGroup, stand_in};

/// Names are cut here: a hostile symbol table may hold one of many megabytes.
const MAX_CHARS: usize = 1000;

/// Stands for the thread of time that is known for the container as a whole.
pub const ANY_THREAD: &str = "[any]";

/// First of the characters that the flame graph uses for itself, taken out of names.
pub const FIRST_MARK: char = '\u{e000}';
/// Last of the characters that the flame graph uses for itself.
pub const LAST_MARK: char = '\u{e03f}';

/// `name` as one field of a folded line: not empty, no control character, no `;` (it becomes `:`), no
/// white space at either end and nothing at the end that reads as a count.
///
/// Applied to its own result it changes nothing.
#[must_use]
pub fn field(name: &str) -> String {
    let mut out: String = printable(name, MAX_CHARS)
        .chars()
        .map(|c| match c {
            ';' => ':',
            FIRST_MARK..=LAST_MARK | '\u{fffe}' | '\u{ffff}' => '?',
            c => c,
        })
        .collect();
    if out.is_empty() {
        return "[unnamed]".to_owned();
    }
    replace_outer_white_space(&mut out);
    // "f 1.5" before a count would be two counts: a differential line.
    if let Some(space) = out.rfind(' ')
        && out[space + 1..]
            .bytes()
            .all(|b| b.is_ascii_digit() || b == b'.')
    {
        out.replace_range(space..=space, "_");
    }
    // A line that starts with "# " is a comment.
    if out.starts_with("# ") {
        out.replace_range(1..2, "_");
    }
    out
}

fn replace_outer_white_space(text: &mut String) {
    let inner = text.trim();
    if inner.len() == text.len() {
        return;
    }
    let before = text.chars().take_while(|c| c.is_whitespace()).count();
    let after = if inner.is_empty() {
        0
    } else {
        text.chars().rev().take_while(|c| c.is_whitespace()).count()
    };
    *text = format!("{}{inner}{}", "_".repeat(before), "_".repeat(after));
}

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NameKind {
    /// A function of a program, a thread, or a system call.
    Plain,
    /// A function of a program that was inlined into the next frame towards the root.
    Inlined,
    /// A function of the kernel.
    Kernel,
    /// Nothing: it says why what it stands for is not known.
    StandIn,
}

impl NameKind {
    /// What ends such a name in formats that have no other place to say it, as in every folded format. No name of a
    /// program ends so.
    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Kernel => "_[k]",
            Self::Inlined => "_[i]",
            Self::Plain | Self::StandIn => "",
        }
    }
}

/// A name of a frame or a thread, clean for every format. Names are in the order of their bytes as folded stacks have
/// them, with the [mark](NameKind::mark) of their kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// The name itself, without a mark.
    pub text: Arc<str>,
    /// What it names.
    pub kind: NameKind,
}

impl Name {
    /// The name of a frame.
    #[must_use]
    pub fn of_frame(frame: &Frame) -> Self {
        let kind = match frame.kind {
            FrameKind::StandIn => NameKind::StandIn,
            FrameKind::Kernel => NameKind::Kernel,
            FrameKind::User if frame.inlined => NameKind::Inlined,
            FrameKind::User => NameKind::Plain,
        };
        Self::new(&frame.function, kind)
    }

    /// The name of a thread or a system call.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Self::new(name, NameKind::Plain)
    }

    /// A name for what is not known.
    #[must_use]
    pub fn stand_in(name: &'static str) -> Self {
        Self {
            text: name.into(),
            kind: NameKind::StandIn,
        }
    }

    fn new(name: &str, kind: NameKind) -> Self {
        let mut text = field(name);
        // What a program calls "x_[k]" must not pass for the kernel's, nor "[no stack]" for ours.
        let is_marked = [NameKind::Kernel, NameKind::Inlined]
            .iter()
            .any(|kind| text.ends_with(kind.mark()));
        if is_marked || kind != NameKind::StandIn && is_stand_in(&text) {
            text.pop();
            text.push(')');
        }
        Self {
            text: text.into(),
            kind,
        }
    }

    /// Whether it stands in for what is not known.
    #[must_use]
    pub fn is_stand_in(&self) -> bool {
        self.kind == NameKind::StandIn
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        let folded = self.text.bytes().chain(self.kind.mark().bytes());
        let other_folded = other.text.bytes().chain(other.kind.mark().bytes());
        folded
            .cmp(other_folded)
            .then_with(|| self.kind.cmp(&other.kind))
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What stands in for the frames of time in a state that no stack of the container accounts for.
#[must_use]
pub const fn rest_of(state: ViewState) -> &'static str {
    match state.group() {
        StateGroup::OnCpu => stand_in::NOT_SAMPLED,
        _ => stand_in::NO_STACK,
    }
}

fn is_stand_in(text: &str) -> bool {
    text == ANY_THREAD || stand_in::ALL.contains(&text)
}

/// A name that tells this container from every other of the recording: `name`, or `namespace/pod/name`
/// in Kubernetes; where that is taken, the start of the id or the cgroup is added, then a number.
///
/// The result has one entry for each identity, in the same order.
#[must_use]
pub fn labels<'a>(identities: impl Iterator<Item = &'a ContainerIdentity>) -> Vec<String> {
    let identities: Vec<&ContainerIdentity> = identities.collect();
    let mut uses: HashMap<String, usize> = HashMap::new();
    for identity in &identities {
        *uses.entry(plain_label(identity)).or_default() += 1;
    }
    // A container that calls itself so is told apart from them, not they from it.
    let is_fixed = |identity: &ContainerIdentity| identity.is_host() || identity.is_kernel();
    let fixed = identities.iter().filter(|identity| is_fixed(identity));
    let mut taken: HashSet<String> = fixed.map(|identity| plain_label(identity)).collect();
    identities
        .into_iter()
        .map(|identity| {
            let plain = plain_label(identity);
            if is_fixed(identity) {
                return plain;
            }
            let label = if uses.get(&plain) == Some(&1) {
                plain
            } else {
                field(&format!("{plain} ({})", distinction(identity)))
            };
            let mut unique = label.clone();
            let mut number = 2_u64;
            while !taken.insert(unique.clone()) {
                unique = format!("{label} #{number}");
                number += 1;
            }
            unique
        })
        .collect()
}

fn plain_label(identity: &ContainerIdentity) -> String {
    match &identity.pod {
        Some(pod) => field(&format!("{}/{}/{}", pod.namespace, pod.name, identity.name)),
        None => field(&identity.name),
    }
}

fn distinction(identity: &ContainerIdentity) -> String {
    if identity.id.is_empty() {
        identity.cgroup.clone()
    } else {
        identity.id.chars().take(12).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Pod, Runtime};
    use proptest::prelude::*;

    #[test]
    fn separators_and_control_characters_are_replaced() {
        assert_eq!(field("a;b\nc\x1b[0m"), "a:b?c?[0m");
        assert_eq!(field("  x y\u{a0}"), "__x y_");
        assert_eq!(field("   "), "___");
        assert_eq!(field(""), "[unnamed]");
        assert_eq!(field("# note"), "#_note");
        assert_eq!(field("operator 15"), "operator_15");
        assert_eq!(field("v 1.5"), "v_1.5");
        assert_eq!(field("f(int) const"), "f(int) const");
        assert_eq!(field("\u{e000}\u{ffff}"), "??");
    }

    #[test]
    fn a_function_cannot_pass_for_the_kernels() {
        let mut user = Frame {
            function: "evil_[k]".into(),
            kind: FrameKind::User,
            module: None,
            address: 0,
            inlined: false,
            file: None,
            line: 0,
        };
        let name = |frame: &Frame| {
            let name = Name::of_frame(frame);
            (name.text.to_string(), name.kind)
        };
        assert_eq!(name(&user), ("evil_[k)".to_owned(), NameKind::Plain));
        user.inlined = true;
        assert_eq!(name(&user), ("evil_[k)".to_owned(), NameKind::Inlined));
        user.kind = FrameKind::Kernel;
        user.function = "vfs_read".into();
        assert_eq!(name(&user), ("vfs_read".to_owned(), NameKind::Kernel));
        user.function = stand_in::NO_STACK.into();
        user.kind = FrameKind::StandIn;
        assert_eq!(name(&user), ("[no stack]".to_owned(), NameKind::StandIn));
        // Nor for what ctprof itself says.
        user.kind = FrameKind::User;
        user.inlined = false;
        assert_eq!(name(&user), ("[no stack)".to_owned(), NameKind::Plain));
        assert_eq!(&*Name::plain(ANY_THREAD).text, "[any)");
    }

    #[test]
    fn names_are_in_the_order_of_folded_lines() {
        let name = |text: &str, kind| Name {
            text: text.into(),
            kind,
        };
        let mut names = [
            name("read", NameKind::Kernel),
            name("read", NameKind::Plain),
            name("read1", NameKind::Kernel),
            name("read_all", NameKind::Kernel),
            name("read", NameKind::Inlined),
        ];
        names.sort();
        let folded = names.map(|name| format!("{}{}", name.text, name.kind.mark()));
        assert_eq!(
            folded,
            ["read", "read1_[k]", "read_[i]", "read_[k]", "read_all_[k]"]
        );
    }

    #[test]
    fn labels_tell_containers_of_one_name_apart() {
        let named = |name: &str, id: &str, cgroup: &str| ContainerIdentity {
            name: name.into(),
            id: id.into(),
            cgroup: cgroup.into(),
            ..Default::default()
        };
        let mut pod = named("app", "", "");
        pod.pod = Some(Pod {
            namespace: "shop".into(),
            name: "web-7f9c".into(),
        });
        let all = [
            named("web", "0123456789abcdef", "/a"),
            named("web", "fedcba9876543210", "/b"),
            named("db", "", "/c"),
            pod,
            named("x", "", "/same"),
            named("x", "", "/same"),
            named("host", "ca11ab1e", "/d"),
            ContainerIdentity {
                runtime: Runtime::Host,
                ..named("host", "", "")
            },
        ];
        assert_eq!(
            labels(all.iter()),
            [
                "web (0123456789ab)",
                "web (fedcba987654)",
                "db",
                "shop/web-7f9c/app",
                "x (/same)",
                "x (/same) #2",
                "host (ca11ab1e)",
                "host"
            ]
        );
    }

    proptest! {
        #[test]
        fn fields_are_safe_and_stable(name in "\\PC*|[ ;#0-9.\\[\\]k_\u{0}-\u{20}\u{e000}\u{fffe}]*") {
            let once = field(&name);
            prop_assert_eq!(field(&once), once.clone());
            prop_assert!(!once.is_empty() && once.trim() == once && !once.contains(';'));
            prop_assert!(!once.chars().any(char::is_control));
        }
    }
}
