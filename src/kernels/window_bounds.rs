//! Lower bounds on the DTW total of one query and every window of a series, adjacent windows side by side in a vector.
//!
//! Whatever the warping path, sample `k` of a window meets some value of the query within the band, so it costs at least
//! its distance to the envelope of the query there (Keogh and Ratanamahatana, "Exact indexing of dynamic time
//! warping", 2005), and its first and last sample cost their distance to the ends of the query (Kim, Park and Chu, 2001).
//! Two bounds are made of that:
//!
//! - coarse: ends, and segments of `2^l` samples compared by their mean with the mean envelope over the segment. A
//!   segment of `p` costs at least `p` times the cost of its mean, because the distance to an envelope is convex
//!   (Zhu and Shasha, "Warping indexes with envelope transforms for query by humming", 2003);
//! - fine: ends and every sample, given up once it is beyond the threshold.
//!
//! Costs of several channels are added, so bounds are too. Totals are in units of the sum along the path: of `|x - y|`, or
//! of `(x - y)^2` when not `absolute`.

use super::envelope::envelope;
use super::normalize::Normalize;
use super::rolling::{DEVIATION, Rolling, Span};
use super::simd::{Kernel, Vector};
use crate::series::Series;

/// What one sample or segment is compared with: it costs what is above `half` in its distance from `middle`.
#[derive(Debug, Clone, Copy)]
struct Term {
    /// Time step of the window at which it begins.
    at: usize,
    middle: f64,
    half: f64,
}

/// Segments of `2^level` samples.
struct Segments {
    level: usize,
    terms: Vec<Term>,
}

/// What the windows of one channel are compared with.
struct ChannelTerms {
    coarse: Vec<Segments>,
    fine: Vec<Term>,
}

/// A query, ready to be compared with windows.
pub(crate) struct WindowBounds {
    channels: Vec<ChannelTerms>,
    steps: usize,
    levels: usize,
    absolute: bool,
    normalize: Normalize,
    /// What each normalised value may be off by.
    slack: f64,
}

/// Segments a coarse bound aims at: at least so many, fewer than twice as many and a few for what is left over.
const SEGMENTS: usize = 16;

/// Samples of the fine bound between two looks at the threshold.
const FINE_STEP: usize = 16;

impl WindowBounds {
    /// For windows as long as `query`, which is normalised already as the windows will be by `normalize`, and a
    /// Sakoe-Chiba radius of `window`. `largest` is the largest magnitude in the series, needed for
    /// [`Normalize::None`] only.
    pub(crate) fn new(
        query: Series<'_>,
        window: Option<usize>,
        absolute: bool,
        normalize: Normalize,
        largest: f64,
    ) -> Self {
        let (steps, channels) = (query.steps(), query.channels());
        let levels = (steps / SEGMENTS).max(1).ilog2() as usize;
        let radius = window.unwrap_or(steps);
        let magnitude = query.values().iter().fold(largest, |most, x| most.max(x.abs()));
        let slack = match normalize {
            // Values are exact; means and middles are rounded.
            Normalize::None => ((1 << levels) + 64) as f64 * f64::EPSILON * magnitude,
            Normalize::Zscore | Normalize::Minmax => DEVIATION,
        };
        let channels = (0..channels)
            .map(|channel| {
                let values: Vec<f64> = query.values()[channel..].iter().step_by(channels).copied().collect();
                ChannelTerms::new(&values, radius, levels)
            })
            .collect();
        Self { channels, steps, levels, absolute, normalize, slack }
    }

    /// A window whose bound is above this has a DTW total above `total`, as the kernels compute it.
    ///
    /// With `v` values a window, bounds are computed from values that are off by a vector of norm `slack * sqrt(v)`
    /// and magnitudes that add up to `slack * v` (`rolling.rs`), so roots of bounds are off by at most the one, and
    /// bounds on `|x - y|` by the other. Each of the sums, here and along the path, has fewer than `3 v + 64`
    /// roundings, which only shrink or stretch it; the addend covers squares that vanish.
    pub(crate) fn threshold(&self, total: f64) -> f64 {
        let values = (self.steps * self.channels.len()) as f64;
        let stretch = 1.0 + 4.0 * f64::EPSILON * (3.0 * values + 64.0);
        let reach = if self.absolute {
            total + self.slack * values
        } else {
            let root = total.sqrt() + self.slack * values.sqrt();
            root * root
        };
        reach * stretch + values * f64::MIN_POSITIVE
    }

