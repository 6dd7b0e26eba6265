//! Normalisation of every window of a series at once, approximately: what lower bounds are computed from.
//!
//! The normalised value of sample `x` in window `s` is `x * factor[s] + offset[s]`. A series is looked at in blocks.
//! The samples of a block are re-centred by one of them, so that prices of 1e5 do not cancel, and sums over windows
//! are built by doubling: the sum over `2p` samples is that over `p` plus the one `p` later. An error is then a
//! logarithm of roundings, not one for every sample since the start of the series, and the sums over short powers of
//! two, which coarse bounds compare segment by segment, come for free.
//!
//! **What may be relied upon.** Let `z` be the values of a window that [`Normalize`] computes (two passes over the
//! window, in f64) and `z'` those from here. Where `trust` is 1, the difference `z' - z` has a Euclidean norm of at most
//! `DEVIATION * sqrt(steps)` and a sum of magnitudes of at most `DEVIATION * steps`, whatever is added up in between.
//! Where that cannot be promised `trust`, `factor` and `offset` are 0. For z-scores, with `u = 2^-53`, `c` the centre,
//! `msq` the mean of `(x - c)^2`, `sigma` the deviation and `g = (2 bits(steps) + 6) u`, which bounds the relative
//! error of a sum by doubling:
//!
//! - the variance `msq - mean^2` is off by at most `4 g msq`; at least `32 g msq / DEVIATION` is asked of it, so `factor` is
//!   off by at most a sixteenth of `DEVIATION`, and the mean by `g sqrt(msq) < DEVIATION / 16 * sigma`;
//! - the mean of [`Normalize`] itself is off by at most `(steps / 4 + 4) u X`, `X` the largest magnitude in the block. At
//!   least `8 / DEVIATION` times this is asked of `sigma`; a window that passes is never "constant" there;
//! - all else (re-centring, the deviation of [`Normalize`], products) is relative to values that these two bound,
//!   and smaller by orders of magnitude.
//!
//! An error `e` of the mean and a relative one `r` of the deviation move the values of a window by `e + r |z|`, and the
//! squares of z-scores add up to `steps`, which gives both norms.

use super::normalize::Normalize;
use super::simd::Vector;

/// How far approximately normalised values may be from the exact ones, in normalised units.
pub(crate) const DEVIATION: f64 = 1.0 / 16_384.0;

/// Magnitudes whose squares neither overflow nor vanish, nor do sums of as many as fit in memory.
const LARGEST: f64 = 1.606_938_044_258_990_3e60;
const SMALLEST: f64 = 1.0 / LARGEST;

/// Room behind the last sample and window for whole vectors.
const PADDING: usize = 16;

/// One channel of a block of windows. Reused from block to block.
#[derive(Default)]
pub(crate) struct Rolling {
    /// `means[l][i]` is the mean of the samples `i .. i + 2^l`, re-centred; `means[0]` are the samples.
    pub(crate) means: Vec<Vec<f64>>,
    /// For each window.
    pub(crate) factor: Vec<f64>,
    pub(crate) offset: Vec<f64>,
    /// 1 or 0.
    pub(crate) trust: Vec<f64>,
    middle: Vec<f64>,
    half: Vec<f64>,
    first: Doubling,
    second: Doubling,
}

/// The windows `first .. first + windows` of one channel.
#[derive(Clone, Copy)]
pub(crate) struct Span<'a> {
    /// Row-major, as in a series.
    pub(crate) values: &'a [f64],
    pub(crate) channels: usize,
    pub(crate) channel: usize,
    pub(crate) first: usize,
    pub(crate) windows: usize,
    /// Time steps of a window.
    pub(crate) steps: usize,
}

