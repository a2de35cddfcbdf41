//! Windows drawn again and again: how much a figure would differ if the same were measured once more.
//!
//! Neighbouring seconds resemble one another, so whole blocks of them are drawn (a circular block bootstrap: blocks go on at
//! the beginning, so that every window is drawn equally often). Draws are the same each time: a comparison of the same
//! recordings says the same.

/// Draws of each set.
const DRAWS: usize = 1_000;
/// Lengths of blocks that there are draws of. Which one a figure needs is known only from how much its neighbours resemble
/// one another.
const LENGTHS: [usize; 4] = [2, 4, 8, 16];
/// A set of draws has at least so many blocks.
const FEWEST_BLOCKS: usize = 5;

/// How often each window is in each draw.
#[derive(Debug)]
pub(super) struct Draws {
    /// Windows in a block.
    pub(super) block: usize,
    windows: usize,
    weights: Vec<u16>,
}

impl Draws {
    fn new(windows: usize, block: usize, seed: u64, draws: usize) -> Self {
        let mut random = Random(seed ^ (block as u64) << 32 ^ windows as u64);
        let mut weights = vec![0_u16; windows * draws];
        for draw in weights.chunks_exact_mut(windows.max(1)) {
            let mut left = windows;
            while left > 0 {
                let first = random.below(windows);
                let length = block.min(left);
                for offset in 0..length {
                    let weight = &mut draw[(first + offset) % windows];
                    *weight = weight.saturating_add(1);
                }
                left -= length;
            }
        }
        Self {
            block,
            windows,
            weights,
        }
    }

    /// The weights of each draw.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u16]> {
        self.weights.chunks_exact(self.windows.max(1))
    }

    /// How many windows' worth of information on an error there is, and what the error that draws show is to be multiplied
    /// by: blocks of several windows leave fewer of them, and hide what is between their means.
    pub(super) fn quality(&self) -> (f64, f64) {
        let (windows, block) = (self.windows as f64, self.block as f64);
        let lags = 1..self.block;
        let kernel: f64 = lags.map(|lag| (1.0 - lag as f64 / block).powi(2)).sum();
        let factor = (windows / (windows - block).max(1.0)).sqrt();
        (windows / (1.0 + 2.0 * kernel), factor)
    }
}

/// Draws of windows in blocks of several lengths.
#[derive(Debug)]
pub(super) struct Resampling(Vec<Draws>);

impl Resampling {
    /// `seed` tells the draws of two sides apart, which are independent of one another.
    pub(super) fn new(windows: usize, seed: u64) -> Self {
        Self::with_draws(windows, seed, DRAWS)
    }

    /// The same with so many draws.
    pub(super) fn with_draws(windows: usize, seed: u64, draws: usize) -> Self {
        let fits = |block: &usize| block * FEWEST_BLOCKS <= windows || *block == LENGTHS[0];
        let lengths = LENGTHS.into_iter().filter(fits);
        Self(
            lengths
                .map(|block| Draws::new(windows, block, seed, draws))
                .collect(),
        )
    }

    /// The draws in blocks of at least this length, or of the longest that there are.
    pub(super) fn in_blocks_of(&self, length: f64) -> Option<&Draws> {
        let found = self.0.iter().find(|draws| draws.block as f64 >= length);
        found.or_else(|| self.0.last())
    }
}

/// The length of block that a series with this much resemblance between neighbours needs (Politis and White, for an
/// autoregressive series of the first order).
pub(super) fn block_length(residuals: &[f64]) -> f64 {
    let squares: f64 = residuals.iter().map(|it| it * it).sum();
    if squares <= 0.0 {
        return 1.0;
    }
    let products: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    // Series that swing from one side to the other vary less than they seem to: that is no reason for long blocks.
    let correlation = (products / squares).clamp(0.0, 0.97);
    let ratio = correlation / (1.0 - correlation * correlation);
    (6.0 * residuals.len() as f64).cbrt() * ratio.powf(2.0 / 3.0)
}

/// SplitMix64: enough for draws, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }
}
