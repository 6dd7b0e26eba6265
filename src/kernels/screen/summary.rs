//! A bound from a few numbers a candidate: its first and last values and the means of runs of rows between them.
//!
//! Whatever a path does, it leaves the corner of the first [`CORNER`] rows and columns somewhere, and it enters the
//! opposite corner somewhere: the cheapest ways out of the one and into the other are found exactly, as in Kim, Park
//! and Chu, "An index-based approach for similarity search supporting time warping", 2001, only with more than one
//! cell. For the rows between the corners, the distance of a value to an interval is convex in all three numbers, so by
//! Jensen's inequality the cost of the means of a run (of the candidate's values, and of the envelope's
//! sides), times its length, is at most the sum of the costs: LB_Keogh at a coarse grain, as in Zhu and Shasha,
//! "Warping indexes with envelope transforms for query by humming", 2003.

use super::{Absolute, Cost, Scale, Squared, Target, outside};
use crate::kernels::simd::{Singles, SinglesKernel, WIDTH};
use std::ops::Range;

/// Rows and columns of a corner.
pub(super) const CORNER: usize = 6;

/// Rows of a run, about.
const RUN: usize = 11;

/// How the rows of candidates of one length are summarised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    rows: usize,
    runs: usize,
}

impl Summary {
    /// For candidates of `rows` steps, at least [`super::MIN_STEPS`].
    pub(crate) fn new(rows: usize) -> Self {
        Self { rows, runs: ((rows - 2 * CORNER) / RUN).clamp(1, MOST_RUNS) }
    }

    /// Vectors that summarise a group of [`WIDTH`] candidates.
    pub(crate) fn vectors(self) -> usize {
        2 * CORNER + self.runs
    }

    /// The rows of run `r`: all outside the corners are in one.
    fn run(self, r: usize) -> Range<usize> {
        let inner = self.rows - 2 * CORNER;
        CORNER + r * inner / self.runs..CORNER + (r + 1) * inner / self.runs
    }

    /// Writes the summary of a candidate into lane `lane` of its group's `vectors`: the first values, the last ones
    /// (the very last first), the means.
    pub(crate) fn write(self, values: &[f64], scale: Scale, lane: usize, vectors: &mut [[f32; WIDTH]]) {
        for i in 0..CORNER {
            vectors[i][lane] = scale.scaled(values[i]) as f32;
            vectors[CORNER + i][lane] = scale.scaled(values[self.rows - 1 - i]) as f32;
        }
        for r in 0..self.runs {
            let run = self.run(r);
            let length = run.len() as f64;
            let mean: f64 = values[run].iter().map(|&x| scale.scaled(x) / length).sum();
            vectors[2 * CORNER + r][lane] = mean as f32;
        }
    }
}

/// The most runs: enough to tell candidates apart, whatever their length.
const MOST_RUNS: usize = 16;

/// Bounds of whole groups from their summaries.
pub(crate) struct SummaryBounds<'a> {
    pub(crate) target: &'a Target,
    /// [`Summary::vectors`] for each group.
    pub(crate) summaries: &'a [[f32; WIDTH]],
    /// One vector a group, in scaled units: no candidate's total is below its floor.
    pub(crate) floors: &'a mut [[f32; WIDTH]],
}

impl SinglesKernel for SummaryBounds<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Singles>(self) {
        if self.target.squares() { self.all::<S, Squared>() } else { self.all::<S, Absolute>() }
    }
}

impl SummaryBounds<'_> {
    #[inline(always)]
    fn all<S: Singles, C: Cost>(self) {
        let target = self.target;
        let summary = Summary::new(target.rows);
        let runs: Vec<Run<S>> = (0..summary.runs).map(|r| Run::new(target, summary.run(r))).collect();
        let vectors = self.summaries.chunks_exact(summary.vectors());
        for (vectors, floors) in vectors.zip(self.floors) {
            let mut largest = S::splat(0.0);
            for x in &vectors[..2 * CORNER] {
                largest = largest.max(S::from_array(x).abs());
            }
            let (head, tail) = vectors.split_at(CORNER);
            let out = corner::<S, C>(head, &target.query);
            let mut cost = out.add(corner::<S, C>(tail, &target.reversed));
            for (run, mean) in runs.iter().zip(&vectors[2 * CORNER..]) {
                let mean = S::from_array(mean);
                largest = largest.max(mean.abs());
                let difference = outside(mean, run.lower, run.upper);
                cost = run.length.mul_add(C::onto(difference, S::splat(0.0)), cost);
            }
            *floors = target.floor(cost, largest).to_array();
        }
    }
}

/// A run of rows of the query's envelope.
struct Run<S> {
    length: S,
    lower: S,
    upper: S,
}

impl<S: Singles> Run<S> {
    fn new(target: &Target, rows: Range<usize>) -> Self {
        let length = rows.len() as f64;
        let mean = |side: &[f32]| side.iter().map(|&x| f64::from(x) / length).sum::<f64>() as f32;
        Self {
            length: S::splat(rows.len() as f32),
            lower: S::splat(mean(&target.lower[rows.clone()])),
            upper: S::splat(mean(&target.upper[rows])),
        }
    }
}

/// The cheapest way from the corner cell out of the first [`CORNER`] rows and columns.
#[inline(always)]
fn corner<S: Singles, C: Cost>(rows: &[[f32; WIDTH]], query: &[f32]) -> S {
    let infinite = S::splat(f32::INFINITY);
    let mut values = [infinite; CORNER];
    for v in 0..CORNER {
        values[v] = S::from_array(&rows[v]);
    }
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