    #[inline(always)]
    fn fill(&self, series: Series<'_>, first: usize, windows: usize, channels: &mut Vec<Rolling>) {
        channels.resize_with(series.channels(), Rolling::default);
        for (channel, rolling) in channels.iter_mut().enumerate() {
            let span = Span {
                values: series.values(),
                channels: series.channels(),
                channel,
                first,
                windows,
                steps: self.steps,
            };
            rolling.fill(span, self.normalize, self.levels);
        }
    }
}

impl ChannelTerms {
    fn new(query: &[f64], radius: usize, levels: usize) -> Self {
        let steps = query.len();
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        envelope(query, radius, radius, &mut lower, &mut upper);
        let term = |at: usize, low: f64, high: f64| Term {
            at,
            middle: 0.5 * low + 0.5 * high,
            half: 0.5 * high - 0.5 * low,
        };
        let mut ends = vec![term(0, query[0], query[0])];
        if steps > 1 {
            ends.push(term(steps - 1, query[steps - 1], query[steps - 1]));
        }
        let inner = 1..steps.max(2) - 1;

        let mut fine: Vec<Term> = inner.clone().map(|at| term(at, lower[at], upper[at])).collect();
        // What is far from the mean costs most windows most.
        let mean = query.iter().map(|x| x / steps as f64).sum::<f64>();
        let far = |term: &Term| (term.middle - mean).abs() - term.half;
        fine.sort_by(|a, b| far(b).total_cmp(&far(a)));
        fine.splice(0..0, ends.iter().copied());

        let mut coarse: Vec<Segments> = Vec::new();
        let mut at = inner.start;
        for level in (0..=levels).rev() {
            let p = 1 << level;
            let share = 1.0 / p as f64;
            let mut terms = Vec::new();
            while inner.end - at >= p {
                let mean = |bound: &[f64]| bound[at..at + p].iter().map(|x| x * share).sum::<f64>();
                terms.push(term(at, mean(&lower), mean(&upper)));
                at += p;
            }
            coarse.push(Segments { level, terms });
        }
        if let Some(samples) = coarse.last_mut() {
            samples.terms.splice(0..0, ends);
        }
        coarse.retain(|segments| !segments.terms.is_empty());
        Self { coarse, fine }
    }
}

/// `sum` and the cost of a sample or segment mean.
#[inline(always)]
fn plus_cost<V: Vector, const ABSOLUTE: bool>(sum: V, mean: V, factor: V, offset: V, term: (V, V)) -> V {
    let (middle, half) = term;
    let distance = mean.mul_add(factor, offset.sub(middle)).abs().sub(half).max(V::splat(0.0));
    if ABSOLUTE { sum.add(distance) } else { distance.mul_add(distance, sum) }
}

/// The coarse bound of the windows `first .. first + windows`, into `bounds`, which is cleared first.
pub(crate) struct CoarseBounds<'a> {
    pub(crate) query: &'a WindowBounds,
    pub(crate) series: Series<'a>,
    pub(crate) first: usize,
    pub(crate) windows: usize,
    pub(crate) channels: &'a mut Vec<Rolling>,
    pub(crate) bounds: &'a mut Vec<f64>,
}

impl Kernel for CoarseBounds<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        self.query.fill(self.series, self.first, self.windows, self.channels);
        if self.query.absolute { self.bounds::<V, true>() } else { self.bounds::<V, false>() }
    }
}

