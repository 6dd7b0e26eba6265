//! What no total is below by two passes over the matrix' sides: LB_Improved (Lemire, "Faster retrieval with a two-pass
//! dynamic-time-warping lower bound", 2009), eight candidates at a time.
//!
//! Let `h` be the value of a candidate's row moved into what the query offers that row, its projection. It lies between
//! the row's value `c` and any value `q` of the query that the row may meet, so `|c - q|^p` is at least
//! `|c - h|^p + |h - q|^p`. Every row is met, so the first terms sum up to at least LB_Keogh; every step of the query is
//! met, and by a projection, so the second ones sum up to at least how far the query is outside the envelope of the
//! projections. Pairs within a [`corner`] are counted there, and by rows and columns only outside of both.
//!
//! That takes less than half of the time after which sweeps give a group up, and with a band of a tenth it leaves them
//! one walk in ten.

use super::corner::{CORNER, corner};
use super::group::{Groups, Loaded};
use super::{Absolute, Cost, Squared, Target, outside};
use crate::kernels::simd::{Singles, SinglesKernel};

/// What is learnt of the candidates of a search.
pub(crate) trait Projecting<'v>: Groups<'v> {
    /// One of the group, not seen to exceed the bound; in scaled units, its total is not below `floor`.
    fn projected(&mut self, id: u32, floor: f32);
}

/// Bounds group after group.
pub(crate) struct Projections<'a, 'v> {
    pub(crate) target: &'a Target,
    pub(crate) projecting: &'a mut dyn Projecting<'v>,
}

impl SinglesKernel for Projections<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Singles>(self) {
        if self.target.squares() { self.all::<S, Squared>() } else { self.all::<S, Absolute>() }
    }
}

impl Projections<'_, '_> {
    #[inline(always)]
    fn all<S: Singles, C: Cost>(self) {
        let Self { target, projecting } = self;
        let mut loaded = Loaded::<'_, S>::new(target.rows, projecting);
        let mut sides = Sides::<S>::new(target);
        while loaded.load(projecting) {
            let ceiling = target.ceiling(projecting.bound(), loaded.largest);
            let mut cost =
                corners::<S, C>(&loaded.values, target).add(sides.rows::<C>(&loaded.values, target));
            if cost.le(ceiling) == 0 {
                continue;
            }
            cost = cost.add(sides.columns::<C>(target));
            let near = cost.le(ceiling);
            let floors = target.floor(cost, loaded.largest).to_array();
            for (q, &id) in loaded.ids().iter().enumerate() {
                if near >> q & 1 != 0 {
                    projecting.projected(id, floors[q]);
                }
            }
        }
    }
}

/// What the ways out of both corners cost.
#[inline(always)]
fn corners<S: Singles, C: Cost>(values: &[S], target: &Target) -> S {
    let last = values.len() - 1;
    let (mut head, mut tail) = ([S::splat(0.0); CORNER], [S::splat(0.0); CORNER]);
    for v in 0..CORNER {
        (head[v], tail[v]) = (values[v], values[last - v]);
    }
    let out = corner::<S, C>(&head, &target.query);
    out.add(corner::<S, C>(&tail, &target.reversed))
}

/// Sums that are added to in turns, so that an addition need not wait for the one before it.
const SUMS: usize = 4;

/// The projections of a group.
struct Sides<S> {
    /// Row `i` at `i + before`; before and after the rows their first and last one again, which are in any window
    /// that would reach beyond them.
    projected: Vec<S>,
    before: usize,
    /// Rows that a column may meet, some of them beyond the ends; none: all.
    window: Option<usize>,
    /// What a window and its ends from any of its rows on hold at least and at most.
    lows: Vec<S>,
    highs: Vec<S>,
}

impl<S: Singles> Sides<S> {
    fn new(target: &Target) -> Self {
        let (rows, columns, band) = (target.rows, target.query.len(), target.band);
        let zero = S::splat(0.0);
        let window = (!band.is_full(rows, columns)).then_some(band.below + 1 + band.above);
        // Column `j` may meet the rows from `j - above` on.
        let (before, length) = window.map_or((0, rows), |window| (band.above, columns + window));
        let ends = vec![zero; window.unwrap_or(0)];
        Self { projected: vec![zero; length], before, window, lows: ends.clone(), highs: ends }
    }

    /// Projects all rows; what those between the corners cost.
    #[inline(always)]
    fn rows<C: Cost>(&mut self, values: &[S], target: &Target) -> S {
        let rows = values.len();
        let (first, last) = (self.before, self.before + rows - 1);
        let (lower, upper) = (&target.lower[..rows], &target.upper[..rows]);
        let projected = &mut self.projected[first..=last];
        let mut sums = [S::splat(0.0); SUMS];
        for i in 0..rows {
            projected[i] = values[i].max(S::splat(lower[i])).min(S::splat(upper[i]));
        }
        let inner = CORNER..rows - CORNER;
        let (values, projected) = (&values[inner.clone()], &projected[inner]);
        let (values, projected) = (values.chunks(SUMS), projected.chunks(SUMS));
        for (values, projected) in values.zip(projected) {
            for v in 0..values.len() {
                sums[v] = C::onto(values[v].sub(projected[v]), sums[v]);
            }
        }
        let (head, tail) = (self.projected[first], self.projected[last]);
        self.projected[..first].fill(head);
        self.projected[last + 1..].fill(tail);
        total(sums)
    }

    /// What the columns between the corners cost, beyond what their rows do.
    #[inline(always)]
    fn columns<C: Cost>(&mut self, target: &Target) -> S {
        let none = (S::splat(f32::INFINITY), S::splat(f32::NEG_INFINITY));
        let inner = CORNER..target.query.len() - CORNER;
        let mut sums = [S::splat(0.0); SUMS];
        let Some(window) = self.window else {
            let (mut lower, mut upper) = none;
            for &x in &self.projected {
                (lower, upper) = (lower.min(x), upper.max(x));
            }
            for query in target.query[inner].chunks(SUMS) {
                for v in 0..query.len() {
                    sums[v] = C::onto(outside(S::splat(query[v]), lower, upper), sums[v]);
                }
            }
            return total(sums);
        };
        // As many columns at a time as a window has rows. The first one's window is taken from its end, so that what
        // is left of it for each of the others is there already; what these have beyond it is taken as they come.
        for first in inner.clone().step_by(window) {
            let (mut lower, mut upper) = none;
            let rows = &self.projected[first..first + window];
            let (lows, highs) = (&mut self.lows[..window], &mut self.highs[..window]);
            for i in (0..window).rev() {
                (lower, upper) = (lower.min(rows[i]), upper.max(rows[i]));
                (lows[i], highs[i]) = (lower, upper);
            }
            let count = window.min(inner.end - first);
            let beyond = &self.projected[first + window..][..count];
            let (query, lows, highs) = (&target.query[first..][..count], &lows[..count], &highs[..count]);
            (lower, upper) = none;
            for i in 0..count {
                let outside = outside(S::splat(query[i]), lower.min(lows[i]), upper.max(highs[i]));
                sums[i % SUMS] = C::onto(outside, sums[i % SUMS]);
                (lower, upper) = (lower.min(beyond[i]), upper.max(beyond[i]));
            }
        }
        total(sums)
    }
}

#[inline(always)]
fn total<S: Singles>(sums: [S; SUMS]) -> S {
    sums[0].add(sums[1]).add(sums[2].add(sums[3]))
}
