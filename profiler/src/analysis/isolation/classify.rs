//! Which layer a sample in the kernel belongs to, by the functions on its stack.
//!
//! A sample goes to the innermost function that belongs to a layer. Four things are told from the functions further out:
//!
//! - a layer that hands on what was asked for is not charged for it: a read of a file on overlayfs is, below
//!   `vfs_iter_read`, the read that a volume would have had;
//! - what is done once more because of a layer is the layer's: routing of a packet that a virtual device handed over;
//! - a BPF program is its caller's: a filter's instructions are seccomp's;
//! - what happens in an interrupt is not the container's own, unless it was the thread itself that had raised a soft
//!   interrupt and now lets it happen.

use super::layers::{LAYERS, Layer, Row};
use super::marks::{
    DETOURS, EXIT, INTERRUPTS, LATE_RELEASE, OWN_PROGRAMS, OWN_SOFT_INTERRUPTS, RELEASE,
    RUNS_PROGRAMS, SLOW_ENTRY, SOFT_INTERRUPTS,
};
use super::pattern::{any_fits, bpf_program, layer_of, plain};

/// What a function means wherever it is on a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Function {
    layer: Option<Layer>,
    /// Layers, by bit, whose work it hands on.
    hands_on: u16,
    /// Layers, by bit, that have it done once more.
    repeats: u16,
    /// Layers, by bit, that what comes here came through.
    through: u16,
    /// The layer does extra work here, whatever it calls.
    keeps: bool,
    role: Role,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Role {
    #[default]
    Plain,
    /// No function of its own.
    Detour,
    /// Code of a BPF program.
    Program,
    /// The slow way of any system call into the kernel.
    SlowEntry,
    /// The release of a file that is put off until the thread leaves the kernel.
    LateRelease,
    /// The end of a thread.
    Exit,
    /// Overlayfs's, which lets go of the file below it.
    Release,
    SoftInterrupts,
    OwnSoftInterrupts,
    Interrupt,
}

/// What a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It belongs to this layer.
    Layer(Layer),
    /// It is on the slow way of a system call into the kernel: seccomp's, if the process has a filter.
    SlowEntry,
    /// It releases a file that something else has let go of: overlayfs's, if it was that.
    LateRelease,
}

impl Function {
    /// A function of the kernel: its symbol, and its module, `[kernel]` if it is in none.
    #[must_use]
    pub fn new(symbol: &str, module: &str) -> Self {
        let name = plain(symbol);
        if let Some(program) = bpf_program(name) {
            let is_own = OWN_PROGRAMS.contains(&program);
            return Self {
                layer: Some(if is_own { Layer::Ctprof } else { Layer::Bpf }),
                role: Role::Program,
                ..Self::default()
            };
        }
        let has = |list: &[&str]| any_fits(list, name);
        if has(RUNS_PROGRAMS) {
            return Self {
                layer: Some(Layer::Bpf),
                role: Role::Program,
                ..Self::default()
            };
        }
        let role = if has(DETOURS) {
            Role::Detour
        } else if has(SOFT_INTERRUPTS) {
            Role::SoftInterrupts
        } else if has(OWN_SOFT_INTERRUPTS) {
            Role::OwnSoftInterrupts
        } else if has(INTERRUPTS) {
            Role::Interrupt
        } else if has(SLOW_ENTRY) {
            Role::SlowEntry
        } else if name == LATE_RELEASE {
            Role::LateRelease
        } else if name == EXIT {
            Role::Exit
        } else if name == RELEASE {
            Role::Release
        } else {
            Role::Plain
        };
        let layer = layer_of(LAYERS, name, module);
        let layers = |list: fn(&Row) -> &[&str]| {
            let rows = LAYERS.iter().filter(|row| has(list(row)));
            rows.fold(0, |all, row| all | bit(row.layer))
        };
        Self {
            layer,
            hands_on: layers(|row| row.hands_on),
            repeats: layers(|row| row.repeats),
            through: layers(|row| row.through),
            keeps: layer.is_some_and(|layer| has(layer.row().keeps)),
            role,
        }
    }

    /// Whether it says anything of a stack that it is on.
    #[must_use]
    pub fn matters(&self) -> bool {
        *self != Self::default()
    }

    /// Whether it is overlayfs's release of a file, which lets go of the file below.
    #[must_use]
    pub fn is_release(&self) -> bool {
        self.role == Role::Release
    }

    /// Whether it is where the release of a file happens that was put off.
    #[must_use]
    pub fn is_late_release(&self) -> bool {
        self.role == Role::LateRelease
    }

    /// Whether only threads with a filter get here.
    #[must_use]
    pub fn is_filter(&self) -> bool {
        self.layer == Some(Layer::Seccomp) && self.role != Role::SlowEntry
    }
}

const fn bit(layer: Layer) -> u16 {
    1 << layer as u16
}

/// What a sample is with these functions of the kernel on its stack, the innermost first; `None` if it is of no layer.
#[must_use]
pub fn classify(functions: impl IntoIterator<Item = Function>) -> Option<Found> {
    let mut found = None;
    let (mut handed_on, mut inside, mut repeated) = (0, 0, 0);
    let mut program = None;
    let mut is_soft = false;
    for function in functions {
        match function.role {
            Role::Detour => continue,
            Role::Interrupt if is_soft => return Some(Found::Layer(Layer::Softirq)),
            // A hard interrupt: for whomever it may be.
            Role::Interrupt => return None,
            Role::OwnSoftInterrupts if is_soft => return found,
            Role::Exit if found == Some(Found::LateRelease) => return None,
            Role::SoftInterrupts => {
                is_soft = true;
                found = found.or(program.take().map(Found::Layer));
                continue;
            }
            _ if is_soft || found.is_some() => continue,
            Role::Program => {
                program = program.or(function.layer);
                continue;
            }
            _ => {}
        }
        if let Some(program) = program.take() {
            let is_filter = function.is_filter();
            let layer = if is_filter { Layer::Seccomp } else { program };
            found = Some(Found::Layer(layer));
            continue;
        }
        repeated |= function.repeats;
        let of = repeated & (function.layer.map_or(0, bit) | function.through);
        if let Some(layer) = Layer::all().find(|it| of & bit(*it) != 0) {
            found = Some(Found::Layer(layer));
        } else if let Some(layer) = function.layer
            && (handed_on & bit(layer) == 0 || function.keeps)
        {
            found = Some(match function.role {
                Role::SlowEntry => Found::SlowEntry,
                _ => Found::Layer(layer),
            });
        }
        // What hands on is the layer's own way there: only what it calls is not.
        handed_on |= function.hands_on & inside;
        inside |= !function.hands_on;
        if function.role == Role::LateRelease && found.is_none() {
            found = Some(Found::LateRelease);
        }
    }
    if is_soft {
        return Some(Found::Layer(Layer::Softirq));
    }
    found.or(program.map(Found::Layer))
}
