//! One pair: the matrix in strips of `LANES * K` rows, all lanes at work on one strip.
//!
//! Lane `q` owns the `K` consecutive rows `q * K ..` of the strip. Rows are skewed against each other: row `v` of a
//! lane runs one column behind row `v - 1`, and lane `q` runs `K` columns behind lane `q - 1`, so that in
//! every step all `LANES * K` cells have their three predecessors ready. Left and up are what the same and the
//! previous row held one step ago, the diagonal is two steps old: the state lives in registers, and the only
//! traffic between lanes is one lane shift a step. The last row of a strip is the boundary of the next.
//!
//! Steps are counted from `t = 0`, at which lane 0's first row stands at column `origin = first row - below`, the
//! first that the Sakoe-Chiba band grants it. In these coordinates the band looks the same in every strip: row
//! `(q, v)` is inside for `start <= t < start + width` with `start = 2K q + 2v`. One small table of
//! masks therefore serves both slanted ends; the steps between them run without masks.
//!
//! The design is a systolic array folded onto vector registers; measured in `benches/dtw.rs`.

use super::cost::{Channels, Cost, RowBlock};
use crate::kernels::band::Band;
use crate::kernels::simd::{MAX_LANES, Vector};
use crate::kernels::{Interrupt, KernelError};
use crate::series::Series;
use std::ops::Range;

/// Nothing is written down.
pub(super) const NO_TRACE: bool = false;
/// Which predecessor won is written down for a later trace back.
pub(super) const TRACE: bool = true;

/// Step counts and offsets of a strip of `LANES * K` rows.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    lanes: usize,
    k: usize,
    /// Columns between the first row of the strip and the last.
    pub(super) latency: usize,
    /// Steps until the last row of the strip has entered the band.
    ramp: usize,
}

impl Geometry {
    #[inline(always)]
    pub(super) fn of<V: Vector, const K: usize>() -> Self {
        let last = V::LANES - 1;
        Self { lanes: V::LANES, k: K, latency: last * K + K - 1, ramp: last * 2 * K + 2 * (K - 1) }
    }

    /// Rows of a strip.
    #[inline(always)]
    pub(super) fn rows(self) -> usize {
        self.lanes * self.k
    }

    /// Lane and vector of row `row` of the strip.
    #[inline(always)]
    pub(super) fn place(self, row: usize) -> (usize, usize) {
        (row / self.k, row % self.k)
    }

    /// Columns that row `row` of the strip runs behind its first row.
    #[inline(always)]
    pub(super) fn delay(self, row: usize) -> usize {
        let (q, v) = self.place(row);
        q * self.k + v
    }
}

/// One strip in its own coordinates.
#[derive(Clone, Copy)]
pub(super) struct Span {
    /// Column of lane 0's first row at `t = 0`; negative where the band begins left of the matrix.
    pub(super) origin: isize,
    /// The steps that are run: an even number, from the first column inside the matrix.
    pub(super) first: usize,
    /// One past the last step that counts.
    pub(super) last: usize,
}

impl Span {
    /// Steps that are run, a whole number of pairs.
    pub(super) fn steps(self) -> usize {
        (self.last - self.first).next_multiple_of(2)
    }
}

/// The part of a row inside the band.
pub(super) struct Boundary {
    start: usize,
    values: Vec<f64>,
}

/// Everything that the strips of one pair share.
pub(super) struct Strips<V: Vector> {
    geometry: Geometry,
    n: usize,
    m: usize,
    below: usize,
    width: usize,
    /// Slot `LEAD + c` holds, in lane `q`, column `c - q * K`; minus infinity left of the matrix (its cost is
    /// infinite), zero right of it (nothing inside depends on it). `channels` vectors a slot.
    columns: Vec<V>,
    /// `masks[x + shift]`, lane `q`: `x < 2K q`, the row at distance `x` has not entered the band.
    masks: [V::Mask; MASKS],
    mask_shift: usize,
    /// The row above the next strip: column `c` at `margin + c`.
    boundary: Vec<f64>,
    margin: usize,
}

/// Columns left of the matrix that a strip may touch.
const LEAD: usize = 8;

/// Masks of the slanted ends, enough for the tallest strip.
const MASKS: usize = 72;

