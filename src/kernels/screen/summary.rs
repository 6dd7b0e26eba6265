//! A bound from a few numbers a candidate: its first and last values and the means of runs of rows between them.
//!
//! What the ways out of both corners cost is found exactly ([`corner`]). For the rows between the corners, the distance
//! of a value to an interval is convex in all three numbers, so by Jensen's inequality the cost of the means of a run
//! (of the candidate's values, and of the envelope's sides), times its length, is at most the sum of the costs: LB_Keogh
//! at a coarse grain, as in Zhu and Shasha, "Warping indexes with envelope transforms for query by humming", 2003.

use super::corner::{CORNER, corner};
use super::{Absolute, Cost, Scale, Squared, Target, outside};
use crate::kernels::simd::{Singles, SinglesKernel, WIDTH};
use std::ops::Range;

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
            let (mut head, mut tail) = ([S::splat(0.0); CORNER], [S::splat(0.0); CORNER]);
            for v in 0..CORNER {
                (head[v], tail[v]) = (S::from_array(&vectors[v]), S::from_array(&vectors[CORNER + v]));
            }
            let out = corner::<S, C>(&head, &target.query);
            let mut cost = out.add(corner::<S, C>(&tail, &target.reversed));
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
