//! Which candidates a nearest-neighbour search need not compute: bounds of DTW in single precision, eight at a time.
//!
//! Nothing here is an answer. A candidate is dropped only when a *proven* lower bound of its distance is above what
//! it has to beat; whatever is left is computed in f64 by [`super::dtw`]. The stages, cheapest first:
//!
//! | module | bound |
//! | --- | --- |
//! | [`summary`] | the ways out of both corners of the matrix, and LB_Keogh on means of runs of rows |
//! | [`project`] | the same corners, LB_Keogh of every row, and what is left of it for the columns: LB_Improved |
//! | [`meet`] | the matrix itself, swept from both corners ([`sweep`]) until the two meet or every lane is above its ceiling |
//!
//! LB_Keogh of every row (Keogh and Ratanamahatana, "Exact indexing of dynamic time warping", 2005) is no stage of its
//! own, in either role: it takes as long to read the candidates, and leaves several times as many.
//!
//! # Margins
//! With `u = 2^-24`, rounding a value `x` to f32 errs by at most `u |x|`, so the difference of two values errs by at
//! most `e = u (|q| + |c|)`, magnitudes being the largest of query and candidate, and every later operation has a
//! relative error of `u`, at most `4 P + 16` of them one after the other, where `P` bounds the pairs of a path. Let `D` be the
//! cost of a path in real numbers and `v` its cost as computed here. For absolute costs
//! `v <= (D + e P)(1 + c)` with `c = (4 P + 16) u`; for squared ones, by Minkowski's inequality over the pairs of the path,
//! `v <= (sqrt(D) + e sqrt(P))^2 (1 + c)`, and the same the other way round. Everything is padded beyond that:
//! `e` is doubled and an addend covers underflow, here and in the total that f64 computes (whose other errors,
//! `2^-53` for each operation, vanish beside `c`). Values too large for f32 arithmetic are refused by [`Scale`].

mod corner;
mod group;
mod meet;
mod project;
mod summary;
mod sweep;

pub(crate) use group::{Groups, Screened};
pub(crate) use meet::{Meeting, Meetings, Met};
pub(crate) use project::{Projecting, Projections};
pub(crate) use summary::{Summary, SummaryBounds};

use super::band::Band;
use super::dtw::Metric;
use super::envelope::envelope;
use super::simd::{Singles, WIDTH};

/// Fewer steps than this are not worth a bound, and the stages count on as many.
pub(crate) const MIN_STEPS: usize = 16;

/// Scaled values above this are not screened: their squares, summed over any path, must stay finite.
const LARGEST: f32 = 1e12;

/// Covers what underflows to zero, in units of scaled costs.
const TINY: f32 = 1e-34;

/// `2^-24`: the relative error of rounding to f32.
const UNIT: f64 = 1.0 / 16_777_216.0;

/// From f64 values to f32: an offset, then a power of two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    offset: f64,
    factor: f64,
}

impl Scale {
    /// For values around `offset` that mostly differ from it by less than `spread`.
    pub(crate) fn new(offset: f64, spread: f64) -> Self {
        let (_, exponent) = libm::frexp(spread);
        // The square of the factor must not leave the range of f64; and what f64 loses where squares are subnormal,
        // 2^-1075 a pair, must stay far below TINY once it is scaled.
        let factor = libm::ldexp(1.0, -exponent.clamp(-400, 500));
        Self { offset, factor: if spread > 0.0 { factor } else { 1.0 } }
    }

    /// For values like these.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mean = values.iter().fold(0.0, |sum, x| sum + x / values.len() as f64);
        let spread = values.iter().fold(0.0_f64, |spread, x| spread.max((x - mean).abs()));
        // A series that stands still says nothing about how far others move.
        let spread = spread.max(mean.abs() * UNIT);
        if mean.is_finite() && spread.is_finite() {
            Self::new(mean, spread)
        } else {
            Self::new(0.0, f64::MAX)
        }
    }

    fn scaled(self, x: f64) -> f64 {
        (x - self.offset) * self.factor
    }

    /// Appends `values`, scaled; false when one of them is too large to be screened (then they mean nothing).
    pub(crate) fn extend(self, singles: &mut Vec<f32>, values: &[f64]) -> bool {
        let start = singles.len();
        singles.extend(values.iter().map(|&x| self.scaled(x) as f32));
        let largest = singles[start..].iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        largest <= LARGEST
    }
}

/// A query, ready to be compared with candidates of `rows` steps each.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    metric: Metric,
    scale: Scale,
    rows: usize,
    band: Band,
    query: Vec<f32>,
    reversed: Vec<f32>,
    /// By row of a candidate, the values of the query that the row may meet. Open at the first and the last row,
    /// whose costs are known exactly.
    lower: Vec<f32>,
    upper: Vec<f32>,
    /// The largest magnitude of the query.
    largest: f32,
    /// The relative error of a chain of operations along a path, `c` above.
    relative: f64,
    /// By how much rounding the inputs moves the cost (its root, for squares) of a path: `e P` or `e sqrt(P)`,
    /// doubled, for each unit of `|q| + |c|`.
    rounding: f64,
}

