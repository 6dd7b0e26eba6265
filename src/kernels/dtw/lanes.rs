//! One query against several candidates at once: lane `q` is candidate `q`.
//!
//! Rows are the query, taken `K` at a time so that a block of `K` cells a column stays in registers; between blocks
//! one row of vectors is kept in memory. No lane ever needs another lane's value, so there is no shuffle at all, and
//! a Sakoe-Chiba band is nothing but the bounds of the column loop. (`elastic/lanes.rs` is the same idea for cells that
//! need more than two values and three predecessors.)

use super::cost::{Channels, Cost, RowBlock};
use crate::kernels::band::Band;
use crate::kernels::simd::{MAX_LANES, Vector};
use crate::kernels::{Interrupt, KernelError};
use crate::series::Series;

/// Rows of a block: with its costs and left neighbours it just fits the sixteen AVX2 registers.
pub(super) const ROWS: usize = 6;

/// Candidates side by side: `channels` vectors a time step, `steps` of them.
pub(super) struct Interleaved<V> {
    pub(super) values: Vec<V>,
    channels: usize,
}

impl<V: Vector> Interleaved<V> {
    /// Makes room to be filled again and again.
    pub(super) fn new(channels: usize) -> Self {
        Self { values: Vec::new(), channels }
    }

    /// Lane `q` becomes candidate `q`; shorter ones are continued with zeros, and missing ones (fewer candidates
    /// than lanes) repeat the last.
    #[inline(always)]
    pub(super) fn fill(&mut self, candidates: &[&[f64]]) {
        let longest = candidates.iter().map(|c| c.len()).max().unwrap_or(0);
        let lanes: [&[f64]; MAX_LANES] = std::array::from_fn(|q| candidates[q.min(candidates.len() - 1)]);
        let common = lanes.iter().map(|lane| lane.len()).min().unwrap_or(0);
        let heads: [&[f64]; MAX_LANES] = std::array::from_fn(|q| &lanes[q][..common]);
        self.values.clear();
        self.values.reserve(longest);
        // Plain loops: an iterator's closure would not be compiled for the level's instructions.
        for x in 0..common {
            self.values.push(V::from_fn(|q| heads[q][x]));
        }
        for x in common..longest {
            self.values.push(V::from_fn(|q| lanes[q].get(x).copied().unwrap_or(0.0)));
        }
    }

    /// Time steps of the longest candidate.
    pub(super) fn steps(&self) -> usize {
        self.values.len() / self.channels
    }
}

/// Nothing is written down.
pub(super) const NO_TRACE: bool = false;
/// Which predecessor won is written down for [`path`].
pub(super) const TRACE: bool = true;

/// Runs the whole matrix of `query` (rows) against the interleaved candidates (columns).
///
/// Afterwards `row[j]` is the last row: the total of a candidate of `m` steps is its lane of `row[m - 1]`.
/// Returns false when every path of every lane was seen to cost more than `bound`: then `row` means nothing.
///
/// With `TRACE`, `directions[i * m + j]` gets bit `q` where the diagonal wins in lane `q`, and bit `4 + q` where up
/// wins over left, equality included.
#[inline(always)]
pub(super) fn run<V, C, N, const TRACE: bool>(
    query: Series<'_>,
    columns: &Interleaved<V>,
    band: Band,
    bound: f64,
    row: &mut Vec<V>,
    directions: &mut [u8],
    interrupt: Interrupt<'_>,
) -> Result<bool, KernelError>
where
    V: Vector,
    C: Cost,
    N: Channels,
{
    let n = query.steps();
    row.clear();
    row.resize(columns.steps(), V::splat(f64::INFINITY));
    let blocks_between_polls = (POLL_CELLS / (columns.steps() * ROWS)).max(1);
    let mut i = 0;
    let mut block_index = 0_usize;
    while i < n {
        if block_index.is_multiple_of(blocks_between_polls) {
            interrupt.check()?;
        }
        block_index += 1;
        macro_rules! block {
            ($k:expr) => {{
                block::<V, C, N::Rows<V, { $k }>, { $k }, TRACE>(query, i, columns, band, row, directions);
                $k
            }};
        }
        let rows = match n - i {
            ROWS.. => block!(ROWS),
            4.. => block!(4),
            2.. => block!(2),
            _ => block!(1),
        };
        if bound < f64::INFINITY {
            let columns = band.columns(i + rows - 1, row.len());
            let bound = V::splat(bound);
            let mut reached = false;
            for d in &row[columns] {
                if V::bits(d.le(bound)) != 0 {
                    reached = true;
                    break;
                }
            }
            if !reached {
                return Ok(false);
            }
        }
        i += rows;
    }
    Ok(true)
}

