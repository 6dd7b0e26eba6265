//! All pairs of a list of series: distances, lags and correlations along the warping path.

use super::{Candidates, Job, square};
use crate::kernels::KernelError;
use crate::kernels::dtw::{self, DtwOptions};
use crate::kernels::normalize::{self, Normalize};
use crate::kernels::simd::Level;
use crate::series::Series;
use rayon::prelude::*;

/// Which pairs of values a correlation is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CorrelationMethod {
    /// The pairs of the warping path.
    #[default]
    Dtw,
    /// Equal positions of series of equal lengths.
    Pearson,
}

/// All pairwise distances, row-major `len x len`: symmetric, zeros on the diagonal, infinity beyond
/// `options.max_distance`. Progress counts pairs. More than [`super::MAX_MATRIX_VALUES`] values: `TooLarge`.
pub fn dtw_matrix(series: &Candidates, options: &DtwOptions, job: &Job) -> Result<Vec<f64>, KernelError> {
    let (series, options) = (&*series.normalized(options.normalize)?, &normalized(options));
    upper_triangle(series, 0.0, Mirror::Same, job, |row, later, out| {
        dtw::batch(Level::best(), row, later, options, out, job.interrupt())
    })
}

/// All pairwise lags, row-major `len x len`: for `i < j` the mean of `j - i` over the pairs of the warping path, for
/// `j < i` its negative, 0 on the diagonal; NaN where the distance is beyond `options.max_distance`. Progress counts
/// pairs. `TooLarge` as for [`dtw_matrix`] and [`dtw::align`].
pub fn lag_matrix(series: &Candidates, options: &DtwOptions, job: &Job) -> Result<Vec<f64>, KernelError> {
    check_longest_pair(series, options.window).map_err(|(_, error)| error)?;
    let (series, options) = (&*series.normalized(options.normalize)?, &normalized(options));
    upper_triangle(series, 0.0, Mirror::Negated, job, |row, later, out| {
        let found = |k: usize, alignment: dtw::Alignment| out[k] = alignment.lag();
        dtw::align_batch(Level::best(), row, later, options, found, job.interrupt())
    })
}

/// All pairwise Pearson correlations, row-major `len x len`: symmetric, 1 on the diagonal, 0 where a series is
/// constant, NaN where the distance is beyond `options.max_distance`. Several
/// channels are pooled, after normalisation. Progress counts
/// pairs. `TooLarge` as for [`lag_matrix`].
///
/// # Panics
/// With [`CorrelationMethod::Pearson`] when lengths differ.
pub fn correlation_matrix(
    series: &Candidates,
    options: &DtwOptions,
    method: CorrelationMethod,
    job: &Job,
) -> Result<Vec<f64>, KernelError> {
    if method == CorrelationMethod::Dtw {
        check_longest_pair(series, options.window).map_err(|(_, error)| error)?;
    }
    // The correlation of one channel does not notice how the series were scaled: these values serve for both.
    let (series, options) = (&*series.normalized(options.normalize)?, &normalized(options));
    let channels = series.channels();
    upper_triangle(series, 1.0, Mirror::Same, job, |row, later, out| {
        if method == CorrelationMethod::Pearson {
            for (correlation, other) in out.iter_mut().zip(later) {
                assert_eq!(row.steps(), other.steps(), "equal positions need equal lengths");
                *correlation = pearson(row.values(), other.values());
                job.interrupt().check()?;
            }
            return Ok(());
        }
        let (mut x, mut y) = (Vec::new(), Vec::new());
        let found = |k: usize, alignment: dtw::Alignment| {
            x.clear();
            y.clear();
            for &(i, j) in &alignment.path {
                x.extend_from_slice(&row.values()[i as usize * channels..][..channels]);
                y.extend_from_slice(&later[k].values()[j as usize * channels..][..channels]);
            }
            out[k] = if x.is_empty() { f64::NAN } else { pearson(&x, &y) };
        };
        dtw::align_batch(Level::best(), row, later, options, found, job.interrupt())
    })
}

/// The options for series that are normalised already.
fn normalized(options: &DtwOptions) -> DtwOptions {
    DtwOptions { normalize: Normalize::None, ..*options }
}

/// Refuses at once what the longest pair would refuse much later, with the places of the two.
pub(crate) fn check_longest_pair(
    series: &Candidates,
    window: Option<usize>,
) -> Result<(), ([usize; 2], KernelError)> {
    let steps = |index: usize| series.get(index).steps();
    let mut order: Vec<usize> = (0..series.len()).collect();
    order.sort_by_key(|&index| steps(index));
    let [.., second, first] = order[..] else { return Ok(()) };
    let pair = [second.min(first), second.max(first)];
    dtw::check_alignment(steps(pair[0]), steps(pair[1]), window).map_err(|error| (pair, error))
}

/// What stands below the diagonal.
#[derive(Clone, Copy, PartialEq)]
enum Mirror {
    Same,
    Negated,
}

/// Fills a square matrix: `compute(series[i], series[i + 1..], out)` for every row, in parallel, then the rest.
fn upper_triangle(
    series: &Candidates,
    diagonal: f64,
    mirror: Mirror,
    job: &Job,
    compute: impl Fn(Series<'_>, &[Series<'_>], &mut [f64]) -> Result<(), KernelError> + Sync,
) -> Result<Vec<f64>, KernelError> {
    let size = series.len();
    let mut matrix = square(size, diagonal)?;
    if size == 0 {
        return Ok(matrix);
    }
    let all: Vec<Series<'_>> = (0..size).map(|index| series.get(index)).collect();
    matrix.par_chunks_mut(size).enumerate().try_for_each(|(i, row)| {
        let (later, out) = (&all[i + 1..], &mut row[i + 1..]);
        // Rows are cut as well, so that a short list of long series keeps every thread busy.
        let piece = PAIRS_PER_TASK;
        later.par_chunks(piece).zip(out.par_chunks_mut(piece)).try_for_each(|(later, out)| {
            compute(all[i], later, out)?;
            job.advance(later.len());
            Ok(())
        })
    })?;
    for i in 0..size {
        for j in 0..i {
            let value = matrix[j * size + i];
            matrix[i * size + j] = if mirror == Mirror::Negated { -value } else { value };
        }
    }
    Ok(matrix)
}

/// Pairs of one row that a thread takes at once: whole vectors at every level.
const PAIRS_PER_TASK: usize = 32;

/// Pearson's correlation of equally long samples by two passes; 0 where one of them is constant.
fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let (x, y) = (normalize::with_squares_in_range(x), normalize::with_squares_in_range(y));
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut xx, mut yy, mut xy) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (x, y) in x.iter().zip(&*y) {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    let constant = |squares: f64, mean: f64| normalize::is_constant((squares / n).sqrt(), mean);
    if constant(xx, mean_x) || constant(yy, mean_y) {
        return 0.0;
    }
    // One root of the product: equal samples give exactly 1. In range, it cannot overflow.
    (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0)
}
