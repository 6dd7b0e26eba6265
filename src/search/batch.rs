//! The distance of one query to every candidate.

use super::{Candidates, Job};
use crate::kernels::KernelError;
use crate::kernels::dtw::{self, DtwOptions};
use crate::kernels::simd::Level;
use crate::series::Series;
use rayon::prelude::*;

/// The distance of `query` to every candidate, in order; infinity beyond `options.max_distance`. Progress counts
/// candidates.
///
/// # Panics
/// When the channels differ.
pub fn dtw_batch(
    query: Series<'_>,
    candidates: &Candidates,
    options: &DtwOptions,
    job: &Job,
) -> Result<Vec<f64>, KernelError> {
    by_length(candidates, |chunk, distances| {
        dtw::batch(Level::best(), query, chunk, options, distances, job.interrupt())?;
        job.advance(chunk.len());
        Ok(())
    })
}

/// Hands the candidates to the threads of the pool, chunk by chunk, neighbours in length together so that they can
/// share vectors; returns what `compute` wrote, in the order of the candidates.
pub(super) fn by_length(
    candidates: &Candidates,
    compute: impl Fn(&[Series<'_>], &mut [f64]) -> Result<(), KernelError> + Sync,
) -> Result<Vec<f64>, KernelError> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    // Stable, and a block of equal lengths stays as it is.
    order.sort_by_key(|&index| candidates.get(index).steps());
    let mut sorted = vec![0.0; order.len()];
    let chunk = chunk_length(order.len());
    order.par_chunks(chunk).zip(sorted.par_chunks_mut(chunk)).try_for_each(|(indices, distances)| {
        let series: Vec<Series<'_>> = indices.iter().map(|&index| candidates.get(index)).collect();
        compute(&series, distances)
    })?;
    if candidates.lengths_ascend() {
        return Ok(sorted);
    }
    let mut distances = vec![0.0; sorted.len()];
    for (index, distance) in order.into_iter().zip(sorted) {
        distances[index] = distance;
    }
    Ok(distances)
}

/// Enough chunks for the threads to share evenly, whole vectors in each, and not so many that the query is prepared
/// too often.
fn chunk_length(candidates: usize) -> usize {
    let even = candidates.div_ceil(8 * rayon::current_num_threads());
    even.clamp(1, 64).next_multiple_of(Level::best().lanes())
}