impl<V: Vector> Strips<V> {
    /// Lays out the columns of `b` for rows in strips of `V::LANES * K`.
    #[inline(always)]
    pub(super) fn new<const K: usize>(n: usize, b: Series<'_>, band: Band) -> Self {
        const { assert!(K + 2 <= LEAD && (V::LANES - 1) * 2 * K + 6 * K - 2 <= MASKS) };
        let geometry = Geometry::of::<V, K>();
        let m = b.steps();
        // A band that holds every cell gets sides so far away that no step needs a mask.
        let band = if band.is_full(n, m) {
            Band { below: n + geometry.ramp + 2, above: m + geometry.ramp + 2 }
        } else {
            band
        };
        let length = m + geometry.latency + 4;
        let margin = LEAD + geometry.latency;
        // One allocation, first for the padded columns and then for the boundary.
        let mut boundary = Vec::with_capacity(margin + (LEAD + length + 2 + geometry.latency) * b.channels());
        let columns = skewed(b, K, length, &mut boundary);
        boundary.clear();
        boundary.resize(margin + length + 2, f64::INFINITY);
        let mut strips = Self {
            geometry,
            n,
            m,
            below: band.below,
            width: band.below + band.above + 1,
            columns,
            masks: [V::mask_from_fn(|_| false); MASKS],
            mask_shift: 2 * (K - 1) + 2,
            boundary,
            margin,
        };
        if !band.is_full(n + geometry.ramp, m) {
            let (period, shift) = ((2 * K) as isize, strips.mask_shift as isize);
            for (x, mask) in (-shift..).zip(&mut strips.masks[..geometry.ramp + 4 * K]) {
                *mask = V::mask_from_fn(|q| x < q as isize * period);
            }
        }
        strips
    }

    /// Step counts of these strips.
    pub(super) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The strip whose first row is `first_row`.
    pub(super) fn span(&self, first_row: usize) -> Span {
        let g = self.geometry;
        let origin = first_row as isize - self.below as isize;
        // Steps before lane 0 reaches column 0 touch nothing.
        let first = (-origin).max(0) as usize;
        // The step at which the row `delay` columns behind stands at the last column.
        let at_end = |row: usize| (self.m as isize - 1 - origin) as usize + g.delay(row);
        let last = if first_row + g.rows() >= self.n {
            at_end(self.n - 1 - first_row) + 1
        } else {
            (at_end(g.rows() - 1) + 1).min(g.ramp + self.width)
        };
        Span { origin, first, last: last.max(first) }
    }

    /// What the strip at `first_row` needs of the row above it, for a later [`Self::resume`].
    pub(super) fn boundary_above(&self, first_row: usize) -> Boundary {
        let inside = self.columns_of(first_row.saturating_sub(1));
        let start = self.margin + inside.start;
        Boundary { start, values: self.boundary[start..self.margin + inside.end].to_vec() }
    }

    /// Continues at the strip that `above` was taken for, whatever was computed in between.
    pub(super) fn resume(&mut self, above: &Boundary) {
        self.boundary.fill(f64::INFINITY);
        self.boundary[above.start..above.start + above.values.len()].copy_from_slice(&above.values);
    }

    /// Whether any cell of the last row of the strip at `first_row`, just computed, is at most `bound`; if not, no
    /// path through it is.
    pub(super) fn reaches(&self, first_row: usize, bound: f64) -> bool {
        let inside = self.columns_of(first_row + self.geometry.rows() - 1);
        self.boundary[self.margin + inside.start..self.margin + inside.end].iter().any(|d| *d <= bound)
    }

    /// The columns of a row inside band and matrix.
    fn columns_of(&self, row: usize) -> Range<usize> {
        row.saturating_sub(self.below)..(row + self.width - self.below).min(self.m)
    }

