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
//! - fine: ends and every sample, given up once it is beyond the threshold; for windows that pass, the same the other
//!   way round, values of the query against the envelope of the series. That one is wider at the ends of a window than the
//!   window's own would be, which makes the bound lower, and still a bound.
//!
//! Costs of several channels are added, so bounds are too. Totals are in units of the sum along the path: of `|x - y|`, or
//! of `(x - y)^2` when not `absolute`.

use super::band::Band;
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
    /// The inner values of the query, those first that cost most windows most.
    reverse: Vec<(usize, f64)>,
}

/// A query, ready to be compared with windows.
pub(crate) struct WindowBounds {
    channels: Vec<ChannelTerms>,
    steps: usize,
    levels: usize,
    /// Sakoe-Chiba radius.
    radius: usize,
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
        let radius = window.unwrap_or(steps).min(steps);
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
        Self { channels, steps, levels, radius, absolute, normalize, slack }
    }

    /// A window whose bound is above this has a DTW total above `total`, as the kernels compute it.
    ///
    /// With `v` values a window, bounds are computed from values that are off by a vector of norm `slack * sqrt(v)`
    /// and magnitudes that add up to `slack * v` (`rolling.rs`), so roots of bounds are off by at most the one, and
    /// bounds on `|x - y|` by the other. Each of the sums, here and along the path, has fewer than `3 v + 64`
    /// roundings, which only shrink or stretch it; the addend covers squares that vanish.
    ///
    /// The other way round, what is off is the envelope of a window. Normalisation is monotone, so the extremes are
    /// those of the same samples, off by `e + r |extreme|`; and where a value `q` of the query lies outside of the
    /// envelope, the nearer extreme lies between `q` and the sample at its place. The squares of the extremes
    /// that count therefore add up to at most those of the query and of the window, `2 v`, of which `r` takes a sixteenth
    /// of the slack.
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
    fn fill<V: Vector>(&self, series: Series<'_>, first: usize, windows: usize, channels: &mut Vec<Rolling>) {
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
            rolling.fill::<V>(span, self.normalize, self.levels);
        }
    }
}

impl ChannelTerms {
    fn new(query: &[f64], radius: usize, levels: usize) -> Self {
        let steps = query.len();
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        envelope(query, steps, Band::new(Some(radius), steps, steps), &mut lower, &mut upper);
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

        let mut reverse: Vec<(usize, f64)> = inner.clone().map(|at| (at, query[at])).collect();
        reverse.sort_by(|a, b| (b.1 - mean).abs().total_cmp(&(a.1 - mean).abs()));

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
        Self { coarse, fine, reverse }
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
        self.query.fill::<V>(self.series, self.first, self.windows, self.channels);
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
        self.query.fill::<V>(self.series, self.first, self.windows, self.channels);
        if self.query.absolute { self.find::<V, true>() } else { self.find::<V, false>() }
    }
}

impl FineBounds<'_> {
    #[inline(always)]
    fn find<V: Vector, const ABSOLUTE: bool>(self) {
        let before = self.found.len();
        let query = self.query;
        let threshold = V::splat(self.threshold);
        let end = self.first + self.windows;
        let mut s = 0;
        while s < self.windows {
            let bound = forward::<V, ABSOLUTE>(query, self.channels, s, threshold);
            push(self.found, bound, threshold, self.first + s, end);
            s += V::LANES;
        }
        let length = self.windows + query.steps - 1;
        if self.found.len() == before || query.radius + 1 >= query.steps {
            return;
        }
        let passed = self.found.split_off(before);
        for rolling in self.channels.iter_mut() {
            rolling.envelope(length, query.radius);
        }
        let mut rest = passed.as_slice();
        while let Some(&(_, start)) = rest.first() {
            let s = (start - self.first) / V::LANES * V::LANES;
            let bound = reverse::<V, ABSOLUTE>(query, self.channels, s, threshold).to_array();
            while let Some(&(forward, start)) = rest.first() {
                let Some(&reverse) = bound[..V::LANES].get(start - self.first - s) else { break };
                if reverse <= self.threshold {
                    self.found.push((forward.max(reverse), start));
                }
                rest = &rest[1..];
            }
        }
    }
}

