//! Many series at once: paths between neighbours, a centre, representatives.

use super::arguments::{candidates, dtw_options, natural, window};
use super::dtw::{FlatPath, WarpingPath};
use super::errors::{Code, invalid, pair};
use super::task::{Job, promise};
use crate::search::{self, BarycenterOptions};
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
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let series = candidates("series", values, ends, 0.0, channels)?;
    search::check_neighbors(&series, options.window)
        .map_err(|refused| pair(&series, options.window, refused))?;
    promise(
        env,
        job,
        move |job| {
            let alignments = search::align_neighbors(&series, &options, job)?;
            Ok(alignments.into_iter().map(FlatPath::from).collect::<Vec<_>>())
        },
        |paths| paths.into_iter().map(WarpingPath::from).collect(),
    )
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
    let options = BarycenterOptions {
        window: self::window(window)?,
        max_iterations: natural("maxIterations", max_iterations)?,
        tolerance,
    };
    if options.max_iterations == 0 || tolerance.is_nan() || tolerance < 0.0 {
        return Err(invalid(format!("{options:?} are no options of barycenter")));
    }
    let series = candidates("series", values, ends, 0.0, 1.0)?;
    if series.is_empty() {
        return Err(invalid("series must hold one series or more"));
    }
    search::check_longest(&series, options.window)
        .map_err(|refused| pair(&series, options.window, refused))?;
    promise(
        env,
        job,
        move |job| search::barycenter(&series, &options, job),
        |found| SeriesCenter {
            center: found.center.into(),
            inertia: found.inertia,
            iterations: found.iterations as f64,
        },
    )
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
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let (k, seed) = (natural("k", k)?, natural("seed", seed)? as u64);
    let series = candidates("series", values, ends, 0.0, channels)?;
    if !(1..=series.len()).contains(&k) {
        return Err(invalid(format!("k must be an integer from 1 to {}, got {k}", series.len())));
    }
    promise(
        env,
        job,
        move |job| search::medoids(&series, k, &options, seed, job),
        |found| SeriesMedoids {
            medoids: found.medoids.into(),
            assignment: found.assignment.into(),
            inertia: found.inertia,
        },
    )
}