    /// Computes the strip whose first row is `first_row` of `a`, and its last row into the boundary. With `TRACE`,
    /// `directions[(t - span.first) * K + v]` gets a byte for row vector `v` at step `t`: bit `q` says that the
    /// diagonal wins in lane `q`, bit `4 + q` that up wins over left, equality included.
    ///
    /// Returns the cell of the last row and column when this is the last strip.
    #[inline(always)]
    pub(super) fn run<C, R, const K: usize, const TRACE: bool>(
        &mut self,
        a: Series<'_>,
        first_row: usize,
        directions: &mut [u8],
    ) -> Option<f64>
    where
        C: Cost,
        R: RowBlock<V, K>,
    {
        let g = Geometry::of::<V, K>();
        let span = self.span(first_row);
        let rows = R::load(a, |v, q| first_row + q * K + v);
        let infinite = V::splat(f64::INFINITY);
        // The first boundary column that is read, and the column before it, the first diagonal.
        let read = (self.margin as isize + span.origin + span.first as isize) as usize;
        let corner = match (first_row, read - self.margin) {
            (0, 0) => 0.0,
            (_, 0) => f64::INFINITY,
            _ => self.boundary[read - 1],
        };
        let mut state =
            State { now: [infinite; K], before: [infinite; K], diagonal: infinite.shift_in(corner) };
        let mut t = span.first;
        while t < span.last {
            let (entering, leaving) = (t < g.ramp, t + 1 >= self.width);
            let mut until = span.last;
            if entering {
                until = until.min(g.ramp);
            }
            if !leaving {
                until = until.min(self.width - 1);
            }
            t =
                match (entering, leaving) {
                    (false, false) => self
                        .phase::<C, R, K, TRACE, false, false>(&rows, &mut state, span, t, until, directions),
                    (true, false) => self
                        .phase::<C, R, K, TRACE, true, false>(&rows, &mut state, span, t, until, directions),
                    (false, true) => self
                        .phase::<C, R, K, TRACE, false, true>(&rows, &mut state, span, t, until, directions),
                    (true, true) => self
                        .phase::<C, R, K, TRACE, true, true>(&rows, &mut state, span, t, until, directions),
                };
        }
        if first_row + g.rows() < self.n {
            return None;
        }
        let (q, v) = g.place(self.n - 1 - first_row);
        // Steps come in pairs: after an odd number the last one that counts is one step old.
        let vectors = if (span.last - span.first).is_multiple_of(2) { &state.before } else { &state.now };
        Some(vectors[v].to_array()[q])
    }

    /// Runs pairs of steps from `t` until `until` is reached, and returns where it stopped.
    #[inline(always)]
    fn phase<C, R, const K: usize, const TRACE: bool, const ENTERING: bool, const LEAVING: bool>(
        &mut self,
        rows: &R,
        state: &mut State<V, K>,
        span: Span,
        t: usize,
        until: usize,
        directions: &mut [u8],
    ) -> usize
    where
        C: Cost,
        R: RowBlock<V, K>,
    {
        let channels = rows.channels();
        let latency = Geometry::of::<V, K>().latency;
        let pairs = (until - t).div_ceil(2);
        let slot = (span.origin + t as isize + LEAD as isize) as usize - (K - 1);
        let read = (span.origin + t as isize + self.margin as isize) as usize;
        let entry = t + self.mask_shift - 2 * (K - 1);
        // Locals, so that the compiler need not fear that a store changes where they are.
        let columns = &self.columns[slot * channels..];
        let boundary = &mut self.boundary[read - latency..];
        let entering = if ENTERING { &self.masks[entry..] } else { &[] };
        let leaving = if LEAVING { &self.masks[entry - self.width..] } else { &[] };
        let State { mut now, mut before, mut diagonal } = *state;
        for pair in 0..pairs {
            let step = 2 * pair;
            let window = &columns[step * channels..(step + K + 1) * channels];
            let entering = if ENTERING { &entering[step..step + 2 * K] } else { &[] };
            let leaving = if LEAVING { &leaving[step..step + 2 * K] } else { &[] };
            let (mut first, mut second) = ([0_u8; K], [0_u8; K]);
            // Read `latency` columns ahead of what is written; each half writes before the next one starts, which
            // keeps the compiler from interleaving them at the price of more values than there are registers.
            let edge = &mut boundary[step..step + latency + 2];
            advance::<V, C, R, K, TRACE, ENTERING, LEAVING, 0>(
                rows,
                &before,
                &mut now,
                &mut diagonal,
                window,
                edge[latency],
                entering,
                leaving,
                &mut first,
            );
            edge[0] = now[K - 1].last();
            advance::<V, C, R, K, TRACE, ENTERING, LEAVING, 1>(
                rows,
                &now,
                &mut before,
                &mut diagonal,
                window,
                edge[latency + 1],
                entering,
                leaving,
                &mut second,
            );
            edge[1] = before[K - 1].last();
            if TRACE {
                let at = (t + step - span.first) * K;
                let bytes = &mut directions[at..at + 2 * K];
                bytes[..K].copy_from_slice(&first);
                bytes[K..].copy_from_slice(&second);
            }
        }
        *state = State { now, before, diagonal };
        t + 2 * pairs
    }
}