impl Target {
    /// For candidates of `rows` steps, scaled by `scale`, with a band of radius `window`. None when the query or the
    /// candidates are too short or too large to be screened.
    pub(crate) fn new(
        query: &[f64],
        rows: usize,
        window: Option<usize>,
        metric: Metric,
        scale: Scale,
    ) -> Option<Self> {
        let mut singles = Vec::with_capacity(query.len());
        if rows < MIN_STEPS || query.len() < MIN_STEPS || !scale.extend(&mut singles, query) {
            return None;
        }
        let band = Band::new(window, rows, query.len());
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        envelope(&singles, rows, band, &mut lower, &mut upper);
        for row in [0, rows - 1] {
            (lower[row], upper[row]) = (f32::NEG_INFINITY, f32::INFINITY);
        }
        let largest = singles.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let reversed = singles.iter().rev().copied().collect();
        // Pairs of the longest path.
        let path = (rows + query.len() - 1) as f64;
        let relative = (4.0 * path + 16.0) * UNIT * 1.01;
        let rounding = 2.02 * UNIT * if metric == Metric::Absolute { path } else { path.sqrt() };
        let query = singles;
        Some(Self { metric, scale, rows, band, query, reversed, lower, upper, largest, relative, rounding })
    }

    /// Squares are what is summed, and not magnitudes.
    fn squares(&self) -> bool {
        self.metric != Metric::Absolute
    }

    /// `total`, a sum of costs, in scaled units and rounded up: what lower bounds are compared with.
    pub(crate) fn threshold(&self, total: f64) -> f32 {
        let factor = self.scale.factor;
        let scaled = if self.squares() { total * factor * factor } else { total * factor };
        (scaled as f32).next_up()
    }

    /// Per lane, the largest computed cost that a path of at most `total` can have, where the candidate's largest
    /// magnitude is `largest`.
    #[inline(always)]
    fn ceiling<S: Singles>(&self, total: f64, largest: S) -> S {
        let root = if self.squares() { total.sqrt() } else { total };
        let root = root * self.scale.factor;
        let moved = largest.add(S::splat(self.largest)).mul(S::splat((self.rounding as f32).next_up()));
        let cost = S::splat((root as f32).next_up()).add(moved);
        let cost = if self.squares() { cost.mul(cost) } else { cost };
        let relative = ((1.0 + self.relative) as f32).next_up();
        cost.mul_add(S::splat(relative), S::splat(TINY))
    }

    /// Per lane, a cost in scaled units that no path of a computed cost of at least `cost` is below.
    #[inline(always)]
    fn floor<S: Singles>(&self, cost: S, largest: S) -> S {
        let zero = S::splat(0.0);
        let moved = largest.add(S::splat(self.largest)).mul(S::splat((self.rounding as f32).next_up()));
        let cost = cost.sub(S::splat(TINY)).max(zero);
        let root = if self.squares() { cost.sqrt() } else { cost };
        let root = root.mul(S::splat((1.0 - self.relative) as f32)).sub(moved).max(zero);
        let floor = if self.squares() { root.mul(root) } else { root };
        // For the roundings of these very lines.
        floor.mul(S::splat(1.0 - 16.0 * UNIT as f32))
    }

    /// A total that the true one is not above, where the computed cost of some path is `cost`.
    fn total_at_most(&self, cost: f32, largest: f32) -> f64 {
        let cost = (f64::from(cost) + f64::from(TINY)) * (1.0 + self.relative);
        let moved = (f64::from(largest) + f64::from(self.largest)) * self.rounding;
        let factor = self.scale.factor;
        let total =
            if self.squares() { ((cost.sqrt() + moved) / factor).powi(2) } else { (cost + moved) / factor };
        total * (1.0 + 1e-9)
    }
}

/// A local cost as a function of the difference.
trait Cost {
    /// `cost(difference) + sum`
    fn onto<S: Singles>(difference: S, sum: S) -> S;
}

struct Absolute;
struct Squared;

impl Cost for Absolute {
    #[inline(always)]
    fn onto<S: Singles>(difference: S, sum: S) -> S {
        difference.abs().add(sum)
    }
}

impl Cost for Squared {
    #[inline(always)]
    fn onto<S: Singles>(difference: S, sum: S) -> S {
        difference.mul_add(difference, sum)
    }
}

/// How far `x` is outside `lower ..= upper`, signed.
#[inline(always)]
fn outside<S: Singles>(x: S, lower: S, upper: S) -> S {
    x.sub(x.max(lower).min(upper))
}

/// A chunk of a row as an array.
#[inline(always)]
fn lanes(values: &[f32], start: usize) -> &[f32; WIDTH] {
    values[start..].first_chunk().expect("the chunk lies within the row")
}

#[cfg(test)]
mod tests;
