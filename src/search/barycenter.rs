//! DTW barycenter averaging (DBA): a series in the middle of many (Petitjean, Ketterlin and Gancarski, "A global
//! averaging method for dynamic time warping, with applications to clustering", 2011).
//!
//! The inertia of a centre is the sum of its DTW distances to all series, in their order: squared cost, no root. One
//! round aligns the centre with every series and moves each of its values to the mean of the values that are paired
//! with it, which can only lower the inertia. The first centre is the medoid, so the centre has the medoid's length.
//!
//! tslearn's `dtw_barycenter_averaging` is the same rounds from another start (a resampled mean), and its cost is the
//! mean where the inertia is the sum.

use super::matrix::dtw_matrix;
use super::medoids::most_central;
use super::{Candidates, Job};
use crate::kernels::KernelError;
use crate::kernels::dtw::{self, DtwOptions, Metric};
use crate::kernels::simd::Level;
use crate::series::Series;
use rayon::prelude::*;

/// How long [`barycenter`] goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BarycenterOptions {
    /// Sakoe-Chiba radius in samples between the centre and each series; none: every cell.
    pub window: Option<usize>,
    /// The most rounds, at least 1.
    pub max_iterations: usize,
    /// The last round is the one by which the inertia falls by less than this, in units of the inertia. At 0 it is the
    /// one by which it does not fall at all.
    pub tolerance: f64,
}

impl Default for BarycenterOptions {
    fn default() -> Self {
        Self { window: None, max_iterations: 30, tolerance: 1e-6 }
    }
}

/// A centre of many series.
#[derive(Debug, Clone, PartialEq)]
pub struct Barycenter {
    /// As long as the medoid of the series.
    pub center: Vec<f64>,
    /// The sum of the squared-cost DTW distances of `center` to the series; infinity where it overflows.
    pub inertia: f64,
    /// Rounds that were computed: also the last one, which is not kept when it did not lower the inertia.
    pub iterations: usize,
}

/// The centre of univariate `series`; never one of a larger inertia than the medoid, of equally central ones the
/// first. Progress counts pairs: all pairs of the series, then every series once a round and once more.
///
/// `TooLarge` as for [`dtw_matrix`], and as for [`dtw::align`] when the longest series with itself is, before any work.
///
/// # Panics
/// When there is no series, no iteration, or more than one channel.
pub fn barycenter(
    series: &Candidates,
    options: &BarycenterOptions,
    job: &Job,
) -> Result<Barycenter, KernelError> {
    assert!(!series.is_empty() && series.channels() == 1, "one univariate series or more");
    assert!(options.max_iterations > 0, "one round or more");
    check_longest(series, options.window).map_err(|(_, error)| error)?;
    let Some((scaled, exponent)) = scaled_down(series) else { return averaged(series, options, job) };
    let tolerance = libm::ldexp(options.tolerance, -2 * exponent);
    let found = averaged(&scaled, &BarycenterOptions { tolerance, ..*options }, job)?;
    Ok(Barycenter {
        center: found.center.iter().map(|x| libm::ldexp(*x, exponent)).collect(),
        inertia: libm::ldexp(found.inertia, 2 * exponent),
        iterations: found.iterations,
    })
}

/// Refuses what [`barycenter`] would refuse: a centre can get as long as the longest series. With its place, twice.
pub(crate) fn check_longest(
    series: &Candidates,
    window: Option<usize>,
) -> Result<(), ([usize; 2], KernelError)> {
    let steps = |index: usize| series.get(index).steps();
    let Some(longest) = (0..series.len()).max_by_key(|&index| steps(index)) else { return Ok(()) };
    let n = steps(longest);
    dtw::check_alignment(n, n, window).map_err(|error| ([longest; 2], error))
}

