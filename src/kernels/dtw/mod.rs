//! Dynamic time warping: distance and warping path of one pair, and distances of one query to many candidates.
//!
//! `D(i, j) = cost(a_i, b_j) + min(D(i-1, j-1), D(i-1, j), D(i, j-1))`, step pattern symmetric1 with a Sakoe-Chiba
//! band and dependent multivariate cost (Sakoe and Chiba, "Dynamic programming algorithm optimization for spoken word
//! recognition", 1978). The conventions, which libraries disagree about, are in `docs/conventions.md`.
//!
//! | module | for |
//! | --- | --- |
//! | [`strip`] | one pair: rows across lanes, skewed |
//! | [`diagonals`] | one pair in a narrow band, or a short one: whole diagonals across lanes |
//! | [`lanes`] | one query, many candidates: candidates across lanes |
//! | [`trace`] | warping paths |
//! | [`batch`] | many candidates, sorted into lanes |
//! | [`windows`] | windows of one series, normalised side by side |
//!
//! All of them compute every cell by the same IEEE operations, so they agree to the last bit.

mod batch;
mod cost;
mod diagonals;
mod lanes;
mod strip;
mod trace;
mod windows;

pub use batch::{align_batch, batch};
pub(in crate::kernels) use batch::{by_length, groups};
pub(crate) use trace::check_alignment;
pub use trace::{MAX_ALIGN_CELLS, align};
pub(crate) use windows::{WindowTotals, totals_of_windows};

use super::band::Band;
use super::normalize::Normalize;
use super::simd::{Kernel, Level, Vector};
use super::{Interrupt, KernelError};
use crate::series::Series;
use cost::{Absolute, Many, One, Squared};

/// What is summed along the warping path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metric {
    /// `|x - y|`, over channels their sum.
    #[default]
    Absolute,
    /// `(x - y)^2`, over channels their sum.
    Squared,
    /// The square root of the total of `Squared`.
    Euclidean,
}

impl Metric {
    /// From the sum along the path to the distance.
    pub(crate) fn finish(self, total: f64) -> f64 {
        if self == Self::Euclidean { total.sqrt() } else { total }
    }

    /// A total above this has a distance above `max_distance`; padded outward, so never the other way round.
    pub(crate) fn bound(self, max_distance: f64) -> f64 {
        if self != Self::Euclidean {
            return max_distance;
        }
        // The rounded root of a total is at most `max_distance` only if the total is below its square by a few
        // units in the last place; the addend covers squares that vanish.
        max_distance * max_distance * (1.0 + 4.0 * f64::EPSILON) + f64::MIN_POSITIVE
    }

    /// The distance, or infinity beyond `max_distance`, equality included: the rounded root is what is compared.
    pub(crate) fn bounded(self, total: f64, max_distance: f64) -> f64 {
        let distance = self.finish(total);
        if distance <= max_distance { distance } else { f64::INFINITY }
    }

    /// What the two ends of any path add to its total: at most the total, also after rounding.
    pub(crate) fn end_costs(self, a: Series<'_>, b: Series<'_>) -> f64 {
        let cost = |x: &[f64], y: &[f64]| -> f64 {
            let terms = x.iter().zip(y).map(|(x, y)| x - y);
            if self == Self::Absolute { terms.map(f64::abs).sum() } else { terms.map(|d| d * d).sum() }
        };
        let (x, y, channels) = (a.values(), b.values(), a.channels());
        let first = cost(&x[..channels], &y[..channels]);
        if a.steps() == 1 && b.steps() == 1 {
            return first;
        }
        cost(&x[x.len() - channels..], &y[y.len() - channels..]) + first
    }
}

/// How two series are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DtwOptions {
    /// Local cost and root.
    pub metric: Metric,
    /// Sakoe-Chiba radius in samples; none: every cell.
    pub window: Option<usize>,
    /// Done to both series first.
    pub normalize: Normalize,
    /// In units of the result: a larger distance is reported as infinity. Infinity: no bound.
    pub max_distance: f64,
}

impl Default for DtwOptions {
    fn default() -> Self {
        Self {
            metric: Metric::default(),
            window: None,
            normalize: Normalize::default(),
            max_distance: f64::INFINITY,
        }
    }
}

/// A warping path and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// As [`distance`] would give it.
    pub distance: f64,
    /// Pairs `(i, j)` from `(0, 0)` to `(n-1, m-1)`; empty when the distance is beyond the bound. Among equally cheap
    /// paths the one that is traced back from the end by: diagonal, then up (`i-1`), then left (`j-1`).
    pub path: Vec<(u32, u32)>,
}

