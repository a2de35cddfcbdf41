//! The user half of a stack, with the callers that unwinding by frame pointers skips.

use foldhash::HashMap;

use crate::model::{CallerAt, FrameId, Resolved};

/// Adds the frames of a user stack that was unwound by frame pointers, and returns the outermost one.
///
/// The caller of a function without a frame pointer is not among the addresses. That of the leaf, and its callers without
/// one, are taken from where their unwind tables say that they are, if their addresses were `saved`; where a caller is
/// known to be missing, `skipped` stands for it.
pub(super) fn user_frames<'a>(
    addresses: impl Iterator<Item = u64>,
    saved: &[(u32, u64)],
    known: &'a HashMap<u64, Resolved>,
    skipped: FrameId,
    frames: &mut Vec<FrameId>,
) -> Option<&'a Resolved> {
    let mut outermost: Option<&Resolved> = None;
    for (depth, address) in addresses.enumerate() {
        let Some(resolved) = known.get(&address) else {
            continue;
        };
        // The leaf is where the CPU was, mapped or not.
        if depth > 0 && !resolved.is_code {
            break;
        }
        if let Some(Resolved {
            caller: CallerAt::Stack(_),
            is_root,
            ..
        }) = outermost
        {
            // What calls the first function of a thread is another such function, or noise that the registers held.
            if *is_root && depth > 1 {
                if !resolved.is_root {
                    break;
                }
            } else {
                frames.push(skipped);
            }
        }
        frames.extend_from_slice(&resolved.frames);
        outermost = Some(resolved);
        if depth == 0 {
            let callers = saved_callers(resolved, saved, known);
            for caller in &callers {
                frames.extend_from_slice(&caller.frames);
            }
            outermost = callers.last().copied().or(outermost);
            if callers.last().is_some_and(|caller| caller.is_root) {
                break;
            }
        }
    }
    outermost
}

/// The callers of a leaf up to the first that has a frame pointer, as far as their addresses were saved.
fn saved_callers<'a>(
    leaf: &Resolved,
    saved: &[(u32, u64)],
    known: &'a HashMap<u64, Resolved>,
) -> Vec<&'a Resolved> {
    let mut callers: Vec<&Resolved> = Vec::new();
    let mut at = leaf.caller;
    // Of the stack pointer, where the function that is looked at had it.
    let mut pointer: u32 = 0;
    while let CallerAt::Stack(offset) = at {
        let place = pointer.saturating_add(offset);
        let caller = saved
            .iter()
            .find(|(other, _)| *other == place)
            .and_then(|(_, address)| known.get(address))
            .filter(|caller| caller.is_code);
        let Some(caller) = caller else {
            break;
        };
        callers.push(caller);
        at = caller.caller;
        pointer = place.saturating_add(8);
    }
    callers
}

#[cfg(test)]
mod tests {
    use super::user_frames;
    use crate::model::{CallerAt, FrameId, Resolved};

    const SKIPPED: u32 = 99;

    /// Frames that these functions (address, whether threads begin there, where the caller is) make of a stack, and whether
    /// they reach the root. A function's frame is its address.
    fn made(
        functions: &[(u64, bool, CallerAt)],
        stack: &[u64],
        saved: &[(u32, u64)],
    ) -> (Vec<u32>, bool) {
        let known = functions.iter().map(|(address, is_root, caller)| {
            let resolved = Resolved {
                frames: vec![FrameId(*address as u32)],
                is_root: *is_root,
                is_code: true,
                caller: *caller,
            };
            (*address, resolved)
        });
        let known = known.collect();
        let mut frames = Vec::new();
        let stack = stack.iter().copied();
        let outermost = user_frames(stack, saved, &known, FrameId(SKIPPED), &mut frames);
        let reaches_root = outermost.is_some_and(|it| it.is_root);
        (frames.iter().map(|id| id.0).collect(), reaches_root)
    }

    const FP: CallerAt = CallerAt::FramePointer;
    const START: u64 = 1;
    const MAIN: u64 = 2;
    const SERVE: u64 = 3;
    const LIMIT: u64 = 4;
    const USLEEP: u64 = 5;
    const NANOSLEEP: u64 = 6;

    /// `main > serve > rate_limit > usleep > nanosleep`: the last two without a frame pointer.
    const FUNCTIONS: [(u64, bool, CallerAt); 6] = [
        (START, true, CallerAt::Stack(0x88)),
        (MAIN, false, FP),
        (SERVE, false, FP),
        (LIMIT, false, FP),
        (USLEEP, false, CallerAt::Stack(0x28)),
        (NANOSLEEP, false, CallerAt::Stack(0)),
    ];

    #[test]
    fn saved_callers_are_put_where_they_are_missing() {
        let stack = [NANOSLEEP, SERVE, MAIN, START];
        // With an old one in a place that nothing asks for.
        let saved = [(0, USLEEP), (16, MAIN), (0x30, LIMIT)];
        assert_eq!(
            made(&FUNCTIONS, &stack, &saved),
            (vec![6, 5, 4, 3, 2, 1], true)
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        let stack = [NANOSLEEP, SERVE, MAIN, START];
        assert_eq!(
            made(&FUNCTIONS, &stack, &[]),
            (vec![6, SKIPPED, 3, 2, 1], true)
        );
        // Up to where they were saved.
        assert_eq!(
            made(&FUNCTIONS, &stack, &[(0, USLEEP)]),
            (vec![6, 5, SKIPPED, 3, 2, 1], true)
        );
        // Nothing is between two functions that have frame pointers, nor behind the last frame.
        assert_eq!(made(&FUNCTIONS, &[LIMIT, SERVE], &[]), (vec![4, 3], false));
        assert_eq!(made(&FUNCTIONS, &[NANOSLEEP], &[]), (vec![6], false));
    }

    #[test]
    fn behind_the_start_of_a_thread_is_noise() {
        assert_eq!(
            made(&FUNCTIONS, &[LIMIT, START, SERVE, MAIN], &[]),
            (vec![4, 1], true)
        );
        // A thread that begins another one sleeps in a function where threads begin.
        assert_eq!(
            made(&FUNCTIONS, &[START, MAIN], &[]),
            (vec![1, SKIPPED, 2], false)
        );
    }
}