/// The rounds, of series whose squares are in range.
fn averaged(series: &Candidates, options: &BarycenterOptions, job: &Job) -> Result<Barycenter, KernelError> {
    let dtw = DtwOptions { metric: Metric::Squared, window: options.window, ..DtwOptions::default() };
    let medoid = most_central(&dtw_matrix(series, &dtw, job)?, series.len());
    let mut center = series.get(medoid).values().to_vec();
    let mut round = Round::around(&center, series, &dtw, job)?;
    let mut iterations = 0;
    loop {
        iterations += 1;
        let moved = round.means();
        let next = Round::around(&moved, series, &dtw, job)?;
        let fall = round.inertia - next.inertia;
        // Only rounding makes it rise, or stand still while the centre moves.
        if fall > 0.0 {
            (center, round) = (moved, next);
        }
        if fall <= 0.0 || fall < options.tolerance || iterations == options.max_iterations {
            return Ok(Barycenter { center, inertia: round.inertia, iterations });
        }
    }
}

/// What one alignment of a centre with all series tells: how far they are, and where their means are.
struct Round {
    inertia: f64,
    sums: Vec<f64>,
    counts: Vec<u64>,
}

/// Series whose sums per position are held at once.
const SERIES_AT_ONCE: usize = 256;

/// Series that one thread aligns at once: whole vectors at every level.
const SERIES_PER_TASK: usize = 16;

impl Round {
    /// Threads share the series; what they found is added in the order of the series, so that the sums have the same
    /// bits for any number of threads.
    fn around(
        center: &[f64],
        series: &Candidates,
        options: &DtwOptions,
        job: &Job,
    ) -> Result<Self, KernelError> {
        let mut round = Self { inertia: 0.0, sums: vec![0.0; center.len()], counts: vec![0; center.len()] };
        let all: Vec<Series<'_>> = (0..series.len()).map(|index| series.get(index)).collect();
        for some in all.chunks(SERIES_AT_ONCE) {
            let mut parts = vec![Part::default(); some.len()];
            let tasks = some.par_chunks(SERIES_PER_TASK).zip(parts.par_chunks_mut(SERIES_PER_TASK));
            tasks.try_for_each(|(few, parts)| {
                let rows = Series::trusted(center, 1);
                let found = |k: usize, alignment| parts[k] = Part::new(&alignment, few[k], center.len());
                dtw::align_batch(Level::best(), rows, few, options, found, job.interrupt())?;
                job.advance(few.len());
                Ok(())
            })?;
            for part in &parts {
                round.add(part);
            }
        }
        Ok(round)
    }

    fn add(&mut self, part: &Part) {
        self.inertia += part.distance;
        for (sum, one) in self.sums.iter_mut().zip(&part.sums) {
            *sum += one;
        }
        for (count, one) in self.counts.iter_mut().zip(&part.counts) {
            *count += u64::from(*one);
        }
    }

    /// For each position of the centre the mean of the values that are paired with it. A path visits every position,
    /// so there is one.
    fn means(&self) -> Vec<f64> {
        self.sums.iter().zip(&self.counts).map(|(sum, &count)| sum / count as f64).collect()
    }
}

/// The same of one series.
#[derive(Clone, Default)]
struct Part {
    distance: f64,
    sums: Vec<f64>,
    counts: Vec<u32>,
}

impl Part {
    fn new(alignment: &dtw::Alignment, series: Series<'_>, positions: usize) -> Self {
        let mut part =
            Self { distance: alignment.distance, sums: vec![0.0; positions], counts: vec![0; positions] };
        for &(i, j) in &alignment.path {
            part.sums[i as usize] += series.values()[j as usize];
            part.counts[i as usize] += 1;
        }
        part
    }
}

/// Where squares would overflow or vanish: the series divided by a power of two, and its exponent. The centre scales with the
/// series; only values that are 2^-500 times the largest, or less, lose bits.
fn scaled_down(series: &Candidates) -> Option<(Candidates, i32)> {
    let values = || (0..series.len()).map(|index| series.get(index).values());
    let largest = values().flatten().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    let (_, exponent) = libm::frexp(largest);
    // The sum of 2^100 squares of values below 2^450 is in range, and the squares above 2^-450 are not subnormal.
    if exponent.abs() <= 450 || largest == 0.0 {
        return None;
    }
    let scaled: Vec<Vec<f64>> =
        values().map(|values| values.iter().map(|x| libm::ldexp(*x, -exponent)).collect()).collect();
    let list = scaled.iter().map(Vec::as_slice);
    Some((Candidates::from_list("series", list, 1).expect("values of at most 1 are finite"), exponent))
}
