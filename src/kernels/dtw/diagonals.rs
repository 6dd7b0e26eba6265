//! One pair in a narrow band, or of short series: a whole antidiagonal of cells at once.
//!
//! Cells of a diagonal `i + j = d` do not depend on each other, and in a narrow band there are few: they stay in registers.
//! Diagonals take turns: on those of one parity lane `k` is the cell with `j - i = 2k - below`, on the others the cell with
//! `j - i = 2k + 1 - below`. Each has two predecessors on the diagonal before it, one of them in its own lane and the other in
//! the neighbouring one, and the third in its own lane two diagonals back. A step then costs one shift, one `min` and one
//! addition one after another, however wide the band; [`super::strip`] has more to do at the ends of its rows than the
//! band is long.

use super::cost::Cost;
use crate::kernels::band::Band;
use crate::kernels::simd::{MAX_LANES, Vector, opaque_one};
use crate::kernels::{Interrupt, KernelError};

/// How many cells the band has on the longer of two neighbouring diagonals.
pub(super) fn cells(band: Band) -> usize {
    (band.below + band.above) / 2 + 1
}

/// Pairs of diagonals between two looks at the interrupt and at the bound.
const PAIRS: usize = 64;

/// The DTW total of `a` (rows) and `b` (columns), infinity when it is above `bound`. `N` vectors must hold [`cells`].
#[inline(always)]
pub(super) fn distance<V: Vector, C: Cost, const N: usize>(
    a: &[f64],
    b: &[f64],
    band: Band,
    bound: f64,
    interrupt: Interrupt<'_>,
) -> Result<f64, KernelError> {
    let (n, m) = (a.len(), b.len());
    let infinite = V::splat(f64::INFINITY);
    // Outside the matrix a cost is infinite: one of the two values is, and when both are they have different signs.
    let lead = band.below + band.above + N * V::LANES;
    let mut padded = Vec::with_capacity(n + m + 4 * lead);
    padded.resize(lead, f64::INFINITY);
    padded.extend(a.iter().rev());
    padded.resize(n + 2 * lead, f64::INFINITY);
    padded.resize(n + 3 * lead, f64::NEG_INFINITY);
    padded.extend(b);
    padded.resize(n + m + 4 * lead, f64::NEG_INFINITY);
    let (rows, columns) = padded.split_at(n + 2 * lead);

    // Of the vectors, the last can have lanes beyond the band.
    let beyond =
        |cells: usize| V::from_fn(|q| if (N - 1) * V::LANES + q < cells { 0.0 } else { f64::INFINITY });
    let (even_beyond, odd_beyond) = (beyond(cells(band)), beyond((band.below + band.above).div_ceil(2)));
    // The path begins at `d = 0`, on which `j - i` has the parity of `below`. Where that is odd, an even diagonal
    // before it makes the pair whole.
    let late = band.below % 2;
    let origin = band.below / 2;
    let start = |x: usize| V::from_fn(|q| if x * V::LANES + q == origin { 0.0 } else { f64::INFINITY });
    let mut even: [V; N] = [infinite; N];
    let mut odd: [V; N] = [infinite; N];
    for x in 0..N {
        *(if late == 0 { &mut even[x] } else { &mut odd[x] }) = start(x);
    }

    let one = opaque_one();
    let pairs = (n + m - 1 + late).div_ceil(2);
    // Lane 0 of the first pair stands at row `origin`. Each lane is one row above and one column right of the lane before it,
    // each pair one row below and one column right of the pair before it; the rows are stored last to first.
    let (row, column) = (lead + n - 1 - origin, lead - (band.below + late) / 2);
    for pair in 0..pairs {
        let rows = &rows[row - pair..row - pair + N * V::LANES];
        let columns = &columns[column + pair..column + pair + N * V::LANES + 1];
        for x in 0..N {
            let at = x * V::LANES;
            let cost = C::of(V::load(&rows[at..]), V::load(&columns[at..]), one);
            let left = odd[x].above(if x == 0 { infinite } else { odd[x - 1] });
            even[x] = C::onto(cost, odd[x].min(even[x]).min(left), one);
        }
        even[N - 1] = even[N - 1].add(even_beyond);
        for x in 0..N {
            let at = x * V::LANES;
            let cost = C::of(V::load(&rows[at..]), V::load(&columns[at + 1..]), one);
            let up = even[x].below(if x == N - 1 { infinite } else { even[x + 1] });
            odd[x] = C::onto(cost, even[x].min(odd[x]).min(up), one);
        }
        odd[N - 1] = odd[N - 1].add(odd_beyond);
        if pair.is_multiple_of(PAIRS) {
            interrupt.check()?;
            // Every path has a cell on one of two neighbouring diagonals.
            let mut least = infinite;
            for x in 0..N {
                least = least.min(even[x]).min(odd[x]);
            }
            if bound < f64::INFINITY && V::bits(least.le(V::splat(bound))) == 0 {
                return Ok(f64::INFINITY);
            }
        }
    }
    // The last cell has `j - i = m - n`.
    let lane = band.below + m - n;
    let last = if lane.is_multiple_of(2) { even } else { odd };
    let mut lanes = [0.0; MAX_LANES];
    for x in 0..N {
        if x == lane / 2 / V::LANES {
            lanes = last[x].to_array();
        }
    }
    let total = lanes[lane / 2 % V::LANES];
    Ok(if total <= bound { total } else { f64::INFINITY })
}
