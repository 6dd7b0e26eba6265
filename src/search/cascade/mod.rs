//! The k nearest of many candidates of one length, without computing most of them, and exactly all the same.
//!
//! A candidate is dropped only when a proven lower bound of its total is above an upper bound of the k-th best total,
//! so what is left at the end holds the k nearest with all their ties; those few are computed in f64, and the answer
//! is sorted by distance and candidate. Neither the order of the work nor the number of threads can change it.
//!
//! 1. Every candidate gets a bound from its summary (18 numbers of it).
//! 2. The candidates with the lowest bounds are swept; that sets the first threshold.
//! 3. Of the others, those whose summary is below it get closer bounds: LB_Keogh where there is a band, the corners
//!    of the matrix.
//! 4. What is left is swept in the order of its bounds, eight at a time, until the bounds are above the threshold.
//! 5. Candidates whose swept cost (right up to rounding to f32) may still be among the k best are computed.
//!
//! The stages and their margins are in [`crate::kernels::screen`]. The idea of ordering cheap bounds before dear ones
//! is the UCR suite's (Rakthanmanon et al., "Searching and mining trillions of time series subsequences under dynamic
//! time warping", 2012).

mod best;
mod columns;

pub(super) use columns::{CHUNK, Columns, Plan};

use super::Job;
use crate::kernels::KernelError;
use crate::kernels::dtw::{self, DtwOptions};
use crate::kernels::normalize::Normalize;
use crate::kernels::screen::{Meeting, Meetings, Met, Screened, SummaryBounds, Target};
use crate::kernels::simd::{Level, WIDTH};
use crate::series::Series;
use best::Best;

/// Candidates of one length, in chunks of up to [`CHUNK`].
pub(super) trait Pool: Sync {
    /// How the columns were prepared.
    fn plan(&self) -> &Plan;
    /// How many chunks.
    fn chunks(&self) -> usize;
    /// The columns of one.
    fn columns(&self, chunk: usize) -> &Columns;
    /// Bit `row % 64` of word `row / 64`: the row takes part in the search.
    fn eligible(&self, chunk: usize) -> [u64; CHUNK / 64];
    /// A candidate, normalised.
    fn series(&self, chunk: usize, row: usize) -> Series<'_>;
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

/// One of the k nearest: a candidate by chunk and row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Near {
    pub(super) chunk: usize,
    pub(super) row: usize,
    pub(super) distance: f64,
}

/// Chunk and row in one number, in the order of the candidates.
fn id_of(chunk: usize, row: usize) -> u32 {
    (chunk * CHUNK + row) as u32
}

fn place(id: u32) -> (usize, usize) {
    (id as usize / CHUNK, id as usize % CHUNK)
}

/// Candidates that set the first threshold, at least.
const SEEDS: usize = 64;

/// The `k` nearest of `pool`, nearest first, ties in the order of the candidates; `query` is normalised already.
/// None when the query cannot be screened.
pub(super) fn nearest<P: Pool>(
    pool: &P,
    query: Series<'_>,
    options: &DtwOptions,
    k: usize,
    job: &Job,
) -> Option<Result<(Vec<Near>, SearchStats), KernelError>> {
    let plan = pool.plan();
    let target = Target::new(query.values(), plan.steps, options.window, options.metric, plan.scale)?;
    let search = Search { pool, target, level: Level::best(), options, k, job };
    Some(search.run(query))
}

struct Search<'a, P> {
    pool: &'a P,
    target: Target,
    level: Level,
    options: &'a DtwOptions,
    k: usize,
    job: &'a Job,
}

