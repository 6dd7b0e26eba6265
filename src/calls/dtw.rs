//! DTW of a pair, of one query against many, and of all pairs.

use super::Work;
use super::arguments::{candidates, dtw_options, natural, series, series_buf};
use super::refusal::{Refusal, kernel, pair};
use crate::kernels::Interrupt;
use crate::kernels::dtw::{self, Alignment};
use crate::kernels::simd::Level;
use crate::search::{self, CorrelationMethod, Job};

/// On this thread, from the caller's memory: for comparisons that take microseconds.
pub(crate) fn distance_here(
    a: &[f64],
    b: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<f64, Refusal> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let (a, b) = (series("a", a, channels)?, series("b", b, channels)?);
    dtw::distance(Level::best(), a, b, &options, Interrupt::NEVER).map_err(kernel)
}

pub(crate) fn distance(
    a: &[f64],
    b: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<impl Work<f64> + use<>, Refusal> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let (a, b) = (series_buf("a", a, channels)?, series_buf("b", b, channels)?);
    Ok(move |job: &Job| dtw::distance(Level::best(), a.as_series(), b.as_series(), &options, job.interrupt()))
}

/// A warping path as it crosses; the facade adds what follows from these.
pub(crate) struct FlatPath {
    pub(crate) distance: f64,
    /// Pairs, flat.
    pub(crate) path: Vec<u32>,
    /// Mean of `j - i`; NaN for an empty path.
    pub(crate) lag: f64,
}

impl From<Alignment> for FlatPath {
    fn from(alignment: Alignment) -> Self {
        Self {
            distance: alignment.distance,
            lag: alignment.lag(),
            path: alignment.path.into_iter().flat_map(|(i, j)| [i, j]).collect(),
        }
    }
}

pub(crate) fn align(
    a: &[f64],
    b: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<impl Work<FlatPath> + use<>, Refusal> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let (a, b) = (series_buf("a", a, channels)?, series_buf("b", b, channels)?);
    Ok(move |job: &Job| {
        dtw::align(Level::best(), a.as_series(), b.as_series(), &options, job.interrupt()).map(FlatPath::from)
    })
}

pub(crate) fn batch(
    query: &[f64],
    values: &[f64],
    ends: &[f64],
    steps: f64,
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<impl Work<Vec<f64>> + use<>, Refusal> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let query = series_buf("query", query, channels)?;
    let candidates = candidates("candidates", values, ends, steps, channels)?;
    Ok(move |job: &Job| search::dtw_batch(query.as_series(), &candidates, &options, job))
}

/// Indices and distances, apart: a hundred thousand objects would take the JavaScript thread a while to make.
pub(crate) fn nearest(
    query: &[f64],
    values: &[f64],
    ends: &[f64],
    steps: f64,
    k: f64,
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<impl Work<(Vec<f64>, Vec<f64>)> + use<>, Refusal> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let k = natural("k", k)?;
    let query = series_buf("query", query, channels)?;
    let candidates = candidates("candidates", values, ends, steps, channels)?;
    Ok(move |job: &Job| {
        let nearest = search::dtw_nearest(query.as_series(), &candidates, &options, k, job)?;
        Ok(nearest.into_iter().map(|x| (x.index as f64, x.distance)).unzip())
    })
}

/// What [`matrix`] computes of every pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MatrixKind {
    Distance,
    Lag,
    WarpedCorrelation,
    PearsonCorrelation,
}

pub(crate) fn matrix(
    kind: MatrixKind,
    values: &[f64],
    ends: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<impl Work<Vec<f64>> + use<>, Refusal> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let series = candidates("series", values, ends, 0.0, channels)?;
    if matches!(kind, MatrixKind::Lag | MatrixKind::WarpedCorrelation) {
        search::check_longest_pair(&series, options.window)
            .map_err(|refused| pair(&series, options.window, refused))?;
    }
    Ok(move |job: &Job| match kind {
        MatrixKind::Distance => search::dtw_matrix(&series, &options, job),
        MatrixKind::Lag => search::lag_matrix(&series, &options, job),
        MatrixKind::WarpedCorrelation => {
            search::correlation_matrix(&series, &options, CorrelationMethod::Dtw, job)
        }
        MatrixKind::PearsonCorrelation => {
            search::correlation_matrix(&series, &options, CorrelationMethod::Pearson, job)
        }
    })
}
