//! The matrix of eight candidates (a lane each) against the query, swept a few rows at a time from one of its corners.
//!
//! Rows are the candidates' steps, columns the query's. Only columns are kept alive in which some lane is still
//! below its limit: what is dropped is above it, and so is every path through it (pruning as in Silva and Batista,
//! "Speeding up all-pairwise dynamic time warping matrix calculation", 2016, and Herrmann and Webb, "Early abandoning
//! and pruning for elastic distances including dynamic time warping", 2021).

use super::Cost;
use crate::kernels::band::Band;
use crate::kernels::simd::Singles;
use std::ops::Range;

/// One sweep and how far it has come.
pub(super) struct Sweep<S> {
    /// The last finished row, by column; meaningful within `alive`.
    row: Vec<S>,
    alive: Range<usize>,
    /// Rows finished.
    rows: usize,
    /// Per lane, what every path of less than its limit costs at least up to here.
    least: S,
}

impl<S: Singles> Sweep<S> {
    /// For a query of `columns` steps.
    pub(super) fn new(columns: usize) -> Self {
        Self { row: vec![S::splat(0.0); columns], alive: 0..0, rows: 0, least: S::splat(0.0) }
    }

    /// Back to the corner, whose cost is `least`.
    #[inline(always)]
    pub(super) fn restart(&mut self, least: S) {
        (self.alive, self.rows, self.least) = (0..0, 0, least);
    }

    /// Steps of the query.
    pub(super) fn columns(&self) -> usize {
        self.row.len()
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    pub(super) fn least(&self) -> S {
        self.least
    }

    pub(super) fn alive(&self) -> Range<usize> {
        self.alive.clone()
    }

    /// The last finished row at a column, infinite where no lane is alive.
    #[inline(always)]
    pub(super) fn at(&self, column: usize) -> S {
        if self.alive.contains(&column) { self.row[column] } else { S::splat(f32::INFINITY) }
    }

    /// Takes the next `K` rows, whose values are `values`; `limit` is what a path may cost up to the last of them.
    /// False when no lane has such a path.
    #[inline(always)]
    pub(super) fn advance<C: Cost, const K: usize>(
        &mut self,
        values: &[S; K],
        query: &[f32],
        band: Band,
        limit: S,
    ) -> bool {
        let infinite = S::splat(f32::INFINITY);
        let (first, n) = (self.rows, query.len());
        let (top, bottom) = (band.columns(first, n), band.columns(first + K - 1, n));
        let (start, reached) = (self.alive.start.max(top.start), self.alive.end);
        // All rows of the block are inside the band in the middle; left of it the lower ones, right of it the upper
        // ones are not.
        let middle = bottom.start.max(start)..top.end.max(bottom.start.max(start));

        let row = &mut self.row[..n];
        let mut left = [infinite; K];
        let mut least = infinite;
        let mut diagonal = match (first, start) {
            (0, _) => S::splat(0.0),
            (_, start) if start > self.alive.start => row[start - 1],
            _ => infinite,
        };
        // One column; `inside(v)` says whether row `first + v` may use it, `seen` is folded over the cells.
        macro_rules! column {
            ($j:expr, $up:expr, $inside:expr, $seen:expr) => {{
                let y = S::splat(query[$j]);
                let above = $up;
                let mut up = above;
                let mut corner = diagonal;
                diagonal = above;
                for v in 0..K {
                    let best = left[v].min(corner).min(up);
                    let cell = C::onto(values[v].sub(y), best);
                    let cell = if $inside(v) { cell } else { infinite };
                    corner = left[v];
                    left[v] = cell;
                    up = cell;
                    $seen(cell);
                }
                row[$j] = up;
                least = least.min(up);
            }};
        }
        let mut j = start;
        while j < middle.start {
            let inside = |v: usize| band.columns(first + v, n).contains(&j);
            column!(j, if j < reached { row[j] } else { infinite }, inside, |_| ());
            j += 1;
        }
        let below = reached.min(middle.end);
        while j < below {
            column!(j, row[j], |_| true, |_| ());
            j += 1;
        }
        // Nothing above is alive any more: a column in which no row is either is the last one.
        let mut ended = false;
        while j < middle.end && !ended {
            let mut seen = infinite;
            column!(j, infinite, |_| true, |cell: S| seen = seen.min(cell));
            ended = seen.le(limit) == 0;
            j += 1;
        }
        while j < bottom.end && !ended {
            let inside = |v: usize| band.columns(first + v, n).contains(&j);
            let mut seen = infinite;
            column!(j, if j < reached { row[j] } else { infinite }, inside, |cell: S| seen = seen.min(cell));
            ended = j >= reached && seen.le(limit) == 0;
            j += 1;
        }

        let (mut alive_from, mut alive_to) = (start, j);
        while alive_from < alive_to && row[alive_from].le(limit) == 0 {
            alive_from += 1;
        }
        while alive_to > alive_from && row[alive_to - 1].le(limit) == 0 {
            alive_to -= 1;
        }
        self.alive = alive_from..alive_to;
        self.rows += K;
        self.least = least;
        alive_from < alive_to
    }
}
