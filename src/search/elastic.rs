//! One query against many candidates, by an elastic distance.

use super::{Candidates, Job};
use crate::kernels::KernelError;
use crate::kernels::elastic::{self, Measure};
use crate::kernels::simd::Level;
use crate::series::Series;

/// The distance of `query` to every candidate, in order. Progress counts candidates.
pub fn elastic_batch(
    measure: Measure,
    query: Series<'_>,
    candidates: &Candidates,
    window: Option<usize>,
    job: &Job,
) -> Result<Vec<f64>, KernelError> {
    let list: Vec<Series<'_>> = (0..candidates.len()).map(|k| candidates.get(k)).collect();
    let mut distances = vec![0.0; list.len()];
    elastic::batch(Level::best(), measure, query, &list, window, &mut distances, job.interrupt())?;
    job.advance(list.len());
    Ok(distances)
}
