//! From every window to the few that are computed: bounds of growing cost, best first.
//!
//! 1. Every window gets its coarse bound, adjacent ones side by side; a stripe of windows remembers the least.
//! 2. Rounds of ever more stripes, those with the lowest bounds first, so that the first ones find near windows. What
//!    the windows found so far rule out by then is dropped.
//! 3. The windows of a stripe get their fine bounds, both ways.
//! 4. What is left is computed, lowest bound first, several windows side by side and given up together.
//!
//! The order and the threads decide how much is computed, never what is found: a window is dropped only when its bound is
//! above the threshold of a distance beyond which no window matters (`acceptance.rs`).

use super::acceptance::{Acceptance, SubsequenceMatch};
use crate::kernels::KernelError;
use crate::kernels::dtw::{self, DtwOptions, Metric, WindowTotals};
use crate::kernels::normalize::Normalize;
use crate::kernels::rolling::Rolling;
use crate::kernels::simd::Level;
use crate::kernels::window_bounds::{CoarseBounds, FineBounds, WindowBounds};
use crate::search::Job;
use crate::series::Series;
use rayon::prelude::*;

/// Windows that are ruled out, or looked at more closely, together.
const STRIPE: usize = 16;

/// Stripes that one thread takes at a time.
const STRIPES_A_TASK: usize = 8;

/// Stripes of the first round; each further round has four times as many.
const FIRST_ROUND: usize = 32;

/// One search: everything its threads share.
pub(super) struct Cascade<'a> {
    /// Normalised.
    query: Series<'a>,
    series: Series<'a>,
    options: &'a DtwOptions,
    bounds: WindowBounds,
    acceptance: &'a Acceptance,
    windows: usize,
    level: Level,
    job: &'a Job,
}

/// What a thread keeps from task to task.
#[derive(Default)]
struct Scratch {
    rolling: Vec<Rolling>,
    candidates: Vec<(f64, usize)>,
    bounds: Vec<f64>,
    starts: Vec<usize>,
}

impl<'a> Cascade<'a> {
    /// For the `windows` windows of `series`, which must be as long as it makes them.
    pub(super) fn new(
        query: Series<'a>,
        series: Series<'a>,
        options: &'a DtwOptions,
        acceptance: &'a Acceptance,
        job: &'a Job,
    ) -> Self {
        let largest = match options.normalize {
            Normalize::None => series.values().iter().fold(0.0_f64, |most, x| most.max(x.abs())),
            Normalize::Zscore | Normalize::Minmax => 0.0,
        };
        let absolute = options.metric == Metric::Absolute;
        let bounds = WindowBounds::new(query, options.window, absolute, options.normalize, largest);
        let windows = series.steps() + 1 - query.steps();
        Self { query, series, options, bounds, acceptance, windows, level: Level::best(), job }
    }

    /// Offers every window that matters to the acceptance.
    pub(super) fn run(&self) -> Result<(), KernelError> {
        let mut open = self.stripes()?;
        let mut round = FIRST_ROUND;
        while !open.is_empty() {
            // An f32 is at most half a unit in its last place above the bound that it was rounded from.
            let threshold = self.threshold() * (1.0 + f64::from(f32::EPSILON)) + f64::from(f32::MIN_POSITIVE);
            open.retain(|&(bound, stripe)| {
                let keep = f64::from(bound) <= threshold;
                if !keep {
                    self.job.advance(self.windows_of(stripe));
                }
                keep
            });
            if open.len() > round {
                open.select_nth_unstable_by(round, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            }
            let mut now: Vec<(f32, usize)> = open.drain(..round.min(open.len())).collect();
            now.sort_unstable_by_key(|&(_, stripe)| stripe);
            now.par_chunks(STRIPES_A_TASK)
                .try_for_each_init(Scratch::default, |scratch, stripes| self.task(stripes, scratch))?;
            round = round.saturating_mul(4);
        }
        Ok(())
    }

    /// A bound on a window's total beyond which the window changes nothing.
    fn threshold(&self) -> f64 {
        self.bounds.threshold(self.options.metric.bound(self.acceptance.bound()))
    }

    fn windows_of(&self, stripe: usize) -> usize {
        STRIPE.min(self.windows - stripe * STRIPE)
    }

    /// The least coarse bound of each stripe, and the stripe.
    fn stripes(&self) -> Result<Vec<(f32, usize)>, KernelError> {
        let count = self.windows.div_ceil(STRIPE);
        let mut stripes = Vec::new();
        let bytes = count * size_of::<(f32, usize)>();
        stripes.try_reserve_exact(count).map_err(|_| KernelError::OutOfMemory { bytes })?;
        stripes.resize(count, (0.0_f32, 0));
        // Every block computes sums over the samples of its last window again.
        let block = (4 * self.query.steps()).clamp(1024, 1 << 16) / STRIPE;
        let blocks = stripes.par_chunks_mut(block).enumerate();
        blocks.try_for_each_init(Scratch::default, |scratch, (index, stripes)| {
            self.job.interrupt().check()?;
            let first = index * block * STRIPE;
            self.level.run(CoarseBounds {
                query: &self.bounds,
                series: self.series,
                first,
                windows: (stripes.len() * STRIPE).min(self.windows - first),
                channels: &mut scratch.rolling,
                bounds: &mut scratch.bounds,
            });
            for (k, (stripe, bounds)) in stripes.iter_mut().zip(scratch.bounds.chunks(STRIPE)).enumerate() {
                // Not infinity: beyond f32 there may be thresholds too.
                let most = f64::from(f32::MAX);
                let least = bounds.iter().fold(most, |least, &x| if x < least { x } else { least });
                *stripe = (least as f32, index * block + k);
            }
            Ok(())
        })?;
        Ok(stripes)
    }

    /// Looks at some stripes more closely, and computes the windows that are left.
    fn task(&self, stripes: &[(f32, usize)], scratch: &mut Scratch) -> Result<(), KernelError> {
        scratch.candidates.clear();
        for &(_, stripe) in stripes {
            self.job.interrupt().check()?;
            self.level.run(FineBounds {
                query: &self.bounds,
                series: self.series,
                first: stripe * STRIPE,
                windows: self.windows_of(stripe),
                threshold: self.threshold(),
                channels: &mut scratch.rolling,
                found: &mut scratch.candidates,
            });
        }
        let Scratch { candidates, starts, .. } = scratch;
        candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        starts.clear();
        starts.extend(candidates.iter().map(|&(_, start)| start));
        let windows = WindowTotals {
            query: self.query,
            series: self.series,
            options: self.options,
            interrupt: self.job.interrupt(),
        };
        dtw::totals_of_windows(
            self.level,
            windows,
            starts,
            |next| {
                let total = self.options.metric.bound(self.acceptance.bound());
                (candidates[next].0 <= self.bounds.threshold(total)).then_some(total)
            },
            |starts, totals| {
                let bounded = |(&start, &total): (&usize, &f64)| SubsequenceMatch {
                    start,
                    distance: self.options.metric.bounded(total, self.acceptance.bound()),
                };
                self.acceptance.offer(starts.iter().zip(totals).map(bounded))
            },
        )?;
        self.job.advance(stripes.iter().map(|&(_, stripe)| self.windows_of(stripe)).sum());
        Ok(())
    }
}
