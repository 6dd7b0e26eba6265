//! The elastic distances beyond DTW.

use super::arguments::{candidates, series_buf, window};
use super::errors::{Code, invalid};
use super::task::{Job, pair_promise, promise};
use crate::kernels::elastic::{self, Measure};
use crate::kernels::simd::Level;
use crate::search;
use crate::series::Series;
use napi::bindgen_prelude::{Float64Array, PromiseRaw};
use napi::{Env, Error};
use napi_derive::napi;
use std::fmt::Display;

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

/// The measure with its parameters: `first` is the only one of all measures but TWE, whose `second` is lambda.
fn measure(kind: &ElasticKind, first: f64, second: f64) -> Result<Measure, Error<Code>> {
    let measure = match kind {
        ElasticKind::Ddtw => Measure::Ddtw,
        ElasticKind::Wdtw => Measure::Wdtw { g: first },
        ElasticKind::Adtw => Measure::Adtw { penalty: first },
        ElasticKind::Erp => Measure::Erp { gap: first },
        ElasticKind::Edr => Measure::Edr { epsilon: first },
        ElasticKind::Msm => Measure::Msm { cost: first },
        ElasticKind::Twe => Measure::Twe { nu: first, lambda: second },
        ElasticKind::SoftDtw => Measure::SoftDtw { gamma: first },
    };
    if measure.in_domain() {
        return Ok(measure);
    }
    Err(invalid(format!("{measure:?} is outside the domain of its parameters")))
}

fn refuse_short(name: impl Display, series: Series<'_>, measure: Measure) -> Result<(), Error<Code>> {
    let (steps, least) = (series.steps(), measure.min_steps());
    if steps >= least {
        return Ok(());
    }
    Err(invalid(format!("{name} has {steps} values: this measure is defined for {least} or more")))
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
    let measure = measure(&kind, first, second)?;
    let window = self::window(window)?;
    let (a, b) = (series_buf("a", a, 1.0)?, series_buf("b", b, 1.0)?);
    refuse_short("a", a.as_series(), measure)?;
    refuse_short("b", b.as_series(), measure)?;
    pair_promise(
        env,
        job,
        move |job| {
            elastic::distance(Level::best(), measure, a.as_series(), b.as_series(), window, job.interrupt())
        },
        |distance| distance,
    )
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
    let measure = measure(&kind, first, second)?;
    let window = self::window(window)?;
    let query = series_buf("query", query, 1.0)?;
    let candidates = candidates("candidates", values, ends, steps, 1.0)?;
    refuse_short("query", query.as_series(), measure)?;
    for index in 0..candidates.len() {
        refuse_short(format_args!("candidates[{index}]"), candidates.get(index), measure)?;
    }
    promise(
        env,
        job,
        move |job| search::elastic_batch(measure, query.as_series(), &candidates, window, job),
        Float64Array::from,
    )
}
