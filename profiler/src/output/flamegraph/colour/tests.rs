use super::*;

#[test]
fn hsl_is_the_css_one() {
    let rgb = |h, s, l| {
        let c = hsl([h, s, l]);
        (c.r, c.g, c.b)
    };
    assert_eq!(rgb(0.0, 1.0, 0.5), (255, 0, 0));
    assert_eq!(rgb(120.0, 1.0, 0.25), (0, 128, 0));
    assert_eq!(rgb(210.0, 0.5, 0.5), (64, 128, 191));
    assert_eq!(rgb(-60.0, 1.0, 0.5), (255, 0, 255));
}

#[test]
fn a_name_always_has_the_same_colour() {
    let class = Class::User(ViewState::ON_CPU);
    assert_eq!(of("main", class), of("main", class));
    assert_ne!(of("main", class), of("mail", class));
    assert_ne!(
        of("main", class),
        of("main", Class::Kernel(ViewState::ON_CPU))
    );
    assert_ne!(
        of("main", class),
        of("main", Class::User(ViewState::THROTTLED))
    );
}

#[test]
fn marks_are_distinct() {
    let mut marks = vec![Class::Section, Class::Container, Class::Thread, Class::Call];
    for state in ViewState::ALL {
        marks.extend([
            Class::State(state),
            Class::User(state),
            Class::Inlined(state),
            Class::Kernel(state),
        ]);
    }
    let mut marks: Vec<char> = marks.into_iter().map(Class::mark).collect();
    let all = marks.len();
    marks.sort_unstable();
    marks.dedup();
    assert_eq!(marks.len(), all);
    assert!(marks[all - 1] <= crate::analysis::names::LAST_MARK);
}

/// What a person with normal sight, without red or without green cones sees (Machado, Oliveira and Fernandes,
/// 2009), on linear RGB.
const SIGHTS: [[[f64; 3]; 3]; 3] = [
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
];

/// CIE L*a*b* of a colour, as seen with `sight`.
fn lab(color: Color, sight: &[[f64; 3]; 3]) -> [f64; 3] {
    let linear = [color.r, color.g, color.b].map(|byte| {
        let part = f64::from(byte) / 255.0;
        if part <= 0.04045 {
            part / 12.92
        } else {
            ((part + 0.055) / 1.055).powf(2.4)
        }
    });
    let product = |matrix: &[[f64; 3]; 3], v: [f64; 3]| {
        matrix.map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum::<f64>())
    };
    let seen = product(sight, linear).map(|part| part.clamp(0.0, 1.0));
    let to_xyz = [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ];
    let [x, y, z] = product(&to_xyz, seen);
    let f = |t: f64| {
        if t > 0.008856 {
            t.cbrt()
        } else {
            7.787 * t + 16.0 / 116.0
        }
    };
    let (x, y, z) = (f(x / 0.9505), f(y), f(z / 1.089));
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[test]
fn states_can_be_told_apart_and_read_by_everybody() {
    let mut classes: Vec<Class> = ViewState::ALL.map(Class::State).to_vec();
    classes.push(Class::Kernel(ViewState::ON_CPU));
    for sight in &SIGHTS {
        for (i, a) in classes.iter().enumerate() {
            for b in &classes[..i] {
                let (x, y) = (lab(typical(*a), sight), lab(typical(*b), sight));
                let distance = x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum::<f64>();
                assert!(distance.sqrt() > 15.0, "{a:?} and {b:?}: {distance}");
            }
        }
    }
    for class in classes {
        let lightness = lab(typical(class), &SIGHTS[0])[0];
        assert!(lightness > 50.0, "{class:?} is too dark for black text");
    }
}
