//! The elastic distances beyond DTW.

use super::Work;
use super::arguments::{candidates, series_buf, window};
use super::refusal::{Refusal, invalid};
use crate::kernels::elastic::{self, Measure};
use crate::kernels::simd::Level;
use crate::search::{self, Job};
use crate::series::Series;
use std::fmt::Display;

/// The measures, in the order of their names in the facade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ElasticKind {
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
fn measure(kind: ElasticKind, first: f64, second: f64) -> Result<Measure, Refusal> {
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

fn refuse_short(name: impl Display, series: Series<'_>, measure: Measure) -> Result<(), Refusal> {
    let (steps, least) = (series.steps(), measure.min_steps());
    if steps >= least {
        return Ok(());
    }
    Err(invalid(format!("{name} has {steps} values: this measure is defined for {least} or more")))
}

pub(crate) fn distance(
    kind: ElasticKind,
    a: &[f64],
    b: &[f64],
    window: f64,
    first: f64,
    second: f64,
) -> Result<impl Work<f64> + use<>, Refusal> {
    let measure = measure(kind, first, second)?;
    let window = self::window(window)?;
    let (a, b) = (series_buf("a", a, 1.0)?, series_buf("b", b, 1.0)?);
    refuse_short("a", a.as_series(), measure)?;
    refuse_short("b", b.as_series(), measure)?;
    Ok(move |job: &Job| {
        elastic::distance(Level::best(), measure, a.as_series(), b.as_series(), window, job.interrupt())
    })
}

pub(crate) fn batch(
    kind: ElasticKind,
    query: &[f64],
    values: &[f64],
    ends: &[f64],
    steps: f64,
    window: f64,
    first: f64,
    second: f64,
) -> Result<impl Work<Vec<f64>> + use<>, Refusal> {
    let measure = measure(kind, first, second)?;
    let window = self::window(window)?;
    let query = series_buf("query", query, 1.0)?;
    let candidates = candidates("candidates", values, ends, steps, 1.0)?;
    refuse_short("query", query.as_series(), measure)?;
    for index in 0..candidates.len() {
        refuse_short(format_args!("candidates[{index}]"), candidates.get(index), measure)?;
    }
    Ok(move |job: &Job| search::elastic_batch(measure, query.as_series(), &candidates, window, job))
}