impl<P: Pool> Search<'_, P> {
    fn run(&self, query: Series<'_>) -> Result<(Vec<Near>, SearchStats), KernelError> {
        let mut stats = SearchStats::default();
        let mut unscreened = Vec::new();
        let mut bounds = self.summary_bounds(&mut stats, &mut unscreened);
        let limit = self.options.metric.bound(self.options.max_distance);
        let mut swept = Swept { pool: self.pool, best: Best::new(self.k, limit), order: &[], next: 0, met: Vec::new() };

        let seeds = take_lowest(&mut bounds, SEEDS.max(2 * self.k));
        self.sweep(&mut swept, &seeds)?;
        let survivors = self.closer(&bounds, swept.best.bound());
        self.sweep(&mut swept, &survivors)?;

        let threshold = self.target.threshold(swept.best.bound());
        let mut left: Vec<(f32, u32)> = swept.met;
        let met = left.len();
        left.retain(|&(floor, _)| floor <= threshold);
        left.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        left.extend(unscreened.into_iter().map(|id| (0.0, id)));
        let _ = met;
        stats.computed = left.len();
        stats.pruned_by_bound = stats.candidates - stats.computed;
        let found = self.compute(query, &left)?;
        Ok((found, stats))
    }

    /// One vector of bounds for each group of rows, infinite for those that take no part; `groups_of` a chunk.
    fn summary_bounds(&self, stats: &mut SearchStats, unscreened: &mut Vec<u32>) -> Vec<[f32; WIDTH]> {
        const GROUPS: usize = CHUNK / WIDTH;
        let chunks = self.pool.chunks();
        let mut bounds = vec![[f32::INFINITY; WIDTH]; chunks * GROUPS];
        for (chunk, bounds) in bounds.chunks_exact_mut(GROUPS).enumerate() {
            let columns = self.pool.columns(chunk);
            let groups = columns.rows().div_ceil(WIDTH);
            let bounds = &mut bounds[..groups];
            self.level.run_singles(SummaryBounds {
                target: &self.target,
                summaries: columns.summaries(),
                bounds,
            });
            let eligible = self.pool.eligible(chunk);
            for (group, bounds) in bounds.iter_mut().enumerate() {
                let lanes = eligible[group * WIDTH / 64] >> (group * WIDTH % 64) & 0xff;
                stats.candidates += lanes.count_ones() as usize;
                if lanes != 0xff {
                    for (lane, bound) in bounds.iter_mut().enumerate() {
                        if lanes >> lane & 1 == 0 {
                            *bound = f32::INFINITY;
                        }
                    }
                }
                for lane in 0..WIDTH {
                    let row = group * WIDTH + lane;
                    if lanes >> lane & 1 == 1 && !columns.can_screen(row) {
                        bounds[lane] = f32::INFINITY;
                        unscreened.push(id_of(chunk, row));
                    }
                }
            }
        }
        bounds
    }

    /// Those of the candidates that closer bounds do not drop, in the order of these.
    fn closer(&self, bounds: &[[f32; WIDTH]], bound: f64) -> Vec<u32> {
        let limit = self.target.threshold(bound);
        let mut below = Vec::new();
        for (group, bounds) in bounds.iter().enumerate() {
            for (lane, &floor) in bounds.iter().enumerate() {
                if floor <= limit && floor < f32::INFINITY {
                    below.push((floor, (group * WIDTH + lane) as u32));
                }
            }
        }
        below.sort_unstable_by(|a: &(f32, u32), b| a.0.total_cmp(&b.0));
        below.into_iter().map(|(_, id)| id).collect()
    }

    fn sweep(&self, swept: &mut Swept<'_, P>, order: &[u32]) -> Result<(), KernelError> {
        self.job.interrupt().check()?;
        let mut next = Swept { pool: swept.pool, best: std::mem::replace(&mut swept.best, Best::new(0, 0.0)), order, next: 0, met: std::mem::take(&mut swept.met) };
        self.level.run_singles(Meetings { target: &self.target, meeting: &mut next });
        swept.best = next.best;
        swept.met = next.met;
        Ok(())
    }

    fn compute(&self, query: Series<'_>, left: &[(f32, u32)]) -> Result<Vec<Near>, KernelError> {
        let mut best = Best::new(self.k, self.options.max_distance);
        let mut distances = [0.0; WIDTH];
        for group in left.chunks(self.level.lanes()) {
            let series: Vec<Series<'_>> = group.iter().map(|&(_, id)| { let (c, r) = place(id); self.pool.series(c, r) }).collect();
            let bounded = DtwOptions { max_distance: best.bound(), normalize: Normalize::None, ..*self.options };
            dtw::batch(self.level, query, &series, &bounded, &mut distances[..group.len()], self.job.interrupt())?;
            for (&(_, id), &distance) in group.iter().zip(&distances) {
                if distance < f64::INFINITY { best.offer(distance, id); }
            }
        }
        Ok(best.into_sorted().into_iter().map(|ranked| { let (chunk, row) = place(ranked.id); Near { chunk, row, distance: ranked.key } }).collect())
    }
}

struct Swept<'a, P> {
    pool: &'a P,
    best: Best,
    order: &'a [u32],
    next: usize,
    met: Vec<(f32, u32)>,
}

impl<P: Pool> Meeting for Swept<'_, P> {
    fn next(&mut self, group: &mut [u32; WIDTH]) -> usize {
        let rest = &self.order[self.next..];
        let count = rest.len().min(WIDTH);
        group[..count].copy_from_slice(&rest[..count]);
        self.next += count;
        count
    }
    fn candidate(&self, id: u32) -> Screened<'_> {
        let (chunk, row) = place(id);
        self.pool.columns(chunk).screened(self.pool.plan(), row)
    }
    fn bound(&self) -> f64 {
        self.best.bound()
    }
    fn met(&mut self, id: u32, met: Met) {
        self.best.offer(met.total_at_most, id);
        self.met.push((met.floor, id));
    }
    fn dropped(&mut self, _candidates: usize) {}
}

/// The candidates with the lowest bounds, about `count` of them, lowest first; they are marked as done in `bounds`.
fn take_lowest(bounds: &mut [[f32; WIDTH]], count: usize) -> Vec<u32> {
    let mut all: Vec<(f32, u32)> = bounds.iter().flatten().copied().zip(0..).filter(|&(b, _)| b < f32::INFINITY).collect();
    let count = count.min(all.len());
    if count > 0 && count < all.len() { all.select_nth_unstable_by(count - 1, |a, b| a.0.total_cmp(&b.0)); }
    all.truncate(count);
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    for &(_, id) in &all { bounds[id as usize / WIDTH][id as usize % WIDTH] = f32::INFINITY; }
    all.into_iter().map(|(_, id)| id).collect()
}
