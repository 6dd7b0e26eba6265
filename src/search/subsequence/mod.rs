//! The best places of a short query in a long series: every window is normalised by itself, as in the UCR suite.
//!
//! Rakthanmanon et al., "Searching and mining trillions of time series subsequences under dynamic time warping", 2012. Here
//! the bounds are on vectors of adjacent windows, begin with segment means, and are taken best first ([`cascade`]);
//! answers are computed from windows normalised in two passes, and chosen exactly ([`acceptance`]).

mod acceptance;
mod cascade;

pub use acceptance::SubsequenceMatch;

use super::Job;
use crate::kernels::KernelError;
use crate::kernels::dtw::DtwOptions;
use crate::series::Series;
use acceptance::Acceptance;
use cascade::Cascade;

/// The `k` best windows of `series` that are as long as `query`, best first, ties by start. Greedy: a window that
/// starts within `exclusion` time steps of a better one that was accepted is left out, and so is one beyond
/// `options.max_distance`. Each distance has the bits of [`crate::kernels::dtw::distance`] of the query and that
/// window, both normalised by themselves. Progress counts windows; a series shorter than the query has none.
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
    if series.steps() >= query.steps() {
        Cascade::new(query, series, options, &acceptance, job).run()?;
    }
    Ok(acceptance.into_answer())
}
