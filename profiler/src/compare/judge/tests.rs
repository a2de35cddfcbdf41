//! Made-up windows whose truth is known.

use super::{Difference, Figure, Sides, Verdict, discoveries};
use crate::compare::judge_family;
use crate::compare::outcome::Compared;
use crate::compare::resample::Resampling;

/// A generator of the tests' own, not the one that draws windows.
struct Noise(u64);

impl Noise {
    /// A seed of few bits takes a while to spread.
    fn new(seed: u64) -> Self {
        let mut noise = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (0..20).for_each(|_| {
            noise.uniform();
        });
        noise
    }

    fn uniform(&mut self) -> f64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        (bits as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// A number of samples, of which so many are expected.
    fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 60.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(), 0.0);
        while product > limit {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }
}

const SECONDS: usize = 30;

/// A program with many functions, sampled at `hz` on one CPU. Its load wanders, so that neighbouring seconds are alike, and
/// its functions vary with it. One of them, which has 20 % of the time, takes `slower` times as long.
fn program(noise: &mut Noise, hz: f64, slower: f64) -> Vec<Figure> {
    let mut shares = vec![0.2];
    shares.extend((0..39).map(|function| 0.8 / 39.0 * (0.5 + f64::from(function % 3) / 2.0)));
    let mut load = 0.0;
    let mut sums = vec![Vec::new(); shares.len()];
    let mut work = Vec::new();
    for _ in 0..SECONDS {
        load = 0.6 * load + 0.02 * noise.normal();
        let busy = (0.8_f64 + load).clamp(0.1, 1.0);
        // What is done in a second is less by what is slower: the CPU is as busy.
        let units = busy / (1.0 + 0.2 * (slower - 1.0));
        work.push(units);
        for (function, share) in shares.iter().enumerate() {
            let cost = if function == 0 { slower } else { 1.0 };
            sums[function].push(noise.poisson(hz * units * share * cost));
        }
    }
    sums.into_iter()
        .map(|sums| Figure::Ratio {
            samples: Some(sums.iter().sum()),
            sums,
            by: work.clone(),
        })
        .collect()
}

fn compared(a: &[Figure], b: &[Figure], sides: &Sides) -> Vec<Compared> {
    let differences = a.iter().zip(b);
    let mut all: Vec<Compared> = differences
        .map(|(a, b)| Compared::new(Difference::new(a, b, sides)))
        .collect();
    judge_family(&mut all.iter_mut().collect::<Vec<_>>());
    all
}

/// Fewer than for users: these tests compare thousands of times.
fn draws(seed: u64) -> Resampling {
    Resampling::with_draws(SECONDS, seed, 200)
}

fn apart() -> Sides {
    Sides::Apart(draws(1), draws(2))
}

fn differs(one: &Compared) -> bool {
    matches!(one.verdict, Verdict::More | Verdict::Less)
}

#[test]
fn equal_programs_hardly_ever_differ_in_anything() {
    for hz in [99.0, 999.0, 4_999.0] {
        let mut noise = Noise::new(7);
        let sides = apart();
        let found = (0..100).filter(|_| {
            let (a, b) = (program(&mut noise, hz, 1.0), program(&mut noise, hz, 1.0));
            compared(&a, &b, &sides).iter().any(differs)
        });
        let found = found.count();
        println!("{hz} Hz: {found} of 100");
        assert!(found <= 5, "{hz} Hz: {found} of 100");
    }
}

#[test]
fn a_twentieth_of_a_fifth_is_found_where_there_are_samples_enough() {
    let sides = apart();
    for (hz, at_least, at_most) in [
        (99.0, 0, 10),
        (crate::compare::FREQUENCY_HZ as f64, 90, 100),
    ] {
        let mut noise = Noise::new(11);
        let mut others = 0;
        let found = (0..100).filter(|_| {
            let (a, b) = (program(&mut noise, hz, 1.0), program(&mut noise, hz, 1.05));
            let all = compared(&a, &b, &sides);
            others += usize::from(all[1..].iter().any(differs));
            all[0].verdict == Verdict::More
        });
        let found = found.count();
        println!("{hz} Hz: found {found} of 100, others {others}");
        assert!(
            (at_least..=at_most).contains(&found),
            "{hz} Hz: {found} of 100"
        );
        assert!(
            others <= 5,
            "{others} of 100 had a difference that there is not"
        );
    }
}

