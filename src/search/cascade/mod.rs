//! The k nearest of many candidates, without computing most of them, and exactly all the same.
//!
//! A candidate is dropped only when a proven lower bound of its total is above an upper bound of the k-th best total,
//! so what is left at the end holds the k nearest with all their ties; those few are computed in f64, and the answer
//! is sorted by distance and candidate. Neither the order of the work nor the number of threads can change it.
//!
//! 1. Every candidate gets a bound from its summary ([`floors`]).
//! 2. The candidates with the lowest bounds, and those that the caller expects to be near, are swept ([`sweeps`]). A sweep
//!    gives the distance itself, up to rounding to f32, or stops where it is seen to be too large. That sets the first threshold.
//! 3. The others get a tighter bound each, from all their values, and are swept in the order of these, eight at a time,
//!    until the bounds are above the threshold.
//! 4. Candidates whose swept cost may still be among the k best are computed.
//!
//! Candidates that cannot be screened (several channels, a few steps, different lengths, values beyond f32) are
//! computed in the order of what the ends of any path cost.
//!
//! The bounds and their margins are in [`crate::kernels::screen`]. The idea of ordering cheap bounds before dear ones
//! is the UCR suite's (Rakthanmanon et al., "Searching and mining trillions of time series subsequences under dynamic
//! time warping", 2012).

mod columns;
mod floors;
mod sweeps;

pub(super) use columns::{CHUNK, Columns, Plan};

use super::Job;
use super::best::{Best, Ranked};
use crate::kernels::KernelError;
use crate::kernels::dtw::{self, DtwOptions};
use crate::kernels::normalize::Normalize;
use crate::kernels::screen::Target;
use crate::kernels::simd::{Level, WIDTH};
use crate::series::Series;
use floors::Floors;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use sweeps::Sweeps;

/// A bit for each candidate of a chunk.
pub(super) type Mask = [u64; CHUNK / 64];

/// Candidates in chunks of up to [`CHUNK`]; candidate `row` of chunk `chunk` has the index `chunk * CHUNK + row`.
pub(super) trait Pool: Sync {
    /// How the columns were prepared; none: there are none, and nothing is screened.
    fn plan(&self) -> Option<&Plan>;
    /// How many chunks.
    fn chunks(&self) -> usize;
    /// The columns of one.
    fn columns(&self, chunk: usize) -> &Columns;
    /// Bit `row % 64` of word `row / 64`: the candidate takes part in the search.
    fn eligible(&self, chunk: usize) -> Mask;
    /// A candidate, normalised.
    fn series(&self, index: usize) -> Series<'_>;
}

/// What became of the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SearchStats {
    /// Candidates that took part: the sum of the other three.
    pub candidates: usize,
    /// Never compared: a lower bound was beyond what was found already.
    pub pruned_by_bound: usize,
    /// Compared in part: the distance turned out to be beyond what was found already.
    pub abandoned: usize,
    /// Compared to the end.
    pub computed: usize,
}

impl SearchStats {
    fn of(candidates: usize, compared: usize, finished: usize) -> Self {
        Self {
            candidates,
            pruned_by_bound: candidates - compared,
            abandoned: compared - finished,
            computed: finished,
        }
    }
}

/// Steps of all candidates together from which on threads share a search: some milliseconds for one of them.
const STEPS_FOR_THREADS: usize = 1 << 22;

/// Whether a search among so many candidates of so many steps uses the thread pool.
pub(super) fn uses_threads(candidates: usize, steps: usize) -> bool {
    candidates.saturating_mul(steps) >= STEPS_FOR_THREADS
}

/// The `k` nearest of `pool`, nearest first, ties by index; candidates beyond `options.max_distance` are left out.
/// `query` is normalised already, as the candidates are. `hints` are indices of candidates that are likely to be
/// near. Progress counts candidates.
pub(super) fn nearest<P: Pool>(
    pool: &P,
    query: Series<'_>,
    options: &DtwOptions,
    k: usize,
    hints: &[u32],
    threads: bool,
    job: &Job,
) -> Result<(Vec<Ranked>, SearchStats), KernelError> {
    let level = Level::best();
    let options = DtwOptions { normalize: Normalize::None, ..*options };
    let search = Search { pool, level, query, options: &options, k, threads, job };
    let plan = pool.plan().and_then(|plan| Some((plan, plan.target(query, &options)?)));
    match plan {
        Some((plan, target)) => search.screened(plan, &target, hints),
        None => search.plain(),
    }
}

/// Candidates among which the first k best are found, at least.
const SEEDS: usize = 128;

struct Search<'a, P> {
    pool: &'a P,
    level: Level,
    query: Series<'a>,
    options: &'a DtwOptions,
    k: usize,
    threads: bool,
    job: &'a Job,
}

/// A candidate to be computed, and a total that its own is not below.
type Floored = (f64, usize);

