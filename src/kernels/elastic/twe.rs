//! Time warp edit distance: edits of values and of time stamps.
//!
//! Marteau, "Time warp edit distance with stiffness adjustment for time series matching", IEEE TPAMI 31 (2009).
//!
//! - Time stamps are the positions 1, 2, ...; both series are preceded by the value 0 at time 0.
//! - Recurrence: `D(i,j) = min(D(i-1,j-1) + |a(i) - b(j)| + |a(i-1) - b(j-1)| + 2 nu |i-j|,
//!   D(i-1,j) + |a(i) - a(i-1)| + nu + lambda, D(i,j-1) + |b(j) - b(j-1)| + nu + lambda)`.
//! - Borders: infinite but for `D(0,0) = 0`.
//! - Unit: that of the values. A metric up to rounding, for `nu > 0` and without a band.
//! - Domain: `nu >= 0` (per unit of time) and `lambda >= 0`, finite.

use super::recurrence::{Predecessors, Recurrence};
use crate::kernels::simd::Vector;

#[derive(Clone, Copy)]
pub(super) struct Twe {
    pub(super) nu: f64,
    pub(super) lambda: f64,
}

#[derive(Clone, Copy)]
pub(super) struct TweStep<V> {
    value: V,
    before: V,
    /// What leaving the value out costs.
    deleted: V,
}

impl Recurrence for Twe {
    type Step<V: Vector> = TweStep<V>;
    const APART: bool = true;

    #[inline(always)]
    fn step<V: Vector>(self, value: V, before: V) -> TweStep<V> {
        TweStep { value, before, deleted: value.sub(before).abs().add(V::splat(self.nu + self.lambda)) }
    }

    // `nu` may be so large that only its product with 0 is finite.
    fn apart(self, distance: usize, _longest: usize) -> f64 {
        2.0 * (self.nu * distance as f64)
    }

    #[inline(always)]
    fn cell<V: Vector>(self, row: TweStep<V>, column: TweStep<V>, apart: V, from: Predecessors<V>) -> V {
        let matched = row.value.sub(column.value).abs().add(row.before.sub(column.before).abs()).add(apart);
        let deleted = from.left.add(column.deleted).min(from.up.add(row.deleted));
        from.diagonal.add(matched).min(deleted)
    }
}
