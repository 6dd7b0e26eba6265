//! Derivative dynamic time warping: DTW on slopes, so that a shift of level costs nothing.
//!
//! Keogh and Pazzani, "Derivative dynamic time warping", SDM 2001.
//!
//! - Derivative: `x'(i) = ((x(i) - x(i-1)) + (x(i+1) - x(i-1)) / 2) / 2`, one value less at either end.
//! - Recurrence, on the derivatives: `D(i,j) = (a'(i) - b'(j))^2 + min(D(i-1,j-1), D(i-1,j), D(i,j-1))`.
//! - That is the DTW of `kernels::dtw` with squared cost, which computes it. The band is one of the derivatives.
//! - Unit: the square of the unit of the values; no root. Not a metric.

use crate::kernels::dtw::{DtwOptions, Metric};

/// DTW as it is done on the derivatives.
pub(super) fn options(window: Option<usize>) -> DtwOptions {
    DtwOptions { metric: Metric::Squared, window, ..DtwOptions::default() }
}

/// The derivative of `x`, two values shorter; empty below three values.
///
/// Halved before subtracting (which is exact) and limited, so that it is finite like the values are: with an
/// infinite slope in both series the distance would be NaN.
pub(super) fn derivative(x: &[f64]) -> Vec<f64> {
    let slope = |x: &[f64]| {
        let [before, now, after] = [x[0] / 2.0, x[1] / 2.0, x[2] / 2.0];
        ((now - before) + (after - before) / 2.0).clamp(f64::MIN, f64::MAX)
    };
    x.windows(3).map(slope).collect()
}
