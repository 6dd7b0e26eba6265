//! The elastic distances beyond DTW.

use super::simd::Level;
use super::{Interrupt, KernelError};
use crate::series::Series;

/// An elastic distance with its parameters. Univariate; none of them takes a root.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// DTW with squared cost on derivatives (Keogh and Pazzani 2001). Needs three steps.
    Ddtw,
    /// DTW with squared cost weighted by a logistic of `|i-j|` (Jeong et al. 2011).
    Wdtw {
        /// Steepness of the logistic, at least 0.
        g: f64,
    },
    /// DTW with squared cost and a penalty on every step that is not diagonal (Herrmann and Webb 2023).
    Adtw {
        /// Added per step, at least 0.
        penalty: f64,
    },
    /// Edit distance with real penalty (Chen and Ng 2004).
    Erp {
        /// The value that a gap is compared with, finite.
        gap: f64,
    },
    /// Edit distance on real sequences, a raw count (Chen, Ozsu and Oria 2005).
    Edr {
        /// Values match when `|x-y| <= epsilon`; at least 0.
        epsilon: f64,
    },
    /// Move-split-merge (Stefan, Athitsos and Das 2013).
    Msm {
        /// Of one split or merge, at least 0.
        cost: f64,
    },
    /// Time warp edit distance (Marteau 2009) with timestamps 1, 2, ...
    Twe {
        /// Stiffness per unit of time, at least 0.
        nu: f64,
        /// Of one deletion, at least 0.
        lambda: f64,
    },
    /// Soft-DTW with squared cost (Cuturi and Blondel 2017). May be negative.
    SoftDtw {
        /// Smoothing, above 0.
        gamma: f64,
    },
}

impl Measure {
    /// The shortest series that it is defined for.
    pub fn min_steps(self) -> usize {
        if self == Measure::Ddtw { 3 } else { 1 }
    }
}

/// The distance of two series of one channel and at least [`Measure::min_steps`] steps.
pub fn distance(
    level: Level,
    measure: Measure,
    a: Series<'_>,
    b: Series<'_>,
    window: Option<usize>,
    interrupt: Interrupt<'_>,
) -> Result<f64, KernelError> {
    let _ = level;
    interrupt.check()?;
    Ok(super::oracle::elastic::elastic(measure, a, b, window))
}

/// The distances of `query` to `candidates` of any lengths, in order, into `distances` of the same length.
pub fn batch(
    level: Level,
    measure: Measure,
    query: Series<'_>,
    candidates: &[Series<'_>],
    window: Option<usize>,
    distances: &mut [f64],
    interrupt: Interrupt<'_>,
) -> Result<(), KernelError> {
    for (candidate, slot) in candidates.iter().zip(distances) {
        *slot = distance(level, measure, query, *candidate, window, interrupt)?;
    }
    Ok(())
}
