//! Six kinds of data, seeded. How much a search can skip depends on what it searches.

use std::f64::consts::TAU;

/// What the patterns look like, and the queries with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Walks of prices, each with mean 0 and deviation 1.
    NormalizedWalks,
    /// Walks of prices from 100 on, as they are.
    RawWalks,
    /// A sine each, of its own period, phase and height, with some noise.
    Sines,
    /// The same course for all, stretched a little and with noise: everything is near to everything.
    OneClass,
    /// Independent normal samples: nothing is near to anything.
    WhiteNoise,
    /// The kinds above but raw walks, in turns.
    Mixed,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::NormalizedWalks, Self::RawWalks, Self::Sines, Self::OneClass, Self::WhiteNoise, Self::Mixed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NormalizedWalks => "normalised walks",
            Self::RawWalks => "raw walks",
            Self::Sines => "sines",
            Self::OneClass => "one class",
            Self::WhiteNoise => "white noise",
            Self::Mixed => "mixed",
        }
    }

    /// `count` series of `length` samples, one after the other.
    pub(crate) fn rows(self, count: usize, length: usize, seed: u64) -> Vec<f64> {
        let mut random = Random(seed);
        (0..count).flat_map(|row| self.series(row, length, &mut random)).collect()
    }

    fn series(self, row: usize, length: usize, random: &mut Random) -> Vec<f64> {
        let series = match self {
            Self::RawWalks => return walk(length, random),
            Self::NormalizedWalks => walk(length, random),
            Self::Sines => sine(length, random),
            Self::OneClass => member(length, random),
            Self::WhiteNoise => (0..length).map(|_| random.normal()).collect(),
            Self::Mixed => {
                let kinds = [Self::NormalizedWalks, Self::Sines, Self::OneClass, Self::WhiteNoise];
                return kinds[row % kinds.len()].series(row, length, random);
            }
        };
        normalized(series)
    }
}

/// Prices from 100 on, with returns of 1 %.
fn walk(length: usize, random: &mut Random) -> Vec<f64> {
    let mut price = 100.0;
    let mut step = || {
        price *= 1.0 + 0.01 * random.normal();
        price
    };
    (0..length).map(|_| step()).collect()
}

/// Half a turn to eight turns.
fn sine(length: usize, random: &mut Random) -> Vec<f64> {
    let (turns, phase) = (0.5 + 7.5 * random.uniform(), random.uniform());
    let angle = |i: usize| TAU * (phase + turns * i as f64 / length as f64);
    (0..length).map(|i| angle(i).sin() + 0.1 * random.normal()).collect()
}

/// A trend with two cycles on it.
fn member(length: usize, random: &mut Random) -> Vec<f64> {
    let stretch = 0.05 * random.normal();
    let mut sample = |i: usize| {
        let at = i as f64 / length as f64;
        let at = at + stretch * at * (1.0 - at);
        at + (TAU * 2.0 * at).sin() + 0.5 * (TAU * 5.0 * at).cos() + 0.2 * random.normal()
    };
    (0..length).map(&mut sample).collect()
}

/// Mean 0, population standard deviation 1.
fn normalized(mut series: Vec<f64>) -> Vec<f64> {
    let count = series.len() as f64;
    let mean = series.iter().sum::<f64>() / count;
    let deviation = (series.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count).sqrt();
    series.iter_mut().for_each(|x| *x = (*x - mean) / deviation);
    series
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In 0 .. 1, never 0.
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Mean 0, deviation 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (TAU * self.uniform()).cos()
    }
}
