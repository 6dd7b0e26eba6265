//! The best places of a query in a long series.

use super::arguments::{dtw_options, natural, series_buf};
use super::errors::Code;
use super::task::{Job, promise};
use crate::search;
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
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let (k, exclusion) = (natural("k", k)?.max(1), natural("exclusion", exclusion)?);
    let query = series_buf("query", query, channels)?;
    let series = series_buf("series", series, channels)?;
    promise(
        env,
        job,
        move |job| {
            let (query, series) = (query.as_series(), series.as_series());
            let found = search::subsequence_search(query, series, &options, k, exclusion, job)?;
            Ok(found
                .into_iter()
                .map(|x| (x.start as f64, x.distance))
                .unzip::<f64, f64, Vec<f64>, Vec<f64>>())
        },
        |(starts, distances)| SubsequenceMatches { starts: starts.into(), distances: distances.into() },
    )
}
