//! DTW of a pair, of one query against many, and of all pairs.

use super::errors::Code;
use super::task::{Job, pair_promise, promise};
use crate::calls::compat;
use crate::calls::dtw::{self, FlatPath};
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
    Ok(dtw::distance_here(a, b, metric, window, normalize, max_distance, channels)?)
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
    let work = dtw::distance(a, b, metric, window, normalize, max_distance, channels)?;
    pair_promise(env, job, work, |distance| distance)
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

impl From<FlatPath> for WarpingPath {
    fn from(flat: FlatPath) -> Self {
        Self { distance: flat.distance, path: flat.path.into(), lag: flat.lag }
    }
}

/// The warping path that neural-trader traces: left before up among equals, where ours has up before left. With the
/// series exchanged the one is the other.
#[napi(catch_unwind)]
pub fn dtw_align_left_first_sync(a: &[f64], b: &[f64]) -> Result<WarpingPath, Error<Code>> {
    Ok(compat::align_left_first(a, b)?.into())
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
    let work = dtw::align(a, b, metric, window, normalize, max_distance, channels)?;
    pair_promise(env, job, work, WarpingPath::from)
}

/// What neural-trader calls a batch: one distance for each block of `steps` values, on all cores.
#[napi(catch_unwind)]
pub fn pattern_batch_sync(
    pattern: &[f64],
    historical: &[f64],
    steps: f64,
) -> Result<Float64Array, Error<Code>> {
    Ok(compat::pattern_batch(pattern, historical, steps)?.into())
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
    let work = dtw::batch(query, values, ends, steps, metric, window, normalize, max_distance, channels)?;
    promise(env, job, work, Float64Array::from)
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
    let work =
        dtw::nearest(query, values, ends, steps, k, metric, window, normalize, max_distance, channels)?;
    promise(env, job, work, |(indices, distances)| NearestCandidates {
        indices: indices.into(),
        distances: distances.into(),
    })
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

impl From<MatrixKind> for dtw::MatrixKind {
    fn from(kind: MatrixKind) -> Self {
        match kind {
            MatrixKind::Distance => Self::Distance,
            MatrixKind::Lag => Self::Lag,
            MatrixKind::WarpedCorrelation => Self::WarpedCorrelation,
            MatrixKind::PearsonCorrelation => Self::PearsonCorrelation,
        }
    }
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
    let work = dtw::matrix(kind.into(), values, ends, metric, window, normalize, max_distance, channels)?;
    promise(env, job, work, Float64Array::from)
}