#[test]
fn what_would_have_been_seen_is_seen_in_nine_of_ten() {
    let (sides, mut noise) = (apart(), Noise::new(13));
    let hz = 999.0;
    let same = compared(
        &program(&mut noise, hz, 1.0),
        &program(&mut noise, hz, 1.0),
        &sides,
    );
    let detectable = same[0].detectable.unwrap();
    assert!((0.05..0.3).contains(&detectable), "{detectable}");
    let found = (0..100).filter(|_| {
        let (a, b) = (
            program(&mut noise, hz, 1.0),
            program(&mut noise, hz, 1.0 + detectable),
        );
        compared(&a, &b, &sides)[0].verdict == Verdict::More
    });
    let found = found.count();
    println!("{detectable} of which {found} are found");
    assert!((80..=100).contains(&found), "{found} of 100");
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let (sides, mut noise) = (apart(), Noise::new(17));
    let held = (0..300).filter(|_| {
        let (a, b) = (
            program(&mut noise, 499.0, 1.0),
            program(&mut noise, 499.0, 1.3),
        );
        let (low, high) = Difference::new(&a[0], &b[0], &sides).interval().unwrap();
        (low..=high).contains(&0.3)
    });
    let held = held.count();
    assert!((270..=297).contains(&held), "{held} of 300");
}

#[test]
fn what_disturbs_both_at_once_disturbs_no_pair() {
    let mut noise = Noise::new(19);
    let mut sides = [Vec::new(), Vec::new()];
    for _ in 0..SECONDS {
        let neighbour = 0.3 * noise.uniform();
        sides[0].push(1.0 - neighbour + 0.002 * noise.normal());
        sides[1].push(1.02 - neighbour + 0.002 * noise.normal());
    }
    let [a, b] = sides.map(|sums| Figure::Ratio {
        by: vec![1.0; sums.len()],
        sums,
        samples: None,
    });
    let (a, b) = ([a], [b]);
    let paired = Sides::Paired(draws(1));
    assert_eq!(compared(&a, &b, &paired)[0].verdict, Verdict::More);
    assert_eq!(compared(&a, &b, &apart())[0].verdict, Verdict::Same);
}

#[test]
fn few_windows_and_constants() {
    let ratio = |sums: &[f64]| Figure::Ratio {
        sums: sums.to_vec(),
        by: vec![1.0; sums.len()],
        samples: None,
    };
    let verdict = |a: &Figure, b: &Figure| {
        let windows = |figure: &Figure| Resampling::new(figure.windows(), 1);
        let sides = Sides::Apart(windows(a), windows(b));
        compared(std::slice::from_ref(a), std::slice::from_ref(b), &sides)[0].verdict
    };
    let nine = ratio(&[1.0; 9]);
    let (ten, other) = (ratio(&[1.0; 10]), ratio(&[2.0; 10]));
    assert_eq!(verdict(&nine, &other), Verdict::Unknown);
    assert_eq!(verdict(&ten, &ten), Verdict::Same);
    assert_eq!(verdict(&ten, &other), Verdict::More);
    assert_eq!(verdict(&other, &ten), Verdict::Less);
    assert_eq!(
        verdict(&Figure::Total(1.0), &Figure::Total(2.0)),
        Verdict::Unknown
    );
    // One sample of a rare function is no new function.
    let rare = |samples: usize| Figure::Ratio {
        sums: (0..30)
            .map(|at| f64::from(u8::from(at < samples)))
            .collect(),
        by: vec![1.0; 30],
        samples: Some(samples as f64),
    };
    assert_eq!(verdict(&rare(0), &rare(3)), Verdict::Same);
    let steady = |a: f64| Figure::Ratio {
        sums: vec![a; 30],
        by: vec![1.0; 30],
        samples: Some(30.0 * a),
    };
    assert_eq!(verdict(&steady(0.0), &steady(2.0)), Verdict::More);
}

#[test]
fn of_many_differences_those_count_that_are_rare_enough_together() {
    let found = discoveries(&[Some(0.001), Some(0.01), None, Some(0.5), Some(0.9)]);
    assert_eq!(found, [true, true, false, false, false]);
    let found = discoveries(&[Some(0.011), Some(0.5), Some(0.9)]);
    assert_eq!(found, [false; 3]);
    assert_eq!(discoveries(&[]), [false; 0]);
}

#[test]
fn quantiles_are_of_all_windows_together() {
    let figure = Figure::Quantile {
        share: 0.5,
        bounds: vec![(0.0, 10.0), (10.0, 20.0)],
        counts: vec![vec![3.0, 0.0], vec![0.0, 1.0]],
    };
    assert!((figure.value() - 20.0 / 3.0).abs() < 1e-9);
}
