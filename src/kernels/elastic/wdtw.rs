//! Weighted dynamic time warping: distant steps may be matched, but pay more.
//!
//! Jeong, Jeong and Omitaomu, "Weighted dynamic time warping for time series classification", Pattern Recognition
//! 44 (2011).
//!
//! - Weight: `w(k) = 1 / (1 + exp(-g (k - max(n,m) / 2)))`, the paper's with the largest weight 1.
//! - Recurrence: `D(i,j) = w(|i-j|) (a(i) - b(j))^2 + min(D(i-1,j-1), D(i-1,j), D(i,j-1))`.
//! - Borders: infinite but for `D(0,0) = 0`.
//! - Unit: the square of the unit of the values; no root. Not a metric.
//! - Domain: `g >= 0`, finite. At 0 every weight is 1/2; 0.05 is the usual choice, beyond 1 it is nearly a band.

use super::recurrence::{Predecessors, Recurrence};
use crate::kernels::simd::Vector;

#[derive(Clone, Copy)]
pub(super) struct Wdtw {
    pub(super) g: f64,
}

impl Recurrence for Wdtw {
    type Step<V: Vector> = V;
    const APART: bool = true;

    #[inline(always)]
    fn step<V: Vector>(self, value: V, _before: V) -> V {
        value
    }

    // libm's exp, not the platform's: the same bits everywhere. A weight that is too small for an f64 is not 0,
    // because 0 times an infinite square would be NaN.
    fn apart(self, distance: usize, longest: usize) -> f64 {
        let exponent = -self.g * (distance as f64 - longest as f64 / 2.0);
        (1.0 / (1.0 + libm::exp(exponent))).max(f64::MIN_POSITIVE)
    }

    #[inline(always)]
    fn cell<V: Vector>(self, row: V, column: V, apart: V, from: Predecessors<V>) -> V {
        let difference = row.sub(column);
        difference.mul(difference).mul(apart).add(from.left.min(from.diagonal).min(from.up))
    }
}
