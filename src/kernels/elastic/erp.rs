//! Edit distance with real penalty: a gap costs what its value is away from a constant.
//!
//! Chen and Ng, "On the marriage of Lp-norms and edit distance", VLDB 2004.
//!
//! - Recurrence: `D(i,j) = min(D(i-1,j-1) + |a(i) - b(j)|, D(i-1,j) + |a(i) - gap|, D(i,j-1) + |b(j) - gap|)`.
//! - Borders: running sums, `D(i,0) = D(i-1,0) + |a(i) - gap|` and `D(0,j)` alike. (A border that holds the total
//!   of the series in every cell, seen elsewhere, is a different distance.) With a band, border cells outside it
//!   are infinite like any other.
//! - Unit: that of the values. A metric up to rounding, without a band.
//! - Domain: `gap` finite; 0 suits series that are normalised.

use super::recurrence::{Predecessors, Recurrence};
use crate::kernels::simd::Vector;

#[derive(Clone, Copy)]
pub(super) struct Erp {
    pub(super) gap: f64,
}

#[derive(Clone, Copy)]
pub(super) struct ErpStep<V> {
    value: V,
    /// What leaving the value out costs.
    skipped: V,
}

impl Recurrence for Erp {
    type Step<V: Vector> = ErpStep<V>;

    #[inline(always)]
    fn step<V: Vector>(self, value: V, _before: V) -> ErpStep<V> {
        ErpStep { value, skipped: value.sub(V::splat(self.gap)).abs() }
    }

    #[inline(always)]
    fn border(self, value: f64) -> f64 {
        (value - self.gap).abs()
    }

    #[inline(always)]
    fn cell<V: Vector>(self, row: ErpStep<V>, column: ErpStep<V>, _apart: V, from: Predecessors<V>) -> V {
        let matched = from.diagonal.add(row.value.sub(column.value).abs());
        matched.min(from.left.add(column.skipped)).min(from.up.add(row.skipped))
    }
}
