//! Move-split-merge: moving a value costs its distance, splitting one into two or merging two costs a constant.
//!
//! Stefan, Athitsos and Das, "The move-split-merge metric for time series", IEEE TKDE 25 (2013).
//!
//! - `C(x, y, z) = cost` when `x` lies between `y` and `z`, else `cost + min(|x-y|, |x-z|)`.
//! - Recurrence: `D(i,j) = min(D(i-1,j-1) + |a(i) - b(j)|, D(i-1,j) + C(a(i), a(i-1), b(j)),
//!   D(i,j-1) + C(b(j), b(j-1), a(i)))`.
//! - Borders: infinite but for `D(0,0) = 0`, which leaves the paper's first row and column.
//! - Unit: that of the values. A metric up to rounding, without a band.
//! - Domain: `cost >= 0`, finite.

use super::recurrence::{Predecessors, Recurrence};
use crate::kernels::simd::Vector;

#[derive(Clone, Copy)]
pub(super) struct Msm {
    pub(super) cost: f64,
}

/// With `d = x - z` for the value `z` of the other series, the way from `x` to the nearest value between `y` (the
/// one before `x`) and `z` is `|d|` limited to the side of 0 and the size of `x - y`: no comparison is left for the
/// cell.
#[derive(Clone, Copy)]
pub(super) struct MsmStep<V> {
    value: V,
    /// `min(x - y, 0)`.
    least: V,
    /// `max(x - y, 0)`.
    most: V,
}

impl Recurrence for Msm {
    type Step<V: Vector> = MsmStep<V>;

    #[inline(always)]
    fn step<V: Vector>(self, value: V, before: V) -> MsmStep<V> {
        let rise = value.sub(before);
        MsmStep { value, least: rise.min(V::splat(0.0)), most: rise.max(V::splat(0.0)) }
    }

    #[inline(always)]
    fn cell<V: Vector>(self, row: MsmStep<V>, column: MsmStep<V>, _apart: V, from: Predecessors<V>) -> V {
        let apart = row.value.sub(column.value);
        let moved = from.diagonal.add(apart.abs());
        let split = from.up.add(apart.max(row.least).min(row.most).abs());
        let apart = column.value.sub(row.value);
        let merged = from.left.add(apart.max(column.least).min(column.most).abs());
        // Rounding is monotone, so adding to the lesser gives the lesser of the sums.
        moved.min(merged.min(split).add(V::splat(self.cost)))
    }
}