/// The moving part of a strip.
#[derive(Clone, Copy)]
struct State<V, const K: usize> {
    /// Written by the first step of a pair.
    now: [V; K],
    /// Written by the second: the newest values between pairs.
    before: [V; K],
    /// Diagonal predecessors of the first rows.
    diagonal: V,
}

/// One step of all lanes: from the values of the last step, and over those of the step before it.
///
/// `window` holds the columns that the `K` row vectors stand at in this pair of steps, and the masks of row vector
/// `v` in step `HALF` of the pair are at `2 * (K - 1) - 2 * v + HALF`.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // all of them are registers of one loop, which a struct would only hide
fn advance<
    V,
    C,
    R,
    const K: usize,
    const TRACE: bool,
    const ENTERING: bool,
    const LEAVING: bool,
    const HALF: usize,
>(
    rows: &R,
    last: &[V; K],
    next: &mut [V; K],
    diagonal: &mut V,
    window: &[V],
    top: f64,
    entering: &[V::Mask],
    leaving: &[V::Mask],
    bytes: &mut [u8; K],
) where
    V: Vector,
    C: Cost,
    R: RowBlock<V, K>,
{
    let channels = rows.channels();
    let up_of_first = last[K - 1].shift_in(top);
    let infinite = V::splat(f64::INFINITY);
    for v in (0..K).rev() {
        let slot = (K - 1 - v + HALF) * channels;
        let mut cost = rows.cost::<C>(v, &window[slot..slot + channels]);
        let mask = 2 * (K - 1) - 2 * v + HALF;
        if ENTERING {
            cost = V::select(entering[mask], infinite, cost);
        }
        if LEAVING {
            cost = V::select(leaving[mask], cost, infinite);
        }
        // `next` still holds the step before the last: going down the rows, v - 1 is overwritten after it was read.
        let (above, corner) = if v == 0 { (up_of_first, *diagonal) } else { (last[v - 1], next[v - 1]) };
        let left = last[v];
        let side = above.min(left);
        if TRACE {
            bytes[v] = V::bits(corner.le(side)) | V::bits(above.le(left)) << MAX_LANES;
        }
        next[v] = C::onto(cost, side.min(corner), rows.one());
    }
    *diagonal = up_of_first;
}

/// The columns of `b`, each lane `skew` behind the one before: `length` slots from column 0, after `LEAD` slots that
/// lie before the matrix. Uses `padded` on the way and leaves it in any state.
#[inline(always)]
fn skewed<V: Vector>(b: Series<'_>, skew: usize, length: usize, padded: &mut Vec<f64>) -> Vec<V> {
    let (values, channels) = (b.values(), b.channels());
    let behind = (V::LANES - 1) * skew;
    padded.resize((behind + LEAD) * channels, f64::NEG_INFINITY);
    padded.extend_from_slice(values);
    padded.resize((behind + LEAD + length) * channels, 0.0);
    let total = (LEAD + length) * channels;
    let lanes: [&[f64]; MAX_LANES] = std::array::from_fn(|q| {
        let start = (behind - q.min(V::LANES - 1) * skew) * channels;
        &padded[start..start + total]
    });
    // A plain loop: an iterator's closure would not be compiled for the level's instructions.
    let mut columns = Vec::with_capacity(total);
    for x in 0..total {
        columns.push(V::from_fn(|q| lanes[q][x]));
    }
    columns
}

/// The DTW total of `a` (rows) and `b` (columns), infinity when it is above `bound`.
#[inline(always)]
pub(super) fn distance<V, C, N, const K: usize>(
    a: Series<'_>,
    b: Series<'_>,
    band: Band,
    bound: f64,
    interrupt: Interrupt<'_>,
) -> Result<f64, KernelError>
where
    V: Vector,
    C: Cost,
    N: Channels,
{
    let mut strips = Strips::<V>::new::<K>(a.steps(), b, band);
    let mut first_row = 0;
    loop {
        interrupt.check()?;
        if let Some(total) = strips.run::<C, N::Rows<V, K>, K, NO_TRACE>(a, first_row, &mut []) {
            return Ok(if total <= bound { total } else { f64::INFINITY });
        }
        if bound < f64::INFINITY && !strips.reaches(first_row, bound) {
            return Ok(f64::INFINITY);
        }
        first_row += strips.geometry.rows();
    }
}
