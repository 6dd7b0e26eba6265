//! One query against many candidates, by an elastic distance.

use super::batch::by_length;
use super::{Candidates, Job};
use crate::kernels::KernelError;
use crate::kernels::elastic::{self, Measure};
use crate::kernels::simd::Level;
use crate::series::Series;

/// The distance of `query` to every candidate, in order. Progress counts candidates.
///
/// Cancelled: `Interrupted`.
///
/// # Panics
/// As [`elastic::batch`] does.
pub fn elastic_batch(
    measure: Measure,
    query: Series<'_>,
    candidates: &Candidates,
    window: Option<usize>,
    job: &Job,
) -> Result<Vec<f64>, KernelError> {
    by_length(candidates, |chunk, distances| {
        elastic::batch(Level::best(), measure, query, chunk, window, distances, job.interrupt())?;
        job.advance(chunk.len());
        Ok(())
    })
}