impl Rolling {
    /// Computes everything for `span`, means of up to `2^levels` samples.
    #[inline(always)]
    pub(crate) fn fill<V: Vector>(&mut self, span: Span<'_>, normalize: Normalize, levels: usize) {
        let length = span.windows + span.steps - 1;
        let at = |i: usize| (span.first + i) * span.channels + span.channel;
        let centre = if normalize == Normalize::None { 0.0 } else { span.values[at(length / 2)] };
        self.means.resize_with(levels + 1, Vec::new);
        for level in &mut self.means {
            resize(level, length + PADDING);
        }
        let samples = &mut self.means[0][..length];
        if span.channels == 1 {
            for (sample, &x) in samples.iter_mut().zip(&span.values[span.first..span.first + length]) {
                *sample = x - centre;
            }
        } else {
            for (i, sample) in samples.iter_mut().enumerate() {
                *sample = span.values[at(i)] - centre;
            }
        }
        let largest = largest_magnitude::<V>(samples) + centre.abs();
        for list in [&mut self.factor, &mut self.offset, &mut self.trust] {
            resize(list, span.windows + PADDING);
        }
        let in_range = largest <= LARGEST && (largest >= SMALLEST || normalize == Normalize::None);
        if !in_range {
            for list in [&mut self.factor, &mut self.offset, &mut self.trust] {
                list.fill(0.0);
            }
            // Nothing looks at the means; but what is not finite must not be there.
            for level in &mut self.means {
                level.fill(0.0);
            }
            return;
        }
        match normalize {
            Normalize::None => {
                self.sums(span, levels, false);
                self.factor.fill(1.0);
                self.offset.fill(0.0);
                self.trust.fill(1.0);
            }
            Normalize::Zscore => {
                self.sums(span, levels, true);
                self.zscore(span, largest);
            }
            Normalize::Minmax => {
                self.sums(span, levels, false);
                self.minmax(span);
            }
        }
    }

    /// Middle and half width of what [`Self::envelope`] found for each sample.
    pub(crate) fn ranges(&self) -> (&[f64], &[f64]) {
        (&self.middle, &self.half)
    }

    /// Looks for the range of the samples within `radius` of each, as far as there are any, in the `length` samples
    /// of the block that was filled last.
    #[inline(always)]
    pub(crate) fn envelope(&mut self, length: usize, radius: usize) {
        let radius = radius.min(length);
        let width = 2 * radius + 1;
        let padded = length + 2 * radius;
        for (doubling, beyond) in [(&mut self.first, f64::INFINITY), (&mut self.second, f64::NEG_INFINITY)] {
            resize(&mut doubling.current, padded);
            resize(&mut doubling.next, padded.max(length + PADDING));
            doubling.current[..radius].fill(beyond);
            doubling.current[radius..radius + length].copy_from_slice(&self.means[0][..length]);
            doubling.current[radius + length..padded].fill(beyond);
        }
        let mut p = 1;
        while 2 * p <= width {
            let next = padded + 1 - 2 * p;
            self.first.double(p, next, |a, b| if a < b { a } else { b });
            self.second.double(p, next, |a, b| if a > b { a } else { b });
            p *= 2;
        }
        let rest = width - p;
        for list in [&mut self.middle, &mut self.half] {
            resize(list, length + PADDING);
        }
        let (low, high) = (&self.first.current[..length + rest], &self.second.current[..length + rest]);
        for i in 0..length {
            let (a, b) = (low[i], low[i + rest]);
            let (c, d) = (high[i], high[i + rest]);
            let (low, high) = (if a < b { a } else { b }, if c > d { c } else { d });
            self.middle[i] = 0.5 * low + 0.5 * high;
            self.half[i] = 0.5 * high - 0.5 * low;
        }
    }

    /// The means by doubling, and when `whole` also the totals of samples and squares over whole windows.
    #[inline(always)]
    fn sums(&mut self, span: Span<'_>, levels: usize, whole: bool) {
        let Span { windows, steps, .. } = span;
        let length = windows + steps - 1;
        let samples = &self.means[0][..length];
        self.first.start(samples, |x| x);
        if whole {
            self.second.start(samples, |x| x * x);
            for doubling in [&mut self.first, &mut self.second] {
                resize(&mut doubling.total, windows);
                doubling.total.fill(0.0);
            }
        }
        let (mut level, mut covered) = (0, 0);
        loop {
            let p = 1_usize << level;
            if whole && steps & p != 0 {
                self.first.add_to_total(covered);
                self.second.add_to_total(covered);
                covered += p;
            }
            if 2 * p > steps || (!whole && level == levels) {
                return;
            }
            let next = length + 1 - 2 * p;
            self.first.double(p, next, |a, b| a + b);
            if whole {
                self.second.double(p, next, |a, b| a + b);
            }
            level += 1;
            if level <= levels {
                let scale = 1.0 / (1_u64 << level) as f64;
                for (mean, &sum) in self.means[level][..next].iter_mut().zip(&self.first.current) {
                    *mean = sum * scale;
                }
            }
        }
    }

