//! The best places of a query in a long series.

use super::errors::Code;
use super::task::{Job, promise};
use crate::calls::subsequence;
use napi::bindgen_prelude::{Float64Array, PromiseRaw};
use napi::{Env, Error};
use napi_derive::napi;

/// Windows of a series as two arrays, best first.
#[napi(object, object_from_js = false)]
pub struct SubsequenceMatches {
    pub starts: Float64Array,
    pub distances: Float64Array,
}

#[napi(catch_unwind, ts_return_type = "Promise<SubsequenceMatches>")]
pub fn subsequence_search<'env>(
    env: &'env Env,
    query: &[f64],
    series: &[f64],
    k: f64,
    exclusion: f64,
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, SubsequenceMatches>, Error<Code>> {
    let work = subsequence::subsequence_search(
        query,
        series,
        k,
        exclusion,
        metric,
        window,
        normalize,
        max_distance,
        channels,
    )?;
    promise(env, job, work, |(starts, distances)| SubsequenceMatches {
        starts: starts.into(),
        distances: distances.into(),
    })
}
