//! Many series at once: paths between neighbours, a centre, representatives.

use super::Work;
use super::arguments::{candidates, dtw_options, natural, window};
use super::dtw::FlatPath;
use super::refusal::{Refusal, invalid, pair};
use crate::search::{self, Barycenter, BarycenterOptions, Job, Medoids};

pub(crate) fn align_timeframes(
    values: &[f64],
    ends: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<impl Work<Vec<FlatPath>> + use<>, Refusal> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let series = candidates("series", values, ends, 0.0, channels)?;
    search::check_neighbors(&series, options.window)
        .map_err(|refused| pair(&series, options.window, refused))?;
    Ok(move |job: &Job| {
        let alignments = search::align_neighbors(&series, &options, job)?;
        Ok(alignments.into_iter().map(FlatPath::from).collect())
    })
}

pub(crate) fn barycenter(
    values: &[f64],
    ends: &[f64],
    window: f64,
    max_iterations: f64,
    tolerance: f64,
) -> Result<impl Work<Barycenter> + use<>, Refusal> {
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
    Ok(move |job: &Job| search::barycenter(&series, &options, job))
}

pub(crate) fn medoids(
    values: &[f64],
    ends: &[f64],
    k: f64,
    seed: f64,
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<impl Work<Medoids> + use<>, Refusal> {
    let options = dtw_options(metric, window, normalize, max_distance)?;
    let (k, seed) = (natural("k", k)?, natural("seed", seed)? as u64);
    let series = candidates("series", values, ends, 0.0, channels)?;
    if !(1..=series.len()).contains(&k) {
        return Err(invalid(format!("k must be an integer from 1 to {}, got {k}", series.len())));
    }
    Ok(move |job: &Job| search::medoids(&series, k, &options, seed, job))
}
