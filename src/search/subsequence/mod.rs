//! The best places of a short query in a long series: every window is normalised by itself, as in the UCR suite.
//!
//! Rakthanmanon et al., "Searching and mining trillions of time series subsequences under dynamic time warping", 2012.

mod acceptance;

pub use acceptance::SubsequenceMatch;

use super::Job;
use crate::kernels::KernelError;
use crate::kernels::dtw::{self, DtwOptions};
use crate::kernels::normalize::Normalize;
use crate::kernels::simd::Level;
use crate::series::Series;
use acceptance::Acceptance;
use rayon::prelude::*;

/// The `k` best windows of `series` that are as long as `query`, best first, ties by start. Greedy: a window that
/// starts within `exclusion` time steps of a better one that was accepted is left out, and so is one beyond
/// `options.max_distance`. Each distance has the bits of [`dtw::distance`] of the query and that window, both
/// normalised by themselves. Progress counts windows; a series shorter than the query has none.
///
/// # Panics
/// When the channels differ, or `k` is 0.
pub fn subsequence_search(
    query: Series<'_>,
    series: Series<'_>,
    options: &DtwOptions,
    k: usize,
    exclusion: usize,
    job: &Job,
) -> Result<Vec<SubsequenceMatch>, KernelError> {
    assert_eq!(query.channels(), series.channels(), "both series have the same number of channels");
    assert!(k > 0, "at least one window is asked for");
    let normalized = options.normalize.apply(query);
    let query = Series::trusted(&normalized, query.channels());
    let acceptance = Acceptance::new(k, exclusion, options.max_distance);
    let windows = (series.steps() + 1).saturating_sub(query.steps());
    let lanes = Level::best().lanes();
    (0..windows.div_ceil(lanes)).into_par_iter().try_for_each(|group| {
        let starts = group * lanes..((group + 1) * lanes).min(windows);
        let channels = series.channels();
        let copies: Vec<Vec<f64>> = starts
            .clone()
            .map(|start| {
                let mut window =
                    series.values()[start * channels..(start + query.steps()) * channels].to_vec();
                options.normalize.apply_in_place(&mut window, channels);
                window
            })
            .collect();
        let candidates: Vec<Series<'_>> = copies.iter().map(|copy| Series::trusted(copy, channels)).collect();
        let options = DtwOptions { normalize: Normalize::None, max_distance: acceptance.bound(), ..*options };
        let mut distances = vec![0.0; candidates.len()];
        dtw::batch(Level::best(), query, &candidates, &options, &mut distances, job.interrupt())?;
        job.advance(starts.len());
        acceptance.offer(starts.zip(distances).map(|(start, distance)| SubsequenceMatch { start, distance }))
    })?;
    Ok(acceptance.into_answer())
}