impl<P: Pool> Search<'_, P> {
    fn screened(
        &self,
        plan: &Plan,
        target: &Target,
        hints: &[u32],
    ) -> Result<(Vec<Ranked>, SearchStats), KernelError> {
        let mut floors = Floors::new(self.pool, target, self.level, self.threads);
        let candidates = floors.candidates();
        if candidates < 2 * WIDTH || self.k >= candidates / 4 {
            // Most would be swept, and then computed.
            return self.plain();
        }
        let limit = self.options.metric.bound(self.options.max_distance);
        let sweeps = Sweeps::new(self.pool, plan, target, self.level, Best::new(self.k, limit), self.job);
        let mut hinted: Vec<(f32, u32)> = hints.iter().filter_map(|&hint| floors.take(hint)).collect();
        hinted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        sweeps.run(&hinted, false)?;
        // A few vectors of candidates set the first threshold, more for a large k, whose threshold needs k of them.
        let seeds = (2 * self.k).max(SEEDS).min(candidates / 2).saturating_sub(hinted.len()).max(WIDTH);
        let lowest = floors.take_lowest(seeds);
        let (first, more) = lowest.split_at(self.k.next_multiple_of(WIDTH).min(lowest.len()));
        sweeps.run(first, false)?;
        let more = &more[..more.partition_point(|&(floor, _)| floor <= sweeps.threshold())];
        sweeps.seed(more, self.threads)?;
        let others = floors.up_to(sweeps.threshold());
        sweeps.rest(&others, self.threads)?;

        let (swept, unscreened) = (sweeps.swept(), floors.unscreened());
        self.job.advance(candidates - unscreened.len() - swept);
        let mut order: Vec<Floored> = unscreened.iter().map(|&index| self.floored(index as usize)).collect();
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        // What is left of the others is as good as found.
        let left: Vec<Floored> = sweeps.into_left().into_iter().map(|index| (0.0, index as usize)).collect();
        let best = Best::new(self.k, self.options.max_distance);
        let near = self.compute(&best, &left, |_| ())?;
        let far = self.compute(&best, &order, |computed| self.job.advance(computed))?;
        let finished = near.finished + far.finished;
        Ok((best.into_sorted(), SearchStats::of(candidates, swept + far.compared, finished)))
    }

    /// A candidate and what the ends of its path cost.
    fn floored(&self, index: usize) -> Floored {
        (self.options.metric.end_costs(self.query, self.pool.series(index)), index)
    }

    /// Without bounds from columns: in the order of what the ends of a path cost.
    fn plain(&self) -> Result<(Vec<Ranked>, SearchStats), KernelError> {
        let mut indices = Vec::new();
        for chunk in 0..self.pool.chunks() {
            for (word, mut bits) in self.pool.eligible(chunk).into_iter().enumerate() {
                while bits != 0 {
                    indices.push(chunk * CHUNK + word * 64 + bits.trailing_zeros() as usize);
                    bits &= bits - 1;
                }
            }
        }
        let floored = |index| self.floored(index);
        let first = |a: &Floored, b: &Floored| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let order: Vec<Floored> = if self.threads {
            let mut order: Vec<Floored> = indices.into_par_iter().map(floored).collect();
            order.par_sort_unstable_by(first);
            order
        } else {
            let mut order: Vec<Floored> = indices.into_iter().map(floored).collect();
            order.sort_unstable_by(first);
            order
        };
        let best = Best::new(self.k, self.options.max_distance);
        let Computed { compared, finished } =
            self.compute(&best, &order, |computed| self.job.advance(computed))?;
        Ok((best.into_sorted(), SearchStats::of(order.len(), compared, finished)))
    }

    /// Offers the distances of candidates, in the order of their floors, a vector of them at a time. `advance` is told
    /// how many are done.
    fn compute(
        &self,
        best: &Best,
        order: &[Floored],
        advance: impl Fn(usize) + Sync,
    ) -> Result<Computed, KernelError> {
        let (compared, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let group = |group: &[Floored]| {
            let max_distance = best.bound();
            advance(group.len());
            if group[0].0 > self.options.metric.bound(max_distance) {
                return Ok(());
            }
            let bounded = DtwOptions { max_distance, ..*self.options };
            let series: Vec<Series<'_>> = group.iter().map(|&(_, index)| self.pool.series(index)).collect();
            let mut distances = vec![0.0; group.len()];
            dtw::batch(self.level, self.query, &series, &bounded, &mut distances, self.job.interrupt())?;
            compared.fetch_add(group.len(), Ordering::Relaxed);
            for (&(_, index), distance) in group.iter().zip(distances) {
                // Beyond a finite bound it is infinite; a total beyond the range of f64 is an answer.
                if distance <= max_distance {
                    best.offer(distance, index);
                    finished.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        };
        if self.threads {
            order.par_chunks(self.level.lanes()).try_for_each(group)?;
        } else {
            order.chunks(self.level.lanes()).try_for_each(group)?;
        }
        Ok(Computed { compared: compared.into_inner(), finished: finished.into_inner() })
    }
}

/// Candidates that were looked at in f64, and those of them whose distance was computed to the end.
struct Computed {
    compared: usize,
    finished: usize,
}