impl Alignment {
    /// Mean of `j - i` over the path, in samples: positive when `b` lags `a`. NaN without a path.
    pub fn lag(&self) -> f64 {
        let total: i64 = self.path.iter().map(|&(i, j)| i64::from(j) - i64::from(i)).sum();
        total as f64 / self.path.len() as f64
    }
}

/// The DTW distance of `a` and `b`; infinity when it is above `options.max_distance`. Memory is linear in the lengths.
///
/// # Panics
/// When the channels of `a` and `b` differ.
pub fn distance(
    level: Level,
    a: Series<'_>,
    b: Series<'_>,
    options: &DtwOptions,
    interrupt: Interrupt<'_>,
) -> Result<f64, KernelError> {
    let (x, y) = (options.normalize.apply(a), options.normalize.apply(b));
    let (a, b) = (Series::trusted(&x, a.channels()), Series::trusted(&y, b.channels()));
    let pair = Pair::new(a, b, options);
    let total = if pair.ends_exceed_bound() { f64::INFINITY } else { pair.total(level, interrupt)? };
    Ok(options.metric.bounded(total, options.max_distance))
}

/// Two normalised series, what they are compared by, and the bound on their total.
#[derive(Clone, Copy)]
struct Pair<'a> {
    rows: Series<'a>,
    columns: Series<'a>,
    band: Band,
    metric: Metric,
    bound: f64,
}

impl<'a> Pair<'a> {
    /// The shorter series becomes the rows: fewer strips, longer runs. The matrix is symmetric, so are its bits.
    fn new(a: Series<'a>, b: Series<'a>, options: &DtwOptions) -> Self {
        assert_eq!(a.channels(), b.channels(), "both series have the same number of channels");
        let (rows, columns) = if a.steps() <= b.steps() { (a, b) } else { (b, a) };
        Self {
            rows,
            columns,
            band: Band::new(options.window, rows.steps(), columns.steps()),
            metric: options.metric,
            bound: options.metric.bound(options.max_distance),
        }
    }

    fn ends_exceed_bound(&self) -> bool {
        self.metric.end_costs(self.rows, self.columns) > self.bound
    }

    fn total(&self, level: Level, interrupt: Interrupt<'_>) -> Result<f64, KernelError> {
        level.run(PairTotal { pair: *self, interrupt })
    }
}

struct PairTotal<'a> {
    pair: Pair<'a>,
    interrupt: Interrupt<'a>,
}

impl Kernel for PairTotal<'_> {
    type Output = Result<f64, KernelError>;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn run<V: Vector>(self) -> Self::Output {
        let Self { pair: Pair { rows, columns, band, metric, bound }, interrupt } = self;
        macro_rules! diagonals {
            ($vectors:literal) => {{
                let (a, b) = (rows.values(), columns.values());
                return match metric {
                    Metric::Absolute => {
                        diagonals::distance::<V, Absolute, $vectors>(a, b, band, bound, interrupt)
                    }
                    _ => diagonals::distance::<V, Squared, $vectors>(a, b, band, bound, interrupt),
                };
            }};
        }
        macro_rules! strips {
            ($channels:ty, $absolute:literal, $squared:literal) => {
                match metric {
                    Metric::Absolute => strip::distance::<V, Absolute, $channels, $absolute>(
                        rows, columns, band, bound, interrupt,
                    ),
                    _ => strip::distance::<V, Squared, $channels, $squared>(
                        rows, columns, band, bound, interrupt,
                    ),
                }
            };
        }
        if rows.channels() > 1 {
            return strips!(Many, 4, 4);
        }
        // Whole diagonals for as long as two of them fit the registers, about.
        match diagonals::cells(band).div_ceil(V::LANES) {
            1 => diagonals!(1),
            2 => diagonals!(2),
            3 => diagonals!(3),
            4 => diagonals!(4),
            5 => diagonals!(5),
            6 => diagonals!(6),
            7 => diagonals!(7),
            8 => diagonals!(8),
            _ => {}
        }
        // Row vectors of the strips for each cost: what was fastest by cycle counts.
        if V::REGISTERS >= 32 {
            strips!(One, 6, 6)
        } else if band.is_full(rows.steps(), columns.steps()) && rows.steps() >= 800 {
            strips!(One, 5, 6)
        } else {
            strips!(One, 4, 4)
        }
    }
}

#[cfg(test)]
mod tests;
