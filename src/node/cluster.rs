//! Many series at once: paths between neighbours, a centre, representatives.

use super::dtw::WarpingPath;
use super::errors::Code;
use super::task::{Job, promise};
use crate::calls::cluster;
use napi::bindgen_prelude::{Float64Array, PromiseRaw, Uint32Array};
use napi::{Env, Error};
use napi_derive::napi;

#[napi(catch_unwind, ts_return_type = "Promise<Array<WarpingPath>>")]
pub fn align_timeframes<'env>(
    env: &'env Env,
    values: &[f64],
    ends: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, Vec<WarpingPath>>, Error<Code>> {
    let work = cluster::align_timeframes(values, ends, metric, window, normalize, max_distance, channels)?;
    promise(env, job, work, |paths| paths.into_iter().map(WarpingPath::from).collect())
}

/// A centre as JavaScript sees it.
#[napi(object, object_from_js = false)]
pub struct SeriesCenter {
    pub center: Float64Array,
    pub inertia: f64,
    pub iterations: f64,
}

#[napi(catch_unwind, ts_return_type = "Promise<SeriesCenter>")]
pub fn barycenter<'env>(
    env: &'env Env,
    values: &[f64],
    ends: &[f64],
    window: f64,
    max_iterations: f64,
    tolerance: f64,
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, SeriesCenter>, Error<Code>> {
    let work = cluster::barycenter(values, ends, window, max_iterations, tolerance)?;
    promise(env, job, work, |found| SeriesCenter {
        center: found.center.into(),
        inertia: found.inertia,
        iterations: found.iterations as f64,
    })
}

/// Representatives as JavaScript sees them.
#[napi(object, object_from_js = false)]
pub struct SeriesMedoids {
    pub medoids: Uint32Array,
    pub assignment: Uint32Array,
    pub inertia: f64,
}

#[napi(catch_unwind, ts_return_type = "Promise<SeriesMedoids>")]
pub fn medoids<'env>(
    env: &'env Env,
    values: &[f64],
    ends: &[f64],
    k: f64,
    seed: f64,
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, SeriesMedoids>, Error<Code>> {
    let work = cluster::medoids(values, ends, k, seed, metric, window, normalize, max_distance, channels)?;
    promise(env, job, work, |found| SeriesMedoids {
        medoids: found.medoids.into(),
        assignment: found.assignment.into(),
        inertia: found.inertia,
    })
}
