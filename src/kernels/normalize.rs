//! Making series comparable: z-scores and min-max scaling, per channel, in one fixed order of operations.

use crate::series::Series;
use std::borrow::Cow;

/// What is done to a series before it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Normalize {
    /// Nothing.
    #[default]
    None,
    /// Subtract the mean, divide by the population standard deviation. A channel whose deviation is 0 or below
    /// 1e-12 times its mean is constant and becomes zeros.
    Zscore,
    /// To `[0, 1]` by minimum and maximum. A constant channel becomes zeros.
    Minmax,
}

impl Normalize {
    /// The values of `series`, normalised; borrowed where there is nothing to do.
    pub fn apply(self, series: Series<'_>) -> Cow<'_, [f64]> {
        if self == Self::None {
            return Cow::Borrowed(series.values());
        }
        let mut values = series.values().to_vec();
        self.apply_in_place(&mut values, series.channels());
        Cow::Owned(values)
    }

    /// Normalises row-major `values` of `channels` each; they must be finite.
    pub fn apply_in_place(self, values: &mut [f64], channels: usize) {
        for channel in 0..channels {
            match self {
                Self::None => {}
                Self::Zscore => zscore(values, channels, channel),
                Self::Minmax => minmax(values, channels, channel),
            }
        }
    }
}

/// Relative to the mean, a spread below this is rounding, not movement.
const CONSTANT_BELOW: f64 = 1e-12;

fn zscore(values: &mut [f64], channels: usize, channel: usize) {
    let samples: Vec<f64> = values[channel..].iter().step_by(channels).copied().collect();
    let samples = with_squares_in_range(&samples);
    let mean = sum(&samples, |x| x) / samples.len() as f64;
    let variance = sum(&samples, |x| (x - mean) * (x - mean)) / samples.len() as f64;
    let deviation = variance.sqrt();
    let constant = is_constant(deviation, mean);
    for (x, &sample) in values[channel..].iter_mut().step_by(channels).zip(&*samples) {
        *x = if constant { 0.0 } else { (sample - mean) / deviation };
    }
}

/// Whether samples of this mean and deviation do not move at all.
pub(crate) fn is_constant(deviation: f64, mean: f64) -> bool {
    deviation == 0.0 || deviation < CONSTANT_BELOW * mean.abs()
}

/// The samples; where their squares would overflow or vanish, scaled by a power of two, which neither a z-score nor
/// a correlation notices.
pub(crate) fn with_squares_in_range(samples: &[f64]) -> Cow<'_, [f64]> {
    let largest = samples.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    let (_, exponent) = libm::frexp(largest);
    // A correlation multiplies two sums of squares: 2^200 leaves room for that.
    if exponent.abs() <= 200 {
        return Cow::Borrowed(samples);
    }
    Cow::Owned(samples.iter().map(|x| libm::ldexp(*x, -exponent)).collect())
}

/// The sum of `term` over the samples: four interleaved partial sums, then pairwise. This order is part of the
/// results, so it is the same at every SIMD level.
fn sum(samples: &[f64], term: impl Fn(f64) -> f64) -> f64 {
    let mut partial = [0.0_f64; 4];
    let (fours, rest) = samples.as_chunks::<4>();
    for four in fours {
        for (total, &x) in partial.iter_mut().zip(four) {
            *total += term(x);
        }
    }
    for (total, &x) in partial.iter_mut().zip(rest) {
        *total += term(x);
    }
    (partial[0] + partial[1]) + (partial[2] + partial[3])
}

fn minmax(values: &mut [f64], channels: usize, channel: usize) {
    let mut low = f64::INFINITY;
    let mut high = f64::NEG_INFINITY;
    for &x in values[channel..].iter().step_by(channels) {
        low = low.min(x);
        high = high.max(x);
    }
    // The range of values near the ends of f64 overflows; halving both sides keeps the quotient.
    let scale = if (high - low).is_finite() { 1.0 } else { 0.5 };
    let range = high * scale - low * scale;
    for x in values[channel..].iter_mut().step_by(channels) {
        *x = if range == 0.0 { 0.0 } else { (*x * scale - low * scale) / range };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(how: Normalize, values: &[f64], channels: usize) -> Vec<f64> {
        how.apply(Series::new("a", values, channels).unwrap()).into_owned()
    }

    #[test]
    fn zscore_has_mean_zero_and_population_deviation_one() {
        let z = normalized(Normalize::Zscore, &[1.0, 2.0, 3.0, 4.0, 5.0], 1);
        let expected = [-2.0, -1.0, 0.0, 1.0, 2.0].map(|x| x / 2.0_f64.sqrt());
        for (got, want) in z.iter().zip(expected) {
            assert!((got - want).abs() < 1e-15);
        }
    }

    #[test]
    fn zscore_does_not_cancel_on_prices() {
        // The same moves on levels of 0 and 1e5 and 1e9.
        let moves: Vec<f64> = (0..200).map(|i| f64::from((i * 7919) % 64) / 64.0).collect();
        let base = normalized(Normalize::Zscore, &moves, 1);
        for level in [1e5, 1e9] {
            let lifted: Vec<f64> = moves.iter().map(|x| x + level).collect();
            for (got, want) in normalized(Normalize::Zscore, &lifted, 1).iter().zip(&base) {
                assert!((got - want).abs() < 1e-6, "{level}: {got} {want}");
            }
        }
    }

    #[test]
    fn constants_become_zeros() {
        for values in [vec![3.7; 9], vec![0.0; 9], vec![1e300; 9], vec![0.1 + 0.2; 9]] {
            assert_eq!(normalized(Normalize::Zscore, &values, 1), [0.0; 9]);
            assert_eq!(normalized(Normalize::Minmax, &values, 1), [0.0; 9]);
        }
        // A spread of one rounding unit is not a movement.
        assert_eq!(normalized(Normalize::Zscore, &[1e5, 1e5_f64.next_up(), 1e5], 1), [0.0; 3]);
    }

    #[test]
    fn extreme_magnitudes_stay_finite() {
        for scale in [1e-300, 1e-200, 1e200, 1e300, f64::MAX / 4.0] {
            let values: Vec<f64> = [1.0, -2.0, 3.0, -4.0].iter().map(|x| x * scale).collect();
            let want = normalized(Normalize::Zscore, &[1.0, -2.0, 3.0, -4.0], 1);
            for (got, want) in normalized(Normalize::Zscore, &values, 1).iter().zip(want) {
                assert!((got - want).abs() < 1e-12, "{scale}");
            }
            let unit = normalized(Normalize::Minmax, &values, 1);
            assert_eq!((unit[2], unit[3]), (1.0, 0.0));
        }
        let extremes = normalized(Normalize::Minmax, &[f64::MAX, f64::MIN, 0.0], 1);
        assert_eq!(extremes, [1.0, 0.0, 0.5]);
    }

    #[test]
    fn channels_are_independent() {
        let both = normalized(Normalize::Zscore, &[1.0, 500.0, 2.0, 100.0, 4.0, 300.0], 2);
        let first = normalized(Normalize::Zscore, &[1.0, 2.0, 4.0], 1);
        let second = normalized(Normalize::Zscore, &[500.0, 100.0, 300.0], 1);
        assert_eq!(both, [first[0], second[0], first[1], second[1], first[2], second[2]]);
    }
}
