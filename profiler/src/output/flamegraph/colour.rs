//! The colour of a frame: its class gives the hue, a hash of its name the shade, so that a function has the
//! same colour in every graph.

use inferno::flamegraph::color::Color;

use crate::model::StateGroup;
use crate::output::names::FIRST_MARK;

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

/// What a frame stands for, in the order of the legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// A container, below everything of its own.
    Container,
    /// Threads of one name.
    Thread,
    /// A state, in the wall-clock graph.
    State(StateGroup),
    /// A function of the program.
    User(StateGroup),
    /// A function that the compiler inlined.
    Inlined(StateGroup),
    /// A function of the kernel.
    Kernel(StateGroup),
}

impl Class {
    /// A character that ends the frame's name while inferno draws: its palette knows frames by name only,
    /// and one name may be a container's, a thread's and a function's.
    pub(super) fn mark(self) -> char {
        const KINDS: u32 = 4;
        let number = match self {
            Self::Container => 0,
            Self::Thread => 1,
            Self::State(state) => 2 + KINDS * state as u32,
            Self::User(state) => 3 + KINDS * state as u32,
            Self::Inlined(state) => 4 + KINDS * state as u32,
            Self::Kernel(state) => 5 + KINDS * state as u32,
        };
        char::from_u32(FIRST_MARK as u32 + number).unwrap_or(FIRST_MARK)
    }

    /// What the legend calls it; `None` where the frames name themselves.
    pub(super) fn legend(self) -> Option<String> {
        match self {
            Self::Container | Self::Thread | Self::State(_) => None,
            Self::User(_) => Some("user".to_owned()),
            Self::Inlined(_) => Some("inlined".to_owned()),
            Self::Kernel(_) => Some("kernel".to_owned()),
        }
    }

    /// Hue in degrees, saturation and lightness from 0 to 1, each with the width of its range.
    const fn range(self) -> [(f64, f64); 3] {
        match self {
            Self::Container => [(212.0, 0.0), (0.12, 0.0), (0.80, 0.0)],
            Self::Thread => [(212.0, 0.0), (0.10, 0.0), (0.88, 0.0)],
            Self::State(_) => [(24.0, 0.0), (0.70, 0.0), (0.78, 0.0)],
            Self::User(_) => [(36.0, 12.0), (0.88, 0.08), (0.62, 0.10)],
            Self::Inlined(_) => [(48.0, 8.0), (0.80, 0.08), (0.76, 0.08)],
            Self::Kernel(_) => [(2.0, 12.0), (0.72, 0.10), (0.66, 0.08)],
        }
    }
}

/// The colour of the frame with this name.
pub(super) fn of(name: &str, class: Class) -> Color {
    let hash = fnv1a(name.as_bytes());
    let part = |shift: u32| f64::from((hash >> shift) as u16) / f64::from(u16::MAX);
    let [hue, saturation, lightness] = class.range();
    hsl(
        hue.0 + hue.1 * part(0),
        saturation.0 + saturation.1 * part(16),
        lightness.0 + lightness.1 * part(32),
    )
}

/// The middle of the class's range, for the legend.
pub(super) fn typical(class: Class) -> Color {
    let [hue, saturation, lightness] = class.range().map(|(from, width)| from + width / 2.0);
    hsl(hue, saturation, lightness)
}

/// A hash whose values never change between versions, unlike the standard library's.
fn fnv1a(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The shades are cut from different bits: mix, so that each depends on all of the name.
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn hsl(hue: f64, saturation: f64, lightness: f64) -> Color {
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
mod tests {
    use super::*;

    #[test]
    fn hsl_is_the_css_one() {
        let rgb = |h, s, l| {
            let c = hsl(h, s, l);
            (c.r, c.g, c.b)
        };
        assert_eq!(rgb(0.0, 1.0, 0.5), (255, 0, 0));
        assert_eq!(rgb(120.0, 1.0, 0.25), (0, 128, 0));
        assert_eq!(rgb(210.0, 0.5, 0.5), (64, 128, 191));
        assert_eq!(rgb(-60.0, 1.0, 0.5), (255, 0, 255));
    }

    #[test]
    fn a_name_always_has_the_same_colour() {
        let class = Class::User(StateGroup::OnCpu);
        assert_eq!(of("main", class), of("main", class));
        assert_ne!(of("main", class), of("mail", class));
        assert_ne!(
            of("main", class),
            of("main", Class::Kernel(StateGroup::OnCpu))
        );
    }

    #[test]
    fn marks_are_distinct() {
        let on_cpu = StateGroup::OnCpu;
        let mut marks = [
            Class::Container,
            Class::Thread,
            Class::State(on_cpu),
            Class::User(on_cpu),
            Class::Inlined(on_cpu),
            Class::Kernel(on_cpu),
        ]
        .map(Class::mark)
        .to_vec();
        marks.sort_unstable();
        marks.dedup();
        assert_eq!(marks.len(), 6);
    }
}
