//! The elastic distances beyond DTW.

use super::errors::Code;
use super::task::{Job, pair_promise, promise};
use crate::calls::elastic;
use napi::bindgen_prelude::{Float64Array, PromiseRaw};
use napi::{Env, Error};
use napi_derive::napi;

/// The measures, in the order of their names in the facade.
#[napi]
#[derive(Debug, PartialEq, Eq)]
pub enum ElasticKind {
    Ddtw,
    Wdtw,
    Adtw,
    Erp,
    Edr,
    Msm,
    Twe,
    SoftDtw,
}

impl From<ElasticKind> for elastic::ElasticKind {
    fn from(kind: ElasticKind) -> Self {
        match kind {
            ElasticKind::Ddtw => Self::Ddtw,
            ElasticKind::Wdtw => Self::Wdtw,
            ElasticKind::Adtw => Self::Adtw,
            ElasticKind::Erp => Self::Erp,
            ElasticKind::Edr => Self::Edr,
            ElasticKind::Msm => Self::Msm,
            ElasticKind::Twe => Self::Twe,
            ElasticKind::SoftDtw => Self::SoftDtw,
        }
    }
}

#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn elastic<'env>(
    env: &'env Env,
    kind: ElasticKind,
    a: &[f64],
    b: &[f64],
    window: f64,
    first: f64,
    second: f64,
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, f64>, Error<Code>> {
    pair_promise(env, job, elastic::distance(kind.into(), a, b, window, first, second)?, |distance| distance)
}

#[napi(catch_unwind, ts_return_type = "Promise<Float64Array>")]
pub fn elastic_batch<'env>(
    env: &'env Env,
    kind: ElasticKind,
    query: &[f64],
    values: &[f64],
    ends: &[f64],
    steps: f64,
    window: f64,
    first: f64,
    second: f64,
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, Float64Array>, Error<Code>> {
    let work = elastic::batch(kind.into(), query, values, ends, steps, window, first, second)?;
    promise(env, job, work, Float64Array::from)
}
