//! Two sweeps that meet in the middle of the matrix.
//!
//! A cell of one sweep is alive when its cost, what the rows between the sweeps cost at least (LB_Keogh of each) and
//! the least that the other sweep has seen together do not exceed the threshold: each side tightens the other's.
//! Where the sweeps meet, the sum over the cheapest crossing is the DTW cost itself, up to rounding.

use super::group::{Groups, Loaded};
use super::sweep::Sweep;
use super::{Absolute, Cost, Squared, Target, outside};
use crate::kernels::Interrupt;
use crate::kernels::simd::{Singles, SinglesKernel};

/// What a pair of sweeps found out about one candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Met {
    /// In scaled units, below the total.
    pub(crate) floor: f32,
    /// Not below the total.
    pub(crate) total_at_most: f64,
}

/// What is learnt of the candidates of a search.
pub(crate) trait Meeting<'v>: Groups<'v> {
    /// One of the group, not seen to exceed the bound.
    fn met(&mut self, id: u32, met: Met);
}

/// Sweeps group after group. (Of whatever search: it is asked a few times a group, and one sweep compiled for all
/// of them is enough.)
pub(crate) struct Meetings<'a, 'v> {
    pub(crate) target: &'a Target,
    pub(crate) meeting: &'a mut dyn Meeting<'v>,
    /// Ends the run early; whoever raises it knows.
    pub(crate) interrupt: Interrupt<'a>,
}

impl SinglesKernel for Meetings<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Singles>(self) {
        if self.target.squares() { self.all::<S, Squared>() } else { self.all::<S, Absolute>() }
    }
}

impl Meetings<'_, '_> {
    #[inline(always)]
    fn all<S: Singles, C: Cost>(self) {
        let Self { target, meeting, interrupt } = self;
        let mut loaded = Loaded::<'_, S>::new(target.rows, meeting);
        let mut both = Both::<S>::new(target);
        while loaded.load(meeting) {
            let bound = meeting.bound();
            if let Some(costs) = both.meet::<C>(&loaded, target, bound, interrupt) {
                let floors = target.floor(costs, loaded.largest).to_array();
                let (costs, largest) = (costs.to_array(), loaded.largest.to_array());
                for (q, &id) in loaded.ids().iter().enumerate() {
                    if costs[q] < f32::INFINITY {
                        let total_at_most = target.total_at_most(costs[q], largest[q]);
                        meeting.met(id, Met { floor: floors[q], total_at_most });
                    }
                }
            }
        }
    }
}

/// Vector cells between two looks at the interrupt, about: some hundred microseconds.
const POLL_CELLS: usize = 1 << 18;

/// Both sweeps of one group.
struct Both<S> {
    /// LB_Keogh of the first `i` rows.
    prefix: Vec<S>,
    forward: Sweep<S>,
    backward: Sweep<S>,
}

impl<S: Singles> Both<S> {
    fn new(target: &Target) -> Self {
        Self {
            prefix: vec![S::splat(0.0); target.rows + 1],
            forward: Sweep::new(target.query.len()),
            backward: Sweep::new(target.query.len()),
        }
    }

    /// The computed costs of the lanes, infinite for those above their ceiling; none when all are, or when interrupted.
    #[inline(always)]
    fn meet<C: Cost>(
        &mut self,
        group: &Loaded<'_, S>,
        target: &Target,
        bound: f64,
        interrupt: Interrupt<'_>,
    ) -> Option<S> {
        let (m, last) = (target.rows, target.rows - 1);
        let zero = S::splat(0.0);
        let ceiling = target.ceiling(bound, group.largest);
        let mut sum = zero;
        for i in 0..m {
            let lower = S::splat(target.lower[i]);
            let upper = S::splat(target.upper[i]);
            sum = C::onto(outside(group.values[i], lower, upper), sum);
            self.prefix[i + 1] = sum;
        }
        let end = target.query.len() - 1;
        let start_cost = C::onto(group.values[0].sub(S::splat(target.query[0])), zero);
        let end_cost = C::onto(group.values[last].sub(S::splat(target.query[end])), zero);
        // The ends are open in the envelope, so this counts nothing twice.
        if sum.add(start_cost).add(end_cost).le(ceiling) == 0 {
            return None;
        }
        self.forward.restart(start_cost);
        self.backward.restart(end_cost);
        let half = m / 2;
        let mut cells = 0;
        macro_rules! step {
            (forward, $k:literal) => {{
                // Before its first block a sweep has seen its corner, that is one row.
                let (from, to) = (self.forward.rows() + $k, m - self.backward.rows().max(1));
                let limit = ceiling.sub(self.backward.least()).sub(self.between(from, to));
                let values: &[S; $k] =
                    group.values[from - $k..].first_chunk().expect("a block lies within its half");
                if !self.forward.advance::<C, $k>(values, &target.query, target.band, limit) {
                    return None;
                }
            }};
            (backward, $k:literal) => {{
                let (from, to) = (self.forward.rows().max(1), m - self.backward.rows() - $k);
                let limit = ceiling.sub(self.forward.least()).sub(self.between(from, to));
                let mut values = [zero; $k];
                for v in 0..$k {
                    values[v] = group.values[to + $k - 1 - v];
                }
                if !self.backward.advance::<C, $k>(&values, &target.reversed, target.band, limit) {
                    return None;
                }
            }};
        }
        macro_rules! blocks {
            ($k:literal) => {
                loop {
                    let ahead = half - self.forward.rows() >= $k;
                    let behind = m - half - self.backward.rows() >= $k;
                    if ahead {
                        step!(forward, $k);
                    }
                    if behind {
                        step!(backward, $k);
                    }
                    if !ahead && !behind {
                        break;
                    }
                    cells += 2 * $k * (self.forward.alive().len() + self.backward.alive().len());
                    if cells > POLL_CELLS {
                        cells = 0;
                        interrupt.check().ok()?;
                    }
                }
            };
        }
        blocks!(5);
        blocks!(2);
        blocks!(1);
        Some(self.crossing().up_to(ceiling))
    }

    /// LB_Keogh of the rows `from .. to`.
    #[inline(always)]
    fn between(&self, from: usize, to: usize) -> S {
        if from < to { self.prefix[to].sub(self.prefix[from]) } else { S::splat(0.0) }
    }

    /// The cheapest way over from the last row of the one sweep to the last row of the other.
    #[inline(always)]
    fn crossing(&self) -> S {
        let end = self.forward.columns() - 1;
        let mut best = S::splat(f32::INFINITY);
        let alive = self.forward.alive();
        let mut here = self.backward.at(end - alive.start);
        for j in alive {
            let next = if j < end { self.backward.at(end - j - 1) } else { S::splat(f32::INFINITY) };
            best = best.min(self.forward.at(j).add(here.min(next)));
            here = next;
        }
        best
    }
}
