//! The best places of a query in a long series.

use super::Work;
use super::arguments::{dtw_options, natural, series_buf};
use super::refusal::Refusal;
use crate::search::{self, Job};

/// Where the windows start and how far they are, best first.
pub(crate) fn subsequence_search(
    query: &[f64],
    series: &[f64],
    k: f64,
    exclusion: f64,
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<impl Work<(Vec<f64>, Vec<f64>)> + use<>, Refusal> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let (k, exclusion) = (natural("k", k)?.max(1), natural("exclusion", exclusion)?);
    let query = series_buf("query", query, channels)?;
    let series = series_buf("series", series, channels)?;
    Ok(move |job: &Job| {
        let (query, series) = (query.as_series(), series.as_series());
        let found = search::subsequence_search(query, series, &options, k, exclusion, job)?;
        Ok(found.into_iter().map(|x| (x.start as f64, x.distance)).unzip())
    })
}
