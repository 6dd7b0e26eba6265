//! Amerced dynamic time warping: a fixed fine for every step that warps.
//!
//! Herrmann and Webb, "Amercing: an intuitive and effective constraint for dynamic time warping", Pattern
//! Recognition 137 (2023).
//!
//! - Recurrence: `D(i,j) = (a(i) - b(j))^2 + min(D(i-1,j-1), D(i-1,j) + penalty, D(i,j-1) + penalty)`.
//! - Borders: infinite but for `D(0,0) = 0`.
//! - Unit: the square of the unit of the values; no root. Not a metric.
//! - Domain: `penalty >= 0`, finite. 0 is DTW; a huge one is the squared Euclidean distance of equal lengths.

use super::recurrence::{Predecessors, Recurrence};
use crate::kernels::simd::Vector;

#[derive(Clone, Copy)]
pub(super) struct Adtw {
    pub(super) penalty: f64,
}

impl Recurrence for Adtw {
    type Step<V: Vector> = V;

    #[inline(always)]
    fn step<V: Vector>(self, value: V, _before: V) -> V {
        value
    }

    #[inline(always)]
    fn cell<V: Vector>(self, row: V, column: V, _apart: V, from: Predecessors<V>) -> V {
        let difference = row.sub(column);
        // Rounding is monotone, so one fine on the lesser is the lesser of the fined ones.
        let warped = from.left.min(from.up).add(V::splat(self.penalty));
        difference.mul(difference).add(from.diagonal.min(warped))
    }
}