    #[inline(always)]
    fn zscore(&mut self, span: Span<'_>, largest: f64) {
        let steps = span.steps as f64;
        let unit = f64::EPSILON / 2.0;
        let sum_error = (2 * (usize::BITS - span.steps.leading_zeros()) + 6) as f64 * unit;
        let of_square = 32.0 * sum_error / DEVIATION;
        let least_deviation = 8.0 / DEVIATION * (steps / 4.0 + 4.0) * unit * largest;
        let least = least_deviation * least_deviation;
        let share = 1.0 / steps;
        let windows = span.windows;
        let (sums, squares) = (&self.first.total[..windows], &self.second.total[..windows]);
        let (factor, offset) = (&mut self.factor[..windows], &mut self.offset[..windows]);
        let trust = &mut self.trust[..windows];
        for s in 0..windows {
            let (mean, square) = (sums[s] * share, squares[s] * share);
            let variance = square - mean * mean;
            let floor = of_square * square;
            let floor = if floor > least { floor } else { least };
            let trusted = if variance >= floor { 1.0 } else { 0.0 };
            let divisor = if variance >= floor { variance } else { 1.0 };
            let inverse = trusted / divisor.sqrt();
            factor[s] = inverse;
            offset[s] = -mean * inverse;
            trust[s] = trusted;
        }
    }

    /// Minimum and maximum of a window are two overlapping powers of two.
    #[inline(always)]
    fn minmax(&mut self, span: Span<'_>) {
        let Span { windows, steps, .. } = span;
        let length = windows + steps - 1;
        let samples = &self.means[0][..length];
        self.first.start(samples, |x| x);
        self.second.start(samples, |x| x);
        let mut p = 1;
        while 2 * p <= steps {
            let next = length + 1 - 2 * p;
            self.first.double(p, next, |a, b| if a < b { a } else { b });
            self.second.double(p, next, |a, b| if a > b { a } else { b });
            p *= 2;
        }
        let (low, high) = (&self.first.current, &self.second.current);
        for s in 0..windows {
            let (low, high) = (low[s].min(low[s + steps - p]), high[s].max(high[s + steps - p]));
            let range = high - low;
            // Samples are off by half a unit in the last place of their distance from the centre.
            let floor = 16.0 * f64::EPSILON / DEVIATION * low.abs().max(high.abs());
            let trusted = range >= floor.max(SMALLEST);
            let inverse = if trusted { 1.0 / range } else { 0.0 };
            self.factor[s] = inverse;
            self.offset[s] = -low * inverse;
            self.trust[s] = if trusted { 1.0 } else { 0.0 };
        }
    }
}

/// The largest magnitude of `samples`.
#[inline(always)]
fn largest_magnitude<V: Vector>(samples: &[f64]) -> f64 {
    let mut largest = [V::splat(0.0); 4];
    let blocks = samples.chunks_exact(4 * V::LANES);
    let mut most = 0.0_f64;
    for &x in blocks.remainder() {
        most = most.max(x.abs());
    }
    for block in blocks {
        for (k, largest) in largest.iter_mut().enumerate() {
            *largest = largest.max(V::load(&block[k * V::LANES..]).abs());
        }
    }
    let lanes = largest[0].max(largest[1]).max(largest[2].max(largest[3])).to_array();
    lanes[..V::LANES].iter().fold(most, |most, &x| most.max(x))
}

/// Sums (or extremes) over ever longer powers of two.
#[derive(Default)]
struct Doubling {
    current: Vec<f64>,
    next: Vec<f64>,
    total: Vec<f64>,
}

impl Doubling {
    #[inline(always)]
    fn start(&mut self, samples: &[f64], of: impl Fn(f64) -> f64) {
        resize(&mut self.current, samples.len());
        resize(&mut self.next, samples.len());
        for (value, &x) in self.current.iter_mut().zip(samples) {
            *value = of(x);
        }
    }

    /// From `p` samples to `2p`, of which there are `count`.
    #[inline(always)]
    fn double(&mut self, p: usize, count: usize, join: impl Fn(f64, f64) -> f64) {
        let (low, high) = (&self.current[..count], &self.current[p..p + count]);
        let next = &mut self.next[..count];
        for i in 0..count {
            next[i] = join(low[i], high[i]);
        }
        std::mem::swap(&mut self.current, &mut self.next);
    }

    /// Adds the part of every window that begins `covered` samples into it.
    #[inline(always)]
    fn add_to_total(&mut self, covered: usize) {
        for (total, &part) in self.total.iter_mut().zip(&self.current[covered..]) {
            *total += part;
        }
    }
}

