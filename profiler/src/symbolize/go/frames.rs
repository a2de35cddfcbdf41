//! How Go's functions move the stack pointer: what the runtime itself goes by when it walks a stack.

use super::layout::{Layout, PAIR, Place, field, flags};
use super::program::Program;
use crate::symbolize::elf::{Header, Numbers as _, ReadError, Source, Window};

/// Largest part with programs: that of a large program (Kubernetes) is 10 MB.
const MAX_PROGRAMS: u64 = 32 << 20;

/// Read at once of functions and their records.
const PIECE: u64 = 64 << 10;

/// Longest name that is of interest here.
const NAME: u64 = 48;

/// The functions of a Go program, one after the other, without the whole table in memory.
pub(crate) struct GoFrames<'a> {
    layout: Layout,
    source: &'a Source,
    place: Place,
    programs: Vec<u8>,
}

/// A function.
pub(crate) struct GoFrame<'a> {
    /// Its first address.
    pub(crate) begin: u64,
    /// The address behind it.
    pub(crate) end: u64,
    pub(crate) kind: Kind,
    programs: &'a [u8],
    program: usize,
    quantum: u64,
}

/// How a function uses the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As the program says.
    Usual,
    /// The runtime ends stacks here, for nobody has called it, or it never returns to who has.
    Root,
    /// It goes on on another stack and comes back; its frame pointer keeps where it was.
    Switches,
    /// Signal handlers return to it.
    Restorer,
    /// It moves the stack pointer in ways that are told nowhere.
    Unknown,
}

impl<'a> GoFrames<'a> {
    /// Those of a Go program; `None` if it is not one, or one that cannot be read.
    pub(crate) fn read(source: &'a Source, header: &Header) -> Result<Option<Self>, ReadError> {
        let found = Place::find(source, header)
            .and_then(|place| Some((Layout::read(source, header, &place)?, place)));
        let Some((layout, place)) = found else {
            return Ok(None);
        };
        let size = layout.functions.checked_sub(layout.programs);
        let size = size.ok_or(ReadError::Malformed)? as u64;
        let offset = place.offset.checked_add(layout.programs as u64);
        let offset = offset.ok_or(ReadError::Malformed)?;
        Ok(Some(Self {
            programs: source.read(offset, size, MAX_PROGRAMS)?,
            layout,
            source,
            place,
        }))
    }

    /// Calls `visit` with each function, by address, until it says otherwise.
    pub(crate) fn each<E: From<ReadError>>(
        &self,
        mut visit: impl FnMut(GoFrame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let layout = &self.layout;
        let window = || Window::new(self.source, self.place.offset, self.place.size, PIECE);
        let (mut pairs, mut records) = (window(), window());
        let functions = layout.functions as u64;
        for number in 0..layout.count as u64 {
            let pair = functions + number * PAIR as u64;
            let (begin, record) = (pairs.u32(pair)?, pairs.u32(pair + 4)?);
            let end = pairs.u32(pair + PAIR as u64)?;
            let record = records.get(functions + u64::from(record), layout.fixed_size() as u64)?;
            let numbered = |number: usize| record.u32_at(number * 4).ok_or(ReadError::Malformed);
            let flags = record[layout.fixed_size() - flags::BEFORE_END];
            let program = numbered(field::STACK)? as usize;
            let name = numbered(field::NAME)?;
            visit(GoFrame {
                begin: layout.text.wrapping_add(begin.into()),
                end: layout.text.wrapping_add(end.into()),
                kind: self.kind(flags, name),
                programs: &self.programs,
                program,
                quantum: layout.quantum,
            })?;
        }
        Ok(())
    }

    fn kind(&self, flags: u8, name: u32) -> Kind {
        if flags & (flags::TOP_FRAME | flags::WRITES_SP | flags::ASSEMBLY) == 0 {
            return Kind::Usual;
        }
        let at = self.place.offset + self.layout.names as u64 + u64::from(name);
        let bytes = self.source.read_some(at, NAME).unwrap_or_default();
        let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        kind(flags, name)
    }
}

/// What the flags leave open, the names tell: the numbers that the runtime knows its functions by change with its version.
fn kind(flags: u8, name: &[u8]) -> Kind {
    let name = name.strip_suffix(b".abi0").unwrap_or(name);
    match name {
        // What called the handler is told by the code that the handler returns to.
        b"runtime.sigtramp" | b"runtime.cgoSigtramp" => Kind::Usual,
        b"runtime.sigreturn" | b"runtime.sigreturn__sigaction" => Kind::Restorer,
        // It makes its frame valid on both stacks.
        b"runtime.cgocallback" => Kind::Usual,
        // They leave a goroutine, which goes on elsewhere while the scheduler runs on this stack.
        b"runtime.mcall" | b"runtime.gogo" | b"gogo" | b"runtime.morestack" => Kind::Root,
        _ if flags & flags::TOP_FRAME != 0 => Kind::Root,
        _ if flags & flags::WRITES_SP == 0 => Kind::Usual,
        b"time.now" => Kind::Switches,
        _ if name.starts_with(b"runtime.") => Kind::Switches,
        _ => Kind::Unknown,
    }
}

impl GoFrame<'_> {
    /// How far the stack pointer is below where it was when the function began, in bytes, each from an address on: up to the
    /// next one, or the end.
    pub(crate) fn depths(&self) -> impl Iterator<Item = (u64, i32)> + '_ {
        let program = (self.program != 0).then(|| Program::new(self.programs, self.program));
        let mut at = self.begin;
        program.into_iter().flatten().map_while(move |step| {
            let from = at;
            at = at.checked_add(u64::from(step.length) * self.quantum)?;
            (from < self.end).then_some((from, step.value))
        })
    }
}
