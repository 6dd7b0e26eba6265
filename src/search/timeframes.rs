//! Warping paths between neighbours of a list, such as one market at 1, 5, 15 and 60 minutes.

use super::{Candidates, Job};
use crate::kernels::KernelError;
use crate::kernels::dtw::{self, Alignment, DtwOptions};
use crate::kernels::simd::Level;
use rayon::prelude::*;

/// [`dtw::align`] of each series (rows) with the one after it, in order: `len - 1` alignments, none of fewer than two
/// series. Progress counts pairs. `TooLarge` as for `align`, before any work.
pub fn align_neighbors(
    series: &Candidates,
    options: &DtwOptions,
    job: &Job,
) -> Result<Vec<Alignment>, KernelError> {
    check_neighbors(series, options.window).map_err(|(_, error)| error)?;
    (1..series.len())
        .into_par_iter()
        // One pair can take minutes: threads that are done with theirs must find a single next one.
        .with_max_len(1)
        .map(|later| {
            let (a, b) = (series.get(later - 1), series.get(later));
            let alignment = dtw::align(Level::best(), a, b, options, job.interrupt())?;
            job.advance(1);
            Ok(alignment)
        })
        .collect()
}

/// Refuses what [`align_neighbors`] would refuse, with the places of the pair.
pub(crate) fn check_neighbors(
    series: &Candidates,
    window: Option<usize>,
) -> Result<(), ([usize; 2], KernelError)> {
    (1..series.len()).try_for_each(|later| {
        let (n, m) = (series.get(later - 1).steps(), series.get(later).steps());
        dtw::check_alignment(n, m, window).map_err(|error| ([later - 1, later], error))
    })
}
