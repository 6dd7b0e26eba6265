//! Dynamic time warping: distance and warping path of one pair, and distances of one query to many candidates.
//!
//! Step pattern symmetric1 (diagonal, up, left, each of weight 1), Sakoe-Chiba band, dependent multivariate cost.
//! Sakoe and Chiba 1978; the conventions, which libraries disagree about, are in `docs/conventions.md`.

use super::normalize::Normalize;

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
