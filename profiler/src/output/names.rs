//! Names as the files and the report carry them.
//!
//! Function, thread and container names come from inside containers: they may hold the separators of a
//! format, characters that XML forbids, or end in something that reads as a count. Every format takes its
//! names from here, so that a stack reads the same in all of them and a recording read back is the recording.

use std::collections::HashMap;

use super::states::ViewState;
use crate::model::text::printable;
use crate::model::{ContainerIdentity, Frame, FrameKind, StateGroup, stand_in};

/// Names are cut here: a hostile symbol table may hold one of many megabytes.
const MAX_CHARS: usize = 1000;

/// Ends the name of a kernel frame, as in every other folded format.
pub const KERNEL_SUFFIX: &str = "_[k]";
/// Ends the name of a function that was inlined into the next frame towards the root.
pub const INLINED_SUFFIX: &str = "_[i]";

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
    clean(name, MAX_CHARS)
}

/// [`field`] for a name that a file holds: suffixes may have made it longer than the limit.
#[must_use]
pub(super) fn field_read_back(name: &str) -> String {
    clean(name, usize::MAX)
}

fn clean(name: &str, max_chars: usize) -> String {
    let mut out: String = printable(name, max_chars)
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

/// The frame's name with the suffix that tells its kind.
#[must_use]
pub fn frame(frame: &Frame) -> String {
    let mut name = field(&frame.function);
    // A user function called "x_[k]" must not pass for the kernel's.
    if name.ends_with(KERNEL_SUFFIX) || name.ends_with(INLINED_SUFFIX) {
        name.truncate(name.len() - 1);
        name.push(')');
    }
    match frame.kind {
        FrameKind::Kernel => name.push_str(KERNEL_SUFFIX),
        FrameKind::User if frame.inlined => name.push_str(INLINED_SUFFIX),
        FrameKind::User => {}
    }
    name
}

/// What stands in for the frames of time in a state that no stack of the container accounts for.
#[must_use]
pub const fn rest_of(state: ViewState) -> &'static str {
    match state.group() {
        StateGroup::OnCpu => stand_in::NOT_SAMPLED,
        _ => stand_in::NO_STACK,
    }
}

/// Whether the name stands in for frames that are not there.
#[must_use]
pub fn is_stand_in(name: &str) -> bool {
    stand_in::ALL.contains(&name)
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
    let mut taken = std::collections::HashSet::new();
    identities
        .into_iter()
        .map(|identity| {
            let plain = plain_label(identity);
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
    use crate::model::Pod;
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
        assert_eq!(frame(&user), "evil_[k)");
        user.inlined = true;
        assert_eq!(frame(&user), "evil_[k)_[i]");
        user.kind = FrameKind::Kernel;
        user.function = "vfs_read".into();
        assert_eq!(frame(&user), "vfs_read_[k]");
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
        ];
        assert_eq!(
            labels(all.iter()),
            [
                "web (0123456789ab)",
                "web (fedcba987654)",
                "db",
                "shop/web-7f9c/app",
                "x (/same)",
                "x (/same) #2"
            ]
        );
    }

    proptest! {
        #[test]
        fn fields_are_safe_and_stable(name in "\\PC*|[ ;#0-9.\\[\\]k_\u{0}-\u{20}\u{e000}\u{fffe}]*") {
            let once = field(&name);
            prop_assert_eq!(field(&once), once.clone());
            prop_assert_eq!(field_read_back(&once), once.clone());
            prop_assert!(!once.is_empty() && once.trim() == once && !once.contains(';'));
            prop_assert!(!once.chars().any(char::is_control));
        }
    }
}