/// Keeps the lanes whose bound is not above the threshold and that are windows before `end`.
#[inline(always)]
fn push<V: Vector>(found: &mut Vec<(f64, usize)>, bound: V, threshold: V, first: usize, end: usize) {
    let alive = V::bits(bound.le(threshold));
    if alive != 0 {
        for (q, &bound) in bound.to_array().iter().enumerate().take(V::LANES.min(end - first)) {
            if alive & 1 << q != 0 {
                found.push((bound, first + q));
            }
        }
    }
}

/// The fine bound of a vector of windows, or what is known of it when it is beyond the threshold in all lanes.
#[inline(always)]
fn forward<V: Vector, const ABSOLUTE: bool>(
    query: &WindowBounds,
    channels: &[Rolling],
    s: usize,
    threshold: V,
) -> V {
    let mut total = V::splat(0.0);
    for (rolling, terms) in channels.iter().zip(&query.channels) {
        let (factor, offset) = (V::load(&rolling.factor[s..]), V::load(&rolling.offset[s..]));
        let samples = &rolling.means[0][s..];
        let mut sum = V::splat(0.0);
        let mut bound = total;
        for chunk in terms.fine.chunks(FINE_STEP) {
            for term in chunk {
                let compared = (V::splat(term.middle), V::splat(term.half));
                let value = V::load(&samples[term.at..]);
                sum = plus_cost::<V, ABSOLUTE>(sum, value, factor, offset, compared);
            }
            bound = trusted(sum, &rolling.trust[s..], total);
            if V::bits(bound.le(threshold)) == 0 {
                return bound;
            }
        }
        total = bound;
    }
    total
}

