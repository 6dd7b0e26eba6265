//! Soft-DTW: DTW with a smoothed minimum, differentiable in its values.
//!
//! Cuturi and Blondel, "Soft-DTW: a differentiable loss function for time-series", ICML 2017.
//!
//! - `softmin(x, y, z) = -gamma log(exp(-x/gamma) + exp(-y/gamma) + exp(-z/gamma))`.
//! - Recurrence: `D(i,j) = (a(i) - b(j))^2 + softmin(D(i-1,j-1), D(i-1,j), D(i,j-1))`.
//! - Borders: infinite but for `D(0,0) = 0`.
//! - Unit: the square of the unit of the values. The smoothed minimum is below the minimum, so the value may be
//!   negative, and that of identical series is not 0; it is returned as it is. Not a metric.
//! - Domain: `1e-150 <= gamma <= 1e150`. Beyond, `1 / gamma` or the sum of the `gamma log 3` that a path is lowered
//!   by is no number any more: minus infinity plus an infinite square would be NaN.
//!
//! The least of the three is subtracted first, so no exponential overflows, and its own is exp(0) = 1. When the
//! others are so much larger that the sum rounds to 1, the logarithm is 0 and nothing is evaluated: with a `gamma`
//! that is small for the data this is nearly every cell. exp and log are those of the crate `libm`, lane by lane,
//! so that the bits agree on all platforms; they, not the recurrence, are the time of this measure: with `gamma` 1 on a
//! random walk of unit steps it is some sixty times slower than MSM.

use super::recurrence::{Predecessors, Recurrence};
use crate::kernels::simd::{MAX_LANES, Vector};
use std::ops::RangeInclusive;

/// The domain of `gamma`.
pub(super) const GAMMA: RangeInclusive<f64> = 1e-150..=1e150;

/// exp(-40) is below half of the spacing of floating-point numbers at 1, even twice.
const NEGLIGIBLE: f64 = -40.0;

#[derive(Clone, Copy)]
pub(super) struct SoftDtw {
    gamma: f64,
    /// `1 / gamma`.
    sharpness: f64,
}

impl SoftDtw {
    pub(super) fn new(gamma: f64) -> Self {
        Self { gamma, sharpness: 1.0 / gamma }
    }
}

impl Recurrence for SoftDtw {
    type Step<V: Vector> = V;

    #[inline(always)]
    fn step<V: Vector>(self, value: V, _before: V) -> V {
        value
    }

    #[inline(always)]
    fn cell<V: Vector>(self, row: V, column: V, _apart: V, from: Predecessors<V>) -> V {
        let difference = row.sub(column);
        let lesser = from.left.min(from.up);
        let larger = from.left.max(from.up);
        let least = lesser.min(from.diagonal);
        let middle = lesser.max(from.diagonal).min(larger);
        let most = larger.max(from.diagonal);
        // Where all three are infinite these are NaN, which no comparison below holds for.
        let near = least.sub(middle).mul(V::splat(self.sharpness));
        let far = least.sub(most).mul(V::splat(self.sharpness));
        let counts = V::splat(NEGLIGIBLE).le(near);
        let mut below = [0.0; MAX_LANES];
        if V::bits(counts) != 0 {
            let (near, far) = (near.to_array(), far.to_array());
            for (q, below) in below.iter_mut().enumerate().take(V::LANES) {
                if near[q] >= NEGLIGIBLE {
                    *below = self.gamma * libm::log(1.0 + (libm::exp(near[q]) + libm::exp(far[q])));
                }
            }
        }
        difference.mul(difference).add(least.sub(V::from_fn(|q| below[q])))
    }
}
