//! What a row says: the rules of a description, as far as 8 bytes can hold them.

use ctprof_ebpf::abi::unwind::{Row, bp, cfa};
use gimli::{
    CfaRule, EndianSlice, LittleEndian, RegisterRule, UnwindExpression, UnwindTableRow, X86_64,
};

const DW_OP_DEREF: u8 = 0x06;
const DW_OP_PLUS: u8 = 0x22;
const DW_OP_PLUS_UCONST: u8 = 0x23;
const DW_OP_LIT0: u8 = 0x30;
const DW_OP_LIT31: u8 = 0x4f;
const DW_OP_BREG_RBP: u8 = 0x76;
const DW_OP_BREG_RSP: u8 = 0x77;

/// What the linkers say of an entry of a procedure linkage table: `breg_rsp 8, breg_rip 0, lit15, and, litN, ge, lit3, shl,
/// plus`, without the number N.
const PLT: (&[u8], &[u8]) = (
    &[DW_OP_BREG_RSP, 8, 0x80, 0, 0x3f, 0x1a],
    &[0x2a, 0x33, 0x24, DW_OP_PLUS],
);

/// Places in the `ucontext` that a signal handler returns to, from the stack pointer.
const UCONTEXT_RBP: i64 = 120;
const UCONTEXT_RSP: i64 = 160;
const UCONTEXT_RIP: i64 = 168;

/// Everything of a [`Row`] but its address, as the upper half of its word.
pub(super) type Rule = u32;

/// Nothing is described.
pub(super) const NONE: Rule = rule(cfa::NONE, 0, 0);
/// Something is, but rows cannot hold it.
pub(super) const UNKNOWN: Rule = rule(cfa::UNKNOWN, 0, 0);
/// As a function begins, and, mostly, ends.
pub(super) const CALLED: Rule = rule(cfa::SP, bp::SAME, 1);

/// The outermost function of a stack.
pub(super) const END: Rule = rule(cfa::END, bp::SAME, 0);
/// Where a signal handler returns to.
pub(super) const SIGNAL: Rule = rule(cfa::SIGNAL, bp::SAME, 0);
/// The caller is on another stack, to which the frame pointer leads.
pub(super) const SWITCHED: Rule = rule(cfa::SWITCHED, -2, 2);

/// The stack pointer is so many bytes below the return address, beside which the caller's frame pointer is.
pub(super) fn below_saved(depth: i32) -> Option<Rule> {
    made(cfa::SP, -2, i64::from(depth) + 8)
}

/// The CFA so many bytes above the register that it counts from; `None` if a row cannot hold that.
pub(super) fn made(cfa: u8, bp: i8, bytes: i64) -> Option<Rule> {
    Some(rule(cfa, bp, words(bytes)?))
}

const fn rule(cfa: u8, bp: i8, offset: i16) -> Rule {
    let row = Row {
        address: 0,
        cfa,
        bp,
        offset,
    };
    (row.to_word() >> 32) as Rule
}

/// The rule of a row of a description, whose expressions are in `section`.
pub(super) fn of_row(row: &UnwindTableRow<usize>, section: &[u8]) -> Rule {
    match row.register(X86_64::RA) {
        Some(RegisterRule::Undefined) => return END,
        Some(RegisterRule::Offset(-8)) => {}
        Some(RegisterRule::Expression(ip)) => return signal(row, ip, section).unwrap_or(UNKNOWN),
        _ => return UNKNOWN,
    }
    let found = match *row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => match register {
            // It holds a return address, at least.
            X86_64::RSP if offset >= 8 => words(offset).map(|offset| (cfa::SP, offset)),
            X86_64::RBP => words(offset).map(|offset| (cfa::BP, offset)),
            _ => None,
        },
        CfaRule::Expression(expression) => bytes(expression, section).and_then(by_expression),
    };
    match found {
        Some((cfa, offset)) => rule(cfa, frame_pointer(row, section), offset),
        None => UNKNOWN,
    }
}

/// Where the caller's frame pointer is.
fn frame_pointer(row: &UnwindTableRow<usize>, section: &[u8]) -> i8 {
    match row.register(X86_64::RBP) {
        None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => bp::SAME,
        Some(RegisterRule::Offset(offset)) => words(offset)
            .and_then(|words| i8::try_from(words).ok())
            .filter(|words| *words < 0)
            .unwrap_or(bp::LOST),
        Some(RegisterRule::Expression(expression)) => {
            let at = bytes(expression, section).and_then(|it| based(it, DW_OP_BREG_RBP));
            match at {
                Some((offset, [])) => words(offset)
                    .filter(|words| *words >= 0)
                    .and_then(|words| i8::try_from(words.checked_add(bp::AT_BP.into())?).ok())
                    .filter(|place| *place != bp::LOST)
                    .unwrap_or(bp::LOST),
                _ => bp::LOST,
            }
        }
        _ => bp::LOST,
    }
}

/// A CFA that is calculated.
fn by_expression(bytes: &[u8]) -> Option<(u8, i16)> {
    if let Some([literal, rest @ ..]) = bytes.strip_prefix(PLT.0)
        && (DW_OP_LIT0..=DW_OP_LIT31).contains(literal)
        && rest == PLT.1
    {
        return Some((cfa::PLT, (literal - DW_OP_LIT0).into()));
    }
    if let Some((offset, [DW_OP_DEREF])) = based(bytes, DW_OP_BREG_RBP) {
        return Some((cfa::AT_BP, words(offset)?));
    }
    const LIT8: u8 = DW_OP_LIT0 + 8;
    match based(bytes, DW_OP_BREG_RSP)? {
        (offset, [DW_OP_DEREF, DW_OP_PLUS_UCONST, 8] | [DW_OP_DEREF, LIT8, DW_OP_PLUS]) => {
            Some((cfa::AT_SP_PLUS_8, words(offset)?))
        }
        _ => None,
    }
}

/// The rule of code to which signal handlers return, which everything has its place in the `ucontext` for.
fn signal(
    row: &UnwindTableRow<usize>,
    ip: UnwindExpression<usize>,
    section: &[u8],
) -> Option<Rule> {
    let at = |expression| based(bytes(expression, section)?, DW_OP_BREG_RSP);
    let (CfaRule::Expression(sp), Some(RegisterRule::Expression(rbp))) =
        (row.cfa(), row.register(X86_64::RBP))
    else {
        return None;
    };
    let is_known = matches!(at(*sp)?, (UCONTEXT_RSP, [DW_OP_DEREF]))
        && matches!(at(ip)?, (UCONTEXT_RIP, []))
        && matches!(at(rbp)?, (UCONTEXT_RBP, []));
    is_known.then_some(SIGNAL)
}

/// So many whole words.
fn words(bytes: i64) -> Option<i16> {
    (bytes % 8 == 0).then(|| i16::try_from(bytes / 8).ok())?
}

fn bytes(expression: UnwindExpression<usize>, section: &[u8]) -> Option<&[u8]> {
    let end = expression.offset.checked_add(expression.length)?;
    section.get(expression.offset..end)
}

/// A register with an offset (`DW_OP_bregN`), and what follows it.
fn based(bytes: &[u8], register: u8) -> Option<(i64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first != register {
        return None;
    }
    let mut rest = EndianSlice::new(rest, LittleEndian);
    let offset = gimli::leb128::read::signed(&mut rest).ok()?;
    Some((offset, rest.slice()))
}