/// The same with the roles exchanged, without the ends.
#[inline(always)]
fn reverse<V: Vector, const ABSOLUTE: bool>(
    query: &WindowBounds,
    channels: &[Rolling],
    s: usize,
    threshold: V,
) -> V {
    let mut total = V::splat(0.0);
    for (rolling, terms) in channels.iter().zip(&query.channels) {
        let (factor, offset) = (V::load(&rolling.factor[s..]), V::load(&rolling.offset[s..]));
        let (middle, half) = rolling.ranges();
        let (middle, half) = (&middle[s..], &half[s..]);
        let mut sum = V::splat(0.0);
        let mut bound = total;
        for chunk in terms.reverse.chunks(FINE_STEP) {
            for &(at, value) in chunk {
                let compared = (V::splat(value), V::load(&half[at..]).mul(factor));
                let middle = V::load(&middle[at..]);
                sum = plus_cost::<V, ABSOLUTE>(sum, middle, factor, offset, compared);
            }
            bound = trusted(sum, &rolling.trust[s..], total);
            if V::bits(bound.le(threshold)) == 0 {
                return bound;
            }
        }
        total = bound;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::dtw::{DtwOptions, Metric};
    use crate::kernels::oracle;
    use crate::kernels::simd::Level;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Case {
        query: Vec<f64>,
        long: Vec<f64>,
        channels: usize,
        window: Option<usize>,
        metric: Metric,
        normalize: Normalize,
    }

    fn case() -> impl Strategy<Value = Case> {
        let level = prop_oneof![Just(0.0), Just(1e5), Just(-1e9)];
        let scale = prop_oneof![Just(1.0), Just(1e-2), Just(1e-9), Just(0.0)];
        let normalize = prop_oneof![Just(Normalize::None), Just(Normalize::Zscore), Just(Normalize::Minmax)];
        let metric = prop_oneof![Just(Metric::Absolute), Just(Metric::Squared)];
        let values = |count| prop::collection::vec(-1.0..1.0_f64, count);
        (
            values(3..240),
            values(240..400),
            level,
            scale,
            normalize,
            metric,
            1..3_usize,
            0..40_usize,
            any::<bool>(),
        )
            .prop_map(|(query, long, level, scale, normalize, metric, channels, window, walk)| {
                let shape = |values: Vec<f64>| -> Vec<f64> {
                    let mut sum = 0.0;
                    let mut shaped: Vec<f64> = values
                        .iter()
                        .map(|x| {
                            sum = if walk { sum + x } else { *x };
                            level + scale * sum
                        })
                        .collect();
                    shaped.truncate(shaped.len() / channels * channels);
                    shaped
                };
                let window = (window < 30).then_some(window);
                Case { query: shape(query), long: shape(long), channels, window, metric, normalize }
            })
    }

    proptest! {
        /// For each window: no bound is above the threshold of its total, and the exact window is its own nearest.
        #[test]
        fn no_bound_rules_out_what_is_as_near_as_the_threshold(case in case()) {
            let Case { query, long, channels, window, metric, normalize } = case;
            let query = Series::trusted(&query, channels);
            let long = Series::trusted(&long, channels);
            let options = DtwOptions { metric, window, normalize, ..DtwOptions::default() };
            let normalized = normalize.apply(query);
            let normalized = Series::trusted(&normalized, channels);
            let largest = long.values().iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            let bounds =
                WindowBounds::new(normalized, window, metric == Metric::Absolute, normalize, largest);
            let windows = long.steps() - query.steps() + 1;
            let totals: Vec<f64> = (0..windows)
                .map(|start| {
                    let window = &long.values()[start * channels..][..query.values().len()];
                    oracle::dtw(query, Series::trusted(window, channels), &options)
                })
                .collect();
            for level in Level::available() {
                let (mut scratch, mut coarse, mut found) = (Vec::new(), Vec::new(), Vec::new());
                level.run(CoarseBounds {
                    query: &bounds,
                    series: long,
                    first: 0,
                    windows,
                    channels: &mut scratch,
                    bounds: &mut coarse,
                });
                prop_assert_eq!(coarse.len(), windows);
                for (bound, &total) in coarse.iter().zip(&totals) {
                    prop_assert!(*bound <= bounds.threshold(total), "coarse {} of {}", bound, total);
                }
                for total in [f64::INFINITY, totals[0], totals[windows / 2], totals[windows - 1]] {
                    found.clear();
                    level.run(FineBounds {
                        query: &bounds,
                        series: long,
                        first: 0,
                        windows,
                        threshold: bounds.threshold(total),
                        channels: &mut scratch,
                        found: &mut found,
                    });
                    let starts: Vec<usize> = found.iter().map(|&(_, start)| start).collect();
                    prop_assert!(starts.is_sorted_by(|a, b| a < b), "each once: {:?}", starts);
                    for (start, &exact) in totals.iter().enumerate() {
                        if exact <= total {
                            prop_assert!(starts.contains(&start), "{} of {}, within {}", start, exact, total);
                        }
                    }
                    for &(bound, start) in &found {
                        prop_assert!(bound <= bounds.threshold(totals[start]), "{} of {}", bound, totals[start]);
                    }
                }
            }
        }
    }

    #[test]
    fn bounds_rule_out_most_windows_of_a_walk() {
        let (mut sum, mut state) = (1e5, 1_u32);
        let long: Vec<f64> = (0..4000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                sum += f64::from(state >> 8) / f64::from(1 << 24) - 0.5;
                sum
            })
            .collect();
        let mut query = long[1000..1128].to_vec();
        Normalize::Zscore.apply_in_place(&mut query, 1);
        let bounds = WindowBounds::new(Series::trusted(&query, 1), Some(6), false, Normalize::Zscore, 0.0);
        let (mut scratch, mut found) = (Vec::new(), Vec::new());
        Level::best().run(FineBounds {
            query: &bounds,
            series: Series::trusted(&long, 1),
            first: 0,
            windows: 4000 - 127,
            threshold: bounds.threshold(1.0),
            channels: &mut scratch,
            found: &mut found,
        });
        assert!(found.iter().any(|&(_, start)| start == 1000));
        assert!(found.len() < 40, "{} windows are left", found.len());
    }
}
