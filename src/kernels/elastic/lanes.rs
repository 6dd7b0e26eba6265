//! One query against many candidates: a candidate in each lane, blocks of `K` rows of the query in registers.
//!
//! No lane needs another, so there is nothing to shift and the band is nothing but loop bounds, with `K - 1`
//! partial columns at either end of a block.
//!
//! `dtw/lanes.rs` does the same for DTW alone, faster: its cells know neither borders nor neighbouring values nor a
//! term of `|i - j|`, so it keeps more rows in registers and one vector a column, and it abandons at a bound.

use super::pair::{Pair, window};
use super::recurrence::{Diagonals, Extent, POLL_STEPS, Predecessors, Recurrence, border, poll};
use crate::kernels::band::Band;
use crate::kernels::dtw::{by_length, groups};
use crate::kernels::simd::{Kernel, MAX_LANES, Vector};
use crate::kernels::{Interrupt, KernelError};
use crate::series::Series;
use std::ops::Range;

/// Rows of a block.
const K: usize = 4;

/// The distances of `query` to `candidates` of one channel, into `distances`.
pub(super) struct Batch<'a, R> {
    pub(super) recurrence: R,
    pub(super) query: &'a [f64],
    pub(super) candidates: &'a [Series<'a>],
    pub(super) window: Option<usize>,
    pub(super) distances: &'a mut [f64],
    pub(super) interrupt: Interrupt<'a>,
}

impl<R: Recurrence> Kernel for Batch<'_, R> {
    type Output = Result<(), KernelError>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Self::Output {
        let Self { recurrence, query, candidates, window, distances, interrupt } = self;
        let order = by_length(candidates);
        let mut lanes = Lanes::<R, V>::new(recurrence, query, interrupt)?;
        for group in groups(&order, candidates, window, V::LANES) {
            if let [at] = group {
                let b = candidates[*at].values();
                let band = Band::new(window, query.len(), b.len());
                distances[*at] = Pair { recurrence, a: query, b, band, interrupt }.run::<V>()?;
                continue;
            }
            let longest = candidates[group[group.len() - 1]].steps();
            let mut series: [&[f64]; MAX_LANES] = [candidates[group[0]].values(); MAX_LANES];
            for (lane, &at) in series.iter_mut().zip(group) {
                *lane = candidates[at].values();
            }
            let found = lanes.distances(series, Band::new(window, query.len(), longest), longest)?;
            for (distance, &at) in found.iter().zip(group) {
                distances[at] = *distance;
            }
        }
        Ok(())
    }
}

/// What the groups of a batch share, and buffers that they reuse.
struct Lanes<'a, R: Recurrence, V: Vector> {
    recurrence: R,
    query: &'a [f64],
    interrupt: Interrupt<'a>,
    /// Steps of the query, splat; padded to whole blocks.
    rows: Vec<R::Step<V>>,
    group: Group<R::Step<V>, V>,
    /// The lengths that the diagonals of the group are for.
    lengths: [usize; MAX_LANES],
}

/// The candidates of one vector, side by side.
struct Group<S, V> {
    columns: Vec<S>,
    /// The row above a block; entry j is `D(row, j)`.
    above: Vec<V>,
    apart: Diagonals<V>,
    outside: Diagonals<V>,
}

impl<S, V: Vector> Group<S, V> {
    /// Takes `block`, whose first row is `first`, over `columns`.
    #[inline(always)]
    fn walk<R: Recurrence<Step<V> = S>, const MASKED: bool>(
        &mut self,
        block: &mut Block<R, V>,
        first: usize,
        columns: Range<usize>,
        interrupt: Interrupt<'_>,
    ) -> Result<(), KernelError> {
        let Range { start: mut from, end } = columns;
        while from < end {
            interrupt.check()?;
            let to = end.min(from + POLL_STEPS);
            block.walk::<MASKED>(Steps {
                columns: &self.columns[from..to],
                above: &mut self.above[from + 1..to + 1],
                apart: self.apart.along(first, from, K),
                outside: self.outside.along(first, from, K),
            });
            from = to;
        }
        Ok(())
    }
}

impl<'a, R: Recurrence, V: Vector> Lanes<'a, R, V> {
    #[inline(always)]
    fn new(recurrence: R, query: &'a [f64], interrupt: Interrupt<'a>) -> Result<Self, KernelError> {
        let mut rows = Vec::with_capacity(query.len().next_multiple_of(K));
        let mut before = 0.0;
        for (at, value) in query.iter().enumerate() {
            poll(at, interrupt)?;
            rows.push(recurrence.step(V::splat(*value), V::splat(before)));
            before = *value;
        }
        // Rows below the last one: computed, never looked at.
        rows.resize(query.len().next_multiple_of(K), recurrence.step(V::splat(0.0), V::splat(0.0)));
        let group = Group {
            columns: Vec::new(),
            above: Vec::new(),
            apart: Diagonals::none(),
            outside: Diagonals::none(),
        };
        Ok(Self { recurrence, query, interrupt, rows, group, lengths: [0; MAX_LANES] })
    }

