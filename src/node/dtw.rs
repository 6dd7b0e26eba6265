//! DTW of a pair, of one query against many, and of all pairs.

use super::arguments::{candidates, copy, dtw_options, natural, series, series_buf};
use super::errors::{Code, input, kernel, pair};
use super::task::{Job, pair_promise, promise};
use crate::kernels::Interrupt;
use crate::kernels::dtw::{self, Alignment};
use crate::kernels::simd::Level;
use crate::search::{self, Candidates, CorrelationMethod};
use napi::bindgen_prelude::{Float64Array, PromiseRaw, Uint32Array};
use napi::{Env, Error};
use napi_derive::napi;

#[napi(catch_unwind)]
pub fn dtw_sync(
    a: &[f64],
    b: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<f64, Error<Code>> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let (a, b) = (series("a", a, channels)?, series("b", b, channels)?);
    dtw::distance(Level::best(), a, b, &options, Interrupt::NEVER).map_err(kernel)
}

#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn dtw<'env>(
    env: &'env Env,
    a: &[f64],
    b: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, f64>, Error<Code>> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let (a, b) = (series_buf("a", a, channels)?, series_buf("b", b, channels)?);
    pair_promise(
        env,
        job,
        move |job| dtw::distance(Level::best(), a.as_series(), b.as_series(), &options, job.interrupt()),
        |distance| distance,
    )
}

/// A warping path as JavaScript sees it; the facade adds what follows from these.
#[napi(object, object_from_js = false)]
pub struct WarpingPath {
    pub distance: f64,
    /// Pairs, flat.
    pub path: Uint32Array,
    /// Mean of `j - i`; NaN for an empty path.
    pub lag: f64,
}

/// The same before it enters JavaScript, for the worker to make.
pub(super) struct FlatPath {
    distance: f64,
    path: Vec<u32>,
    lag: f64,
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

impl From<FlatPath> for WarpingPath {
    fn from(flat: FlatPath) -> Self {
        Self { distance: flat.distance, path: flat.path.into(), lag: flat.lag }
    }
}

/// The warping path that neural-trader traces: left before up among equals, where ours has up before left. With the
/// series exchanged the one is the other.
#[napi(catch_unwind)]
pub fn dtw_align_left_first_sync(a: &[f64], b: &[f64]) -> Result<WarpingPath, Error<Code>> {
    let (a, b) = (series("a", a, 1.0)?, series("b", b, 1.0)?);
    let options = dtw::DtwOptions::default();
    let mut alignment = dtw::align(Level::best(), b, a, &options, Interrupt::NEVER).map_err(kernel)?;
    for (i, j) in &mut alignment.path {
        std::mem::swap(i, j);
    }
    Ok(FlatPath::from(alignment).into())
}

#[napi(catch_unwind, ts_return_type = "Promise<WarpingPath>")]
pub fn dtw_align<'env>(
    env: &'env Env,
    a: &[f64],
    b: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, WarpingPath>, Error<Code>> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let (a, b) = (series_buf("a", a, channels)?, series_buf("b", b, channels)?);
    pair_promise(
        env,
        job,
        move |job| {
            dtw::align(Level::best(), a.as_series(), b.as_series(), &options, job.interrupt())
                .map(FlatPath::from)
        },
        WarpingPath::from,
    )
}

/// What neural-trader calls a batch: one distance for each block of `steps` values, on all cores.
#[napi(catch_unwind)]
pub fn pattern_batch_sync(
    pattern: &[f64],
    historical: &[f64],
    steps: f64,
) -> Result<Float64Array, Error<Code>> {
    let pattern = series("pattern", pattern, 1.0)?;
    let steps = natural("patternLength", steps)?;
    let blocks = copy("historical", historical)?;
    let blocks = Candidates::from_block("historical", blocks, steps, 1).map_err(input)?;
    let options = dtw::DtwOptions::default();
    search::blocking(|| search::dtw_batch(pattern, &blocks, &options, &search::Job::new()))
        .map(Float64Array::from)
        .map_err(kernel)
}

#[napi(catch_unwind, ts_return_type = "Promise<Float64Array>")]
pub fn dtw_batch<'env>(
    env: &'env Env,
    query: &[f64],
    values: &[f64],
    ends: &[f64],
    steps: f64,
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, Float64Array>, Error<Code>> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let query = series_buf("query", query, channels)?;
    let candidates = candidates("candidates", values, ends, steps, channels)?;
    promise(
        env,
        job,
        move |job| search::dtw_batch(query.as_series(), &candidates, &options, job),
        Float64Array::from,
    )
}

/// The nearest candidates as two arrays: a hundred thousand objects would take the JavaScript thread a while to make.
#[napi(object, object_from_js = false)]
pub struct NearestCandidates {
    pub indices: Float64Array,
    pub distances: Float64Array,
}

#[napi(catch_unwind, ts_return_type = "Promise<NearestCandidates>")]
pub fn dtw_nearest<'env>(
    env: &'env Env,
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
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, NearestCandidates>, Error<Code>> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let k = natural("k", k)?;
    let query = series_buf("query", query, channels)?;
    let candidates = candidates("candidates", values, ends, steps, channels)?;
    promise(
        env,
        job,
        move |job| {
            let nearest = search::dtw_nearest(query.as_series(), &candidates, &options, k, job)?;
            Ok(nearest
                .into_iter()
                .map(|x| (x.index as f64, x.distance))
                .unzip::<f64, f64, Vec<f64>, Vec<f64>>())
        },
        |(indices, distances)| NearestCandidates { indices: indices.into(), distances: distances.into() },
    )
}

/// What [`series_matrix`] computes of every pair.
#[napi]
#[derive(Debug, PartialEq, Eq)]
pub enum MatrixKind {
    Distance,
    Lag,
    WarpedCorrelation,
    PearsonCorrelation,
}

#[napi(catch_unwind, ts_return_type = "Promise<Float64Array>")]
pub fn series_matrix<'env>(
    env: &'env Env,
    kind: MatrixKind,
    values: &[f64],
    ends: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, Float64Array>, Error<Code>> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let series = candidates("series", values, ends, 0.0, channels)?;
    if matches!(kind, MatrixKind::Lag | MatrixKind::WarpedCorrelation) {
        search::check_longest_pair(&series, options.window)
            .map_err(|refused| pair(&series, options.window, refused))?;
    }
    promise(
        env,
        job,
        move |job| match kind {
            MatrixKind::Distance => search::dtw_matrix(&series, &options, job),
            MatrixKind::Lag => search::lag_matrix(&series, &options, job),
            MatrixKind::WarpedCorrelation => {
                search::correlation_matrix(&series, &options, CorrelationMethod::Dtw, job)
            }
            MatrixKind::PearsonCorrelation => {
                search::correlation_matrix(&series, &options, CorrelationMethod::Pearson, job)
            }
        },
        Float64Array::from,
    )
}