/// Makes a buffer at least as long, without touching what is there: every value used is written first, or finite.
#[inline(always)]
fn resize(buffer: &mut Vec<f64>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Kernel, Level};
    use proptest::prelude::*;

    /// The promise of the module documentation, for every window of a block at every level.
    struct Promise<'a> {
        span: Span<'a>,
        normalize: Normalize,
        levels: usize,
    }

    impl Kernel for Promise<'_> {
        /// How many windows are trusted.
        type Output = usize;

        #[inline(always)]
        fn run<V: Vector>(self) -> usize {
            let Self { span, normalize, levels } = self;
            let mut rolling = Rolling::default();
            rolling.fill::<V>(Span { windows: 1, ..span }, normalize, levels);
            rolling.fill::<V>(span, normalize, levels);
            let mut trusted = 0;
            for s in 0..span.windows {
                if rolling.trust[s] == 0.0 {
                    assert_eq!((rolling.factor[s], rolling.offset[s]), (0.0, 0.0));
                    continue;
                }
                trusted += 1;
                let at = |k: usize| (span.first + s + k) * span.channels + span.channel;
                let mut exact: Vec<f64> = (0..span.steps).map(|k| span.values[at(k)]).collect();
                normalize.apply_in_place(&mut exact, 1);
                for (level, means) in rolling.means.iter().enumerate() {
                    let p = 1 << level;
                    let (mut squares, mut sum) = (0.0, 0.0);
                    for (segment, values) in exact.chunks_exact(p).enumerate() {
                        let mean = means[s + segment * p] * rolling.factor[s] + rolling.offset[s];
                        let off = (mean - values.iter().sum::<f64>() / p as f64).abs();
                        (squares, sum) = (squares + off * off * p as f64, sum + off * p as f64);
                    }
                    // Values that are not normalised are as large as they are.
                    let unit = if normalize == Normalize::None {
                        1e-14 * exact.iter().fold(1e-300, |most: f64, x| most.max(x.abs()))
                    } else {
                        DEVIATION
                    };
                    let steps = span.steps as f64;
                    assert!(squares.sqrt() <= unit * steps.sqrt(), "norm {}", squares.sqrt() / unit);
                    assert!(sum <= unit * steps, "sum {}", sum / unit);
                }
            }
            trusted
        }
    }

    fn check(values: &[f64], channels: usize, steps: usize, normalize: Normalize) -> Vec<usize> {
        let levels = steps.ilog2() as usize;
        let windows = values.len() / channels - steps + 1;
        let mut counts = Vec::new();
        for level in Level::available() {
            for channel in 0..channels {
                let span = Span { values, channels, channel, first: 0, windows, steps };
                counts.push(level.run(Promise { span, normalize, levels }));
            }
        }
        counts
    }

    fn normalizations() -> [Normalize; 3] {
        [Normalize::None, Normalize::Zscore, Normalize::Minmax]
    }

    proptest! {
        #[test]
        fn trusted_windows_are_as_near_as_promised(
            steps in prop::collection::vec(-1.0..1.0_f64, 120..200),
            level in prop_oneof![Just(0.0), Just(1e5), Just(-1e9), Just(1e14), Just(1e250), Just(1e-250)],
            scale in prop_oneof![Just(1.0), Just(1e-3), Just(1e-7), Just(0.0), Just(1e9), Just(1e-220), Just(1e220)],
            jump in prop::option::of((0..120_usize, -1e12..1e12_f64)),
            walk in any::<bool>(),
            length in 1..60_usize,
            channels in 1..3_usize,
        ) {
            let mut sum = 0.0;
            let mut values: Vec<f64> = steps.iter().map(|step| {
                sum = if walk { sum + step } else { *step };
                level + scale * sum
            }).collect();
            if let Some((at, height)) = jump {
                values[at..].iter_mut().for_each(|x| *x += height);
            }
            values.truncate(values.len() / channels * channels);
            for normalize in normalizations() {
                check(&values, channels, length, normalize);
            }
        }
    }

    #[test]
    fn prices_are_trusted_and_constants_are_not() {
        let walk: Vec<f64> = (0..400).map(|i| 1e5 + f64::from(i * 7919 % 64)).collect();
        for normalize in normalizations() {
            assert!(check(&walk, 1, 100, normalize).iter().all(|&trusted| trusted == 301));
        }
        for normalize in [Normalize::Zscore, Normalize::Minmax] {
            assert!(check(&[3.7; 400], 1, 100, normalize).iter().all(|&trusted| trusted == 0));
            assert!(check(&walk, 1, 1, normalize).iter().all(|&trusted| trusted == 0));
        }
    }
}