    /// The distances to the candidates of a group; those shorter than `longest` only without a band.
    #[inline(always)]
    fn distances(
        &mut self,
        series: [&[f64]; MAX_LANES],
        band: Band,
        longest: usize,
    ) -> Result<[f64; MAX_LANES], KernelError> {
        let (n, m) = (self.query.len(), longest);
        let recurrence = self.recurrence;
        let banded = !band.is_full(n, m);
        let lengths = series.map(<[f64]>::len);
        if lengths != self.lengths {
            let extent = Extent {
                lowest: self.rows.len().min(band.below + K),
                highest: m.min(band.above + K),
                stride: 0,
            };
            if R::APART {
                let longest = lengths.map(|length| length.max(n));
                self.group.apart = Diagonals::apart(recurrence, extent, longest, self.interrupt)?;
            }
            self.group.outside =
                if banded { Diagonals::of_band(extent, band, self.interrupt)? } else { Diagonals::none() };
            self.lengths = lengths;
        }
        self.fill(series, band, m)?;
        let border_query = border(recurrence, self.query, band.below, self.rows.len() - n);

        let mut found = [f64::INFINITY; MAX_LANES];
        for (index, rows) in self.rows.as_chunks::<K>().0.iter().enumerate() {
            let first = index * K;
            let last = (first + K).min(n) - 1;
            let start = first.saturating_sub(band.below);
            let end = (last + band.above + 1).min(m);
            let at_border = |row: usize| if start == 0 { border_query[row] } else { f64::INFINITY };
            if start == 0 {
                self.group.above[0] = V::splat(border_query[first]);
            }
            let mut block = Block {
                recurrence,
                rows: *rows,
                left: std::array::from_fn(|v| V::splat(at_border(first + v + 1))),
                diagonal: self.group.above[start],
            };
            let inside = (first + K - 1).saturating_sub(band.below).clamp(start, end);
            let slanted_out = (first + band.above + 1).clamp(inside, end);
            if banded {
                self.group.walk::<R, true>(&mut block, first, start..inside, self.interrupt)?;
                self.group.walk::<R, false>(&mut block, first, inside..slanted_out, self.interrupt)?;
                self.group.walk::<R, true>(&mut block, first, slanted_out..end, self.interrupt)?;
                if last + 1 == n {
                    found = block.row(last - first);
                }
            } else if last + 1 < n {
                self.group.walk::<R, false>(&mut block, first, 0..m, self.interrupt)?;
            } else {
                // Every lane ends in its own last column.
                let mut from = 0;
                for (q, &length) in lengths.iter().enumerate().take(V::LANES) {
                    // The lengths ascend, except that lanes without a candidate repeat the first one.
                    if length >= from {
                        self.group.walk::<R, false>(&mut block, first, from..length, self.interrupt)?;
                        from = length;
                        let cells = block.row(last - first);
                        for (found, cell) in found.iter_mut().zip(cells).skip(q) {
                            *found = cell;
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// Lays the candidates side by side, and the border above the first row.
    #[inline(always)]
    fn fill(&mut self, series: [&[f64]; MAX_LANES], band: Band, m: usize) -> Result<(), KernelError> {
        self.group.columns.clear();
        self.group.above.clear();
        let mut before = V::splat(0.0);
        let mut sums = [0.0; MAX_LANES];
        self.group.above.push(V::splat(0.0));
        for j in 0..m {
            poll(j, self.interrupt)?;
            let now = V::from_fn(|q| series[q].get(j).copied().unwrap_or(0.0));
            self.group.columns.push(self.recurrence.step(now, before));
            before = now;
            let now = now.to_array();
            for (sum, value) in sums.iter_mut().zip(now) {
                *sum += self.recurrence.border(value);
            }
            let reached = j < band.above;
            self.group.above.push(V::from_fn(|q| if reached { sums[q] } else { f64::INFINITY }));
        }
        Ok(())
    }
}

/// Consecutive columns of a block.
struct Steps<'a, S, V> {
    columns: &'a [S],
    /// The row above the block on the way in, the last row of the block on the way out.
    above: &'a mut [V],
    apart: std::slice::Windows<'a, V>,
    outside: std::slice::Windows<'a, V>,
}

struct Block<R: Recurrence, V: Vector> {
    recurrence: R,
    rows: [R::Step<V>; K],
    /// The cells of the last column.
    left: [V; K],
    /// The cell above them.
    diagonal: V,
}

impl<R: Recurrence, V: Vector> Block<R, V> {
    #[inline(always)]
    fn walk<const MASKED: bool>(&mut self, steps: Steps<'_, R::Step<V>, V>) {
        let Steps { columns, above, mut apart, mut outside } = steps;
        for (column, above) in columns.iter().zip(above) {
            let apart = window::<V, K>(R::APART, &mut apart);
            let outside = window::<V, K>(MASKED, &mut outside);
            let (mut diagonal, mut up) = (self.diagonal, *above);
            self.diagonal = up;
            for v in 0..K {
                let left = self.left[v];
                let from = Predecessors { diagonal, up, left };
                let mut x = self.recurrence.cell(self.rows[v], *column, apart[K - 1 - v], from);
                if MASKED {
                    x = x.add(outside[K - 1 - v]);
                }
                (diagonal, up) = (left, x);
                self.left[v] = x;
            }
            *above = self.left[K - 1];
        }
    }

    /// The cells of row `row` in the last column.
    #[inline(always)]
    fn row(&self, row: usize) -> [f64; MAX_LANES] {
        let mut cells = [f64::INFINITY; MAX_LANES];
        for v in 0..K {
            if v == row {
                cells = self.left[v].to_array();
            }
        }
        cells
    }
}
