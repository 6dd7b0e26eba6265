//! From every window to the few that are computed: bounds of growing cost, best first.

use super::acceptance::{Acceptance, SubsequenceMatch};
use crate::kernels::KernelError;
use crate::kernels::dtw::{self, DtwOptions, Metric};
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
    copies: Vec<Vec<f64>>,
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
                let least = bounds.iter().fold(f64::INFINITY, |least, &x| if x < least { x } else { least });
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
        let Scratch { candidates, copies, .. } = scratch;
        candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        copies.resize_with(self.level.lanes(), Vec::new);
        for group in candidates.chunks(self.level.lanes()) {
            if group[0].0 > self.threshold() {
                break;
            }
            self.compute(group, copies)?;
        }
        self.job.advance(stripes.iter().map(|&(_, stripe)| self.windows_of(stripe)).sum());
        Ok(())
    }

    /// The exact distances of a few windows, each normalised by itself.
    fn compute(&self, group: &[(f64, usize)], copies: &mut [Vec<f64>]) -> Result<(), KernelError> {
        let channels = self.series.channels();
        let length = self.query.values().len();
        for (copy, &(_, start)) in copies.iter_mut().zip(group) {
            copy.clear();
            copy.extend_from_slice(&self.series.values()[start * channels..][..length]);
            self.options.normalize.apply_in_place(copy, channels);
        }
        let candidates: Vec<Series<'_>> =
            copies[..group.len()].iter().map(|copy| Series::trusted(copy, channels)).collect();
        let options =
            DtwOptions { normalize: Normalize::None, max_distance: self.acceptance.bound(), ..*self.options };
        let mut distances = vec![0.0; group.len()];
        dtw::batch(self.level, self.query, &candidates, &options, &mut distances, self.job.interrupt())?;
        let found = group.iter().zip(distances).filter(|(_, distance)| *distance <= options.max_distance);
        self.acceptance.offer(found.map(|(&(_, start), distance)| SubsequenceMatch { start, distance }))
    }
}