impl CoarseBounds<'_> {
    #[inline(always)]
    fn bounds<V: Vector, const ABSOLUTE: bool>(self) {
        self.bounds.clear();
        self.bounds.reserve(self.windows + 2 * V::LANES);
        let mut s = 0;
        while s < self.windows {
            let (a, b) = (s, s + V::LANES);
            let (mut total_a, mut total_b) = (V::splat(0.0), V::splat(0.0));
            for (rolling, terms) in self.channels.iter().zip(&self.query.channels) {
                let (factor_a, factor_b) = (V::load(&rolling.factor[a..]), V::load(&rolling.factor[b..]));
                let (offset_a, offset_b) = (V::load(&rolling.offset[a..]), V::load(&rolling.offset[b..]));
                let (mut cost_a, mut cost_b) = (V::splat(0.0), V::splat(0.0));
                for segments in &terms.coarse {
                    let means = &rolling.means[segments.level][..];
                    let (mut sum_a, mut sum_b) = (V::splat(0.0), V::splat(0.0));
                    for term in &segments.terms {
                        let values = &means[term.at + a..];
                        let compared = (V::splat(term.middle), V::splat(term.half));
                        let (mean_a, mean_b) = (V::load(values), V::load(&values[V::LANES..]));
                        sum_a = plus_cost::<V, ABSOLUTE>(sum_a, mean_a, factor_a, offset_a, compared);
                        sum_b = plus_cost::<V, ABSOLUTE>(sum_b, mean_b, factor_b, offset_b, compared);
                    }
                    let p = V::splat((1_u64 << segments.level) as f64);
                    (cost_a, cost_b) = (sum_a.mul_add(p, cost_a), sum_b.mul_add(p, cost_b));
                }
                total_a = trusted(cost_a, &rolling.trust[a..], total_a);
                total_b = trusted(cost_b, &rolling.trust[b..], total_b);
            }
            self.bounds.extend_from_slice(&total_a.to_array()[..V::LANES]);
            self.bounds.extend_from_slice(&total_b.to_array()[..V::LANES]);
            s += 2 * V::LANES;
        }
        self.bounds.truncate(self.windows);
    }
}

/// `total`, and the cost of a channel where it may be relied upon. An overflown cost must stay a number.
#[inline(always)]
fn trusted<V: Vector>(cost: V, trust: &[f64], total: V) -> V {
    cost.min(V::splat(f64::MAX)).mul_add(V::load(trust), total)
}

/// The windows of `first .. first + windows` whose fine bound is not above `threshold`, as (bound, start), added
/// to `found`.
pub(crate) struct FineBounds<'a> {
    pub(crate) query: &'a WindowBounds,
    pub(crate) series: Series<'a>,
    pub(crate) first: usize,
    pub(crate) windows: usize,
    pub(crate) threshold: f64,
    pub(crate) channels: &'a mut Vec<Rolling>,
    pub(crate) found: &'a mut Vec<(f64, usize)>,
}

impl Kernel for FineBounds<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        self.query.fill(self.series, self.first, self.windows, self.channels);
        if self.query.absolute { self.find::<V, true>() } else { self.find::<V, false>() }
    }
}

impl FineBounds<'_> {
    #[inline(always)]
    fn find<V: Vector, const ABSOLUTE: bool>(self) {
        let threshold = V::splat(self.threshold);
        let mut s = 0;
        while s < self.windows {
            let mut total = V::splat(0.0);
            let mut bound = total;
            let mut alive = u8::MAX;
            'channels: for (rolling, terms) in self.channels.iter().zip(&self.query.channels) {
                let (factor, offset) = (V::load(&rolling.factor[s..]), V::load(&rolling.offset[s..]));
                let samples = &rolling.means[0][s..];
                let mut sum = V::splat(0.0);
                for chunk in terms.fine.chunks(FINE_STEP) {
                    for term in chunk {
                        let compared = (V::splat(term.middle), V::splat(term.half));
                        let value = V::load(&samples[term.at..]);
                        sum = plus_cost::<V, ABSOLUTE>(sum, value, factor, offset, compared);
                    }
                    bound = trusted(sum, &rolling.trust[s..], total);
                    alive = V::bits(bound.le(threshold));
                    if alive == 0 {
                        break 'channels;
                    }
                }
                total = bound;
            }
            if alive != 0 {
                let bounds = bound.to_array();
                for (q, &bound) in bounds.iter().enumerate().take(V::LANES.min(self.windows - s)) {
                    if alive & 1 << q != 0 {
                        self.found.push((bound, self.first + s + q));
                    }
                }
            }
            s += V::LANES;
        }
    }
}