/// Vector cells between two looks at the interrupt: about a millisecond.
const POLL_CELLS: usize = 1 << 20;

/// Rows `first .. first + K` over all their columns.
#[inline(always)]
fn block<V, C, R, const K: usize, const TRACE: bool>(
    query: Series<'_>,
    first: usize,
    columns: &Interleaved<V>,
    band: Band,
    row: &mut [V],
    directions: &mut [u8],
) where
    V: Vector,
    C: Cost,
    R: RowBlock<V, K>,
{
    let m = row.len();
    let rows = R::load(query, |v, _| first + v);
    let channels = rows.channels();
    let infinite = V::splat(f64::INFINITY);
    let (top, bottom) = (band.columns(first, m), band.columns(first + K - 1, m));
    // Columns of all rows lie in the middle; left of it the lower rows, right of it the upper rows, are outside.
    let middle = bottom.start..top.end.max(bottom.start);

    let mut left = [infinite; K];
    let mut diagonal = match (first, top.start) {
        (0, _) => V::splat(0.0),
        (_, 0) => infinite,
        (_, start) => row[start - 1],
    };
    // One column: `inside(v)` says whether row `first + v` may use it. Returns what is written to `row`.
    macro_rules! column {
        ($j:expr, $column:expr, $up:expr, $inside:expr) => {{
            let mut up = $up;
            let mut corner = diagonal;
            diagonal = up;
            for v in 0..K {
                let side = left[v].min(up);
                if TRACE {
                    directions[(first + v) * m + $j] =
                        V::bits(corner.le(side)) | V::bits(up.le(left[v])) << MAX_LANES;
                }
                let cell = C::onto(rows.cost::<C>(v, $column), side.min(corner), rows.one());
                let cell = if $inside(v) { cell } else { infinite };
                corner = left[v];
                left[v] = cell;
                up = cell;
            }
            up
        }};
    }
    let slots = &columns.values;
    for j in top.start..middle.start {
        let inside = |v: usize| band.columns(first + v, m).contains(&j);
        row[j] = column!(j, &slots[j * channels..(j + 1) * channels], row[j], inside);
    }
    let middle_columns = slots[middle.start * channels..middle.end * channels].chunks_exact(channels);
    for ((j, column), above) in middle.clone().zip(middle_columns).zip(&mut row[middle.clone()]) {
        *above = column!(j, column, *above, |_| true);
    }
    for j in middle.end..bottom.end {
        let inside = |v: usize| band.columns(first + v, m).contains(&j);
        row[j] = column!(j, &slots[j * channels..(j + 1) * channels], row[j], inside);
    }
}

/// The warping path of lane `q`, a candidate of `m` steps, from the directions of [`run`] over `columns` columns.
/// Ties: diagonal, then up, then left.
pub(super) fn path(directions: &[u8], columns: usize, q: usize, n: usize, m: usize) -> Vec<(u32, u32)> {
    let (mut i, mut j) = (n - 1, m - 1);
    let mut path = Vec::with_capacity(n + m);
    loop {
        path.push((i as u32, j as u32));
        if i == 0 && j == 0 {
            break;
        }
        let bits = directions[i * columns + j] >> q;
        let (diagonal, up) = (bits & 1 == 1, bits >> MAX_LANES & 1 == 1);
        if diagonal {
            (i, j) = (i - 1, j - 1);
        } else if up {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    path.reverse();
    path
}
