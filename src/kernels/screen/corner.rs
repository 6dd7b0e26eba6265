//! What any path costs near the corners of the matrix.
//!
//! Whatever a path does, it leaves the first [`CORNER`] rows and columns somewhere, and it enters the last ones
//! somewhere. The cheapest ways out of the one corner and into the other are a bound, as in Kim, Park and Chu, "An
//! index-based approach for similarity search supporting time warping", 2001, only with more than one cell.

use super::Cost;
use crate::kernels::simd::Singles;

/// Rows and columns of a corner. (With 4 or 5 of them searches take as long, within a tenth.)
pub(super) const CORNER: usize = 6;

/// The cheapest way from the corner cell out of the corner, whose rows have the values `values`. For the opposite corner,
/// both are given backwards.
#[inline(always)]
pub(super) fn corner<S: Singles, C: Cost>(values: &[S; CORNER], query: &[f32]) -> S {
    let infinite = S::splat(f32::INFINITY);
    let mut left = [infinite; CORNER];
    let mut out = infinite;
    for j in 0..CORNER {
        let y = S::splat(query[j]);
        let mut up = if j == 0 { S::splat(0.0) } else { infinite };
        let mut diagonal = infinite;
        for v in 0..CORNER {
            let cell = C::onto(values[v].sub(y), left[v].min(diagonal).min(up));
            diagonal = left[v];
            left[v] = cell;
            up = cell;
        }
        out = out.min(up);
    }
    for v in 0..CORNER {
        out = out.min(left[v]);
    }
    out
}
