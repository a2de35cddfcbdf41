//! The colour of a frame: its state gives the hue, its kind the strength, a hash of its name the shade, so that a
//! function looks the same in every graph that shows it in that state.

use inferno::flamegraph::color::Color;

use crate::analysis::names::FIRST_MARK;
use crate::analysis::states::ViewState;
use crate::model::StateGroup;

/// Behind the frames.
pub(super) const BACKGROUND: Color = Color {
    r: 252,
    g: 252,
    b: 250,
};

/// The frame below all containers.
pub(super) const ROOT: Color = Color {
    r: 186,
    g: 191,
    b: 198,
};

/// Hue in degrees, saturation and lightness from 0 to 1.
type Hsl = [f64; 3];

/// The colours of the states, in the order of [`ViewState::ALL`]: strong where a thread is stalled, pale where it only
/// waits. They were searched for so that black text can be read on each, and each two can be told apart, also by
/// people who see no red or no green; a test keeps that so.
const STATES: [Hsl; ViewState::ALL.len()] = [
    [46.0, 0.95, 0.60],
    [274.0, 0.58, 0.80],
    [310.0, 0.71, 0.54],
    [225.0, 0.90, 0.64],
    [126.0, 0.57, 0.38],
    [150.0, 0.37, 0.60],
    [225.0, 0.55, 0.90],
    [60.0, 0.30, 0.86],
    [70.0, 0.80, 0.71],
    [202.0, 0.90, 0.53],
    [40.0, 0.45, 0.61],
    [221.0, 0.06, 0.52],
];

/// The kernel's part of the time on the CPU, which matters enough for a colour of its own.
const ON_CPU_KERNEL: Hsl = [5.0, 0.85, 0.56];

/// What a frame stands for, in the order of the legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// One of two graphs side by side.
    Section,
    /// A container, below everything of its own.
    Container,
    /// Threads of one name.
    Thread,
    /// A system call, below the stacks in it.
    Call,
    /// A state.
    State(ViewState),
    /// A function of the program.
    User(ViewState),
    /// A function that the compiler inlined.
    Inlined(ViewState),
    /// A function of the kernel.
    Kernel(ViewState),
}

impl Class {
    /// A character that ends the frame's name while inferno draws: its palette knows frames by name only,
    /// and one name may be a container's, a thread's and a function's.
    pub(super) fn mark(self) -> char {
        const KINDS: usize = 4;
        let number = match self {
            Self::Section => 0,
            Self::Container => 1,
            Self::Thread => 2,
            Self::Call => 3,
            Self::State(state) => 4 + KINDS * state.index(),
            Self::User(state) => 5 + KINDS * state.index(),
            Self::Inlined(state) => 6 + KINDS * state.index(),
            Self::Kernel(state) => 7 + KINDS * state.index(),
        };
        char::from_u32(FIRST_MARK as u32 + number as u32).unwrap_or(FIRST_MARK)
    }

    /// The middle of its range of colours, and the width of the range.
    fn range(self) -> (Hsl, Hsl) {
        const SHADES: Hsl = [6.0, 0.04, 0.06];
        match self {
            Self::Section => ([212.0, 0.12, 0.72], [0.0; 3]),
            Self::Container => ([212.0, 0.12, 0.80], [0.0; 3]),
            Self::Thread => ([212.0, 0.10, 0.88], [0.0; 3]),
            Self::Call => ([212.0, 0.20, 0.87], [0.0; 3]),
            Self::State(state) => (STATES[state.index()], [0.0; 3]),
            Self::User(state) => (STATES[state.index()], SHADES),
            Self::Inlined(state) => {
                let [hue, saturation, lightness] = STATES[state.index()];
                ([hue + 4.0, saturation * 0.8, lightness + 0.12], SHADES)
            }
            Self::Kernel(state) if state.group() == StateGroup::OnCpu => (ON_CPU_KERNEL, SHADES),
            Self::Kernel(state) => {
                let [hue, saturation, lightness] = STATES[state.index()];
                ([hue, saturation * 0.5, lightness - 0.02], SHADES)
            }
        }
    }
}

/// The colour of the frame with this name.
pub(super) fn of(name: &str, class: Class) -> Color {
    let hash = fnv1a(name.as_bytes());
    let part = |shift: u32| f64::from((hash >> shift) as u16) / f64::from(u16::MAX) - 0.5;
    let (middle, width) = class.range();
    hsl([
        middle[0] + width[0] * part(0),
        middle[1] + width[1] * part(16),
        middle[2] + width[2] * part(32),
    ])
}

/// The middle of the class's range, for the legend.
pub(super) fn typical(class: Class) -> Color {
    hsl(class.range().0)
}

/// A hash whose values never change between versions, unlike the standard library's.
fn fnv1a(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The shades are cut from different bits: mix, so that each depends on all of the name.
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn hsl([hue, saturation, lightness]: Hsl) -> Color {
    let (saturation, lightness) = (saturation.clamp(0.0, 1.0), lightness.clamp(0.0, 0.95));
    let chroma = (1.0 - (2.0 * lightness - 1.0).abs()) * saturation;
    let sector = hue.rem_euclid(360.0) / 60.0;
    let second = chroma * (1.0 - (sector % 2.0 - 1.0).abs());
    let (r, g, b) = match sector as u32 {
        0 => (chroma, second, 0.0),
        1 => (second, chroma, 0.0),
        2 => (0.0, chroma, second),
        3 => (0.0, second, chroma),
        4 => (second, 0.0, chroma),
        _ => (chroma, 0.0, second),
    };
    let base = lightness - chroma / 2.0;
    let byte = |part: f64| ((part + base) * 255.0).round() as u8;
    Color {
        r: byte(r),
        g: byte(g),
        b: byte(b),
    }
}

#[cfg(test)]
mod tests;
