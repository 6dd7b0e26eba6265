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
    pub(crate) fn fill(&mut self, span: Span<'_>, normalize: Normalize, levels: usize) {
        let length = span.windows + span.steps - 1;
        let at = |i: usize| (span.first + i) * span.channels + span.channel;
        let centre = if normalize == Normalize::None { 0.0 } else { span.values[at(length / 2)] };
        self.means.resize_with(levels + 1, Vec::new);
        for level in &mut self.means {
            resize(level, length + PADDING);
        }
        let samples = &mut self.means[0][..length];
        let mut largest = 0.0_f64;
        if span.channels == 1 {
            for (sample, &x) in samples.iter_mut().zip(&span.values[span.first..span.first + length]) {
                *sample = x - centre;
                largest = if x.abs() > largest { x.abs() } else { largest };
            }
        } else {
            for (i, sample) in samples.iter_mut().enumerate() {
                let x = span.values[at(i)];
                *sample = x - centre;
                largest = largest.max(x.abs());
            }
        }
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
