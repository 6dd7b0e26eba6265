//! Edit distance on real sequences: how many values must be replaced, left out or put in.
//!
//! Chen, Ozsu and Oria, "Robust and fast similarity search for moving object trajectories", SIGMOD 2005.
//!
//! - Recurrence: `D(i,j) = min(D(i-1,j-1) + s, D(i-1,j) + 1, D(i,j-1) + 1)`, `s` being 0 when
//!   `|a(i) - b(j)| <= epsilon`, else 1.
//! - Borders: `D(i,0) = i`, `D(0,j) = j`. With a band, border cells outside it are infinite like any other.
//! - Unit: edits, a whole number from 0 to `max(n,m)` (without a band); not divided by a length. Not a metric:
//!   matching within `epsilon` is not transitive.
//! - Domain: `epsilon >= 0`, finite.

use super::recurrence::{Predecessors, Recurrence};
use crate::kernels::simd::Vector;

#[derive(Clone, Copy)]
pub(super) struct Edr {
    pub(super) epsilon: f64,
}

impl Recurrence for Edr {
    type Step<V: Vector> = V;

    #[inline(always)]
    fn step<V: Vector>(self, value: V, _before: V) -> V {
        value
    }

    #[inline(always)]
    fn border(self, _value: f64) -> f64 {
        1.0
    }

    #[inline(always)]
    fn cell<V: Vector>(self, row: V, column: V, _apart: V, from: Predecessors<V>) -> V {
        let matches = row.sub(column).abs().le(V::splat(self.epsilon));
        let replaced = from.diagonal.add(V::select(matches, V::splat(0.0), V::splat(1.0)));
        replaced.min(from.left.min(from.up).add(V::splat(1.0)))
    }
}
